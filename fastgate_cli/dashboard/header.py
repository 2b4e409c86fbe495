"""The first two lines of the dashboard, which say how things stand, and the last, which says what keys do."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from fastgate_cli.columns import format_second, format_uptime
from fastgate_cli.dashboard.board import Board, Gateway
from fastgate_cli.dashboard.paper import GAP, Paper, join_parts, put_right
from fastgate_cli.dashboard.state import State

SLOW_SECONDS = 2.0
_NAME = "FastGate"
# The keys and what they do, the most needed first; the last is always shown.
_BOARD_KEYS = (
    ("q", "quit"),
    ("p", "pause"),
    ("f", "filter"),
    ("s", "sort"),
    ("1-5", "time"),
    ("↑↓", "select"),
    ("↵", "open"),
    ("?", "help"),
)
_SELECTED_KEYS = (
    ("↵", "open"),
    ("esc", "let go"),
    ("q", "quit"),
    ("↑↓", "select"),
    ("f", "filter"),
    ("?", "help"),
)
_REQUEST_KEYS = (("esc", "back"), ("q", "quit"), ("↑↓", "scroll"), ("←→", "newer, older"), ("?", "help"))
_HELP_KEYS = (("esc", "back"), ("q", "quit"))
_PLAIN = {"↑↓": "up/down", "←→": "left/right", "↵": "enter"}


def build_header(board: Board, state: State, paper: Paper) -> Text:
    """Return the first line: whether a gateway runs, where and since when, and the time."""
    gateway = board.gateway.value if board.gateway else None
    parts = [Text(_NAME, "bold"), *_describe_gateway(gateway, paper)]
    right = Text()
    if state.is_paused:
        right.append(" PAUSED ", "bold reverse yellow")
        right.append("  ")
    right.append(format_second(paper.now, paper.zone))
    right = Text.assemble("  ", right)
    return put_right(join_parts(parts, paper.width - right.cell_len), right, paper.width)


def _describe_gateway(gateway: Gateway | None, paper: Paper) -> list[Text]:
    if gateway is None:
        return [Text("looking for the gateway", "dim")]
    on, off = ("*", "-") if paper.plain else ("●", "○")
    if not gateway.address:
        return [Text.assemble((f"{off} ", "yellow"), ("no gateway runs", "yellow"))]
    uptime = ""
    if gateway.started:
        uptime = format_uptime(max(0.0, (paper.now - gateway.started).total_seconds()), paper.zone)
    return [
        Text.assemble((f"{on} ", "green"), gateway.address),
        Text(f"{gateway.workers} worker{'s' if gateway.workers != 1 else ''}", "dim"),
        Text(f"up {uptime}", "dim"),
        Text(f"version {gateway.version}", "dim"),
    ]


def build_notice(board: Board, state: State, paper: Paper, busy_seconds: float) -> Text:
    """Return the second line: what is wrong, what takes long, and the filter; mostly it is empty."""
    parts = []
    remark = board.gateway.value.remark if board.gateway else ""
    if board.trouble:
        parts.append((board.trouble, "red"))
    elif busy_seconds >= SLOW_SECONDS:
        parts.append((f"the database has been reading for {busy_seconds:.0f} s", "yellow"))
    if remark:
        parts.append((remark, "yellow"))
    if state.question.text:
        parts.append((f"filter: {state.question.text}", "cyan"))
    line = Text()
    for turn, (text, style) in enumerate(parts):
        left = paper.width - line.cell_len
        # All of them are to be seen, if not all of each.
        wanted = sum(len(other) + GAP for other, _ in parts[turn + 1 :])
        line.append(paper.cut(text, left - min(wanted, left // 2)).rstrip(), style)
        line.append(" " * GAP)
    return line


def build_footer(state: State, paper: Paper) -> Text:
    """Return the last line: the keys, or the filter as it is being written."""
    if state.mode == "filter":
        return _build_prompt(state, paper)
    keys: Sequence[tuple[str, str]]
    if state.is_helping:
        keys = _HELP_KEYS
    elif state.mode == "request":
        keys = _REQUEST_KEYS
    else:
        keys = _SELECTED_KEYS if state.selected >= 0 else _BOARD_KEYS
    *parts, last = [
        Text.assemble((_PLAIN.get(key, key) if paper.plain else key, "bold"), (f" {what}", "dim"))
        for key, what in keys
    ]
    line = join_parts(parts, paper.width - last.cell_len - 2)
    return join_parts([line, last], paper.width)


def _build_prompt(state: State, paper: Paper) -> Text:
    line, complaint = state.line, state.complaint
    prompt = Text("filter: ", "bold cyan")
    room = max(8, paper.width - prompt.cell_len - 1)
    if complaint:
        room = max(8, room - min(len(complaint) + 2, room // 2))
    # The part around the cursor, if there is no room for all.
    start = max(0, line.cursor - room + 1)
    before, at, after = line.before[start:], line.after[:1] or " ", line.after[1:]
    typed = Text.assemble(prompt, before, (at, "reverse"), after[: max(0, room - len(before) - 1)])
    if not complaint:
        return typed
    left = paper.width - typed.cell_len - 2
    return Text.assemble(typed, "  ", (paper.cut(complaint, left).rstrip(), "red"))
