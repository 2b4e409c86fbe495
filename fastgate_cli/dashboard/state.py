"""What a person has made of the dashboard, and what each key makes of that. Pure.

`press_key` is the whole of it: a state, a key and what can be seen give the next state. Nothing here reads,
draws or waits; what is to be read follows from the state (`wish_of`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from fastgate_cli.columns import Row
from fastgate_cli.dashboard.line import Line, edit_line, start_line
from fastgate_cli.dashboard.question import RANGES, Question, Wish
from proxy.errors import InvalidInputError
from proxy.store.log_filter import LogFilter

Mode = Literal["board", "filter", "request"]
Sort = Literal["requests", "errors", "p95_ms"]
SORTS: tuple[Sort, ...] = ("requests", "errors", "p95_ms")
ParseFilter = Callable[[str], LogFilter]  # raises `InvalidInputError`
_RANGES = {range_.key: range_ for range_ in RANGES}
_STEPS = {"down": 1, "j": 1, "tab": 1, "up": -1, "k": -1, "backtab": -1}
_HELP = ("?", "h")
_END = 10**9


@dataclass(frozen=True, slots=True)
class State:
    """What is shown, and how.

    `held` are the latest requests as they were when one of them was selected: it stays where it is until it
    is let go. `top` is the first of them that is seen, or the first line of an opened request.
    """

    question: Question = field(default_factory=Question)
    sort: Sort = "requests"
    mode: Mode = "board"
    is_paused: bool = False
    is_helping: bool = False
    line: Line = field(default_factory=Line)
    complaint: str = ""
    held: tuple[Row, ...] = ()
    selected: int = -1  # of `held`; below zero none is
    top: int = 0
    opened: str = ""
    scroll: int = 0
    has_quit: bool = False


@dataclass(frozen=True, slots=True)
class Seen:
    """What is on the screen: the latest requests, and how much of what can be moved is seen at once."""

    latest: Sequence[Row] = ()
    page: int = 1  # of the latest requests
    lines: int = 0  # that an opened request has
    height: int = 1  # of these


def wish_of(state: State) -> Wish:
    """Return what is to be read for a state."""
    opened = state.opened if state.mode == "request" else ""
    return Wish(state.question, opened, state.is_paused)


def press_key(state: State, key: str, seen: Seen, parse_filter: ParseFilter) -> State:
    """Return the state after a key; one that means nothing changes nothing."""
    if state.mode == "filter":
        return _press_in_line(state, key, parse_filter)
    if key == "q":
        return replace(state, has_quit=True)
    if state.is_helping or key in _HELP:
        return replace(state, is_helping=not state.is_helping)
    return (
        _press_in_request(state, key, seen) if state.mode == "request" else _press_on_board(state, key, seen)
    )


def _press_on_board(state: State, key: str, seen: Seen) -> State:
    if key in _RANGES:
        return replace(state, question=replace(state.question, range=_RANGES[key]))
    match key:
        case "p" | " ":
            return replace(state, is_paused=not state.is_paused)
        case "f" | "/":
            return replace(state, mode="filter", line=start_line(state.question.text), complaint="")
        case "s":
            return replace(state, sort=SORTS[(SORTS.index(state.sort) + 1) % len(SORTS)])
        case "escape":
            return let_go(state)
        case "enter":
            return _open(state, seen)
    return _select(state, key, seen)


def let_go(state: State) -> State:
    """Return the state with nothing selected, so that new requests are seen again."""
    return replace(state, held=(), selected=-1, top=0)


def _select(state: State, key: str, seen: Seen) -> State:
    rows = state.held or tuple(seen.latest)
    place = _move(key, state.selected, len(rows), seen.page)
    if place is None or not rows:
        return state
    # The list moves no further than it has to, to show what is selected.
    top = max(place - seen.page + 1, min(state.top, place))
    return replace(state, held=rows, selected=place, top=top)


def _open(state: State, seen: Seen) -> State:
    if state.selected < 0:
        state = _select(state, "home", seen)
    if state.selected < 0:
        return state
    return replace(state, mode="request", opened=str(state.held[state.selected]["id"]), scroll=0)


def _press_in_request(state: State, key: str, seen: Seen) -> State:
    match key:
        case "escape" | "enter" | "backspace":
            return replace(state, mode="board")
        case "right" | "left":
            # To the request before it, or after it, in the list.
            state = _select(state, "down" if key == "right" else "up", seen)
            return _open(state, seen)
        case " ":
            key = "pagedown"
    lines = max(1, seen.lines - seen.height + 1)  # that can be the first one
    place = _move(key, state.scroll, lines, seen.height)
    return state if place is None else replace(state, scroll=place)


def _press_in_line(state: State, key: str, parse_filter: ParseFilter) -> State:
    match key:
        case "escape":
            return replace(state, mode="board", complaint="")
        case "enter":
            return _apply_filter(state, parse_filter)
    line = edit_line(state.line, key)
    return state if line == state.line else replace(state, line=line, complaint="")


def _apply_filter(state: State, parse_filter: ParseFilter) -> State:
    text = state.line.text.strip()
    try:
        wanted = parse_filter(text)
    except InvalidInputError as error:
        hint = f"; {error.hint}" if error.hint else ""
        return replace(state, complaint=error.message + hint)
    question = replace(state.question, wanted=wanted, text=text)
    return replace(let_go(state), mode="board", question=question, complaint="")


def _move(key: str, place: int, count: int, page: int) -> int | None:
    """Return the place that a key leads to, of so many; None if it leads nowhere."""
    match key:
        case "home" | "g":
            place = 0
        case "end" | "G":
            place = _END
        case "pagedown":
            place += page
        case "pageup":
            place -= page
        case _ if key in _STEPS:
            place += _STEPS[key]
        case _:
            return None
    return max(0, min(place, count - 1))
