"""One request as a sheet for people, drawn with Rich: what came, who asked, where it went, how long it took.

Everything in it came from clients and backends, so every text is made a `Text` with its control characters
spelled out. Imported only when a sheet is drawn.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, tzinfo
from io import StringIO
from itertools import islice

from rich.console import Console, Group
from rich.highlighter import JSONHighlighter
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from fastgate_cli.columns import Row, escape_controls, style_method
from fastgate_cli.commands.log_bodies import Body, read_body
from fastgate_cli.commands.log_columns import (
    IN_FLIGHT,
    describe_outcome,
    find_ttfb_ms,
    format_size,
    style_outcome,
    style_reason,
)
from fastgate_cli.commands.log_replies import Block, Reply, read_reply
from fastgate_cli.commands.log_timing import (
    TimePart,
    find_took_ms,
    format_exact_ms,
    share_cells,
    split_time,
)
from fastgate_cli.drawing import GAP, line_width, new_console
from proxy.clock import format_time

Line = tuple[int, Text]  # how far it is indented, and what it says
BAR_CELLS_MAX = 72
_INDENT = 2
_HIGHLIGHTED_MAX = 128 * 1024  # characters; colouring takes time that grows with them
_COUNTED_MAX = 10_000  # lines that are left out
_BARS = {
    "gateway": ("█", "yellow"),
    "first byte": ("░", "cyan"),
    "wait": ("░", "cyan"),
    "rest": ("▒", "green"),
}
_BLOCK_STYLES = {"text": "", "reasoning": "dim italic", "refusal": "yellow", "call": "magenta"}


def draw_sheet(
    row: Row, zone: tzinfo, *, now: datetime, is_raw: bool = False, lines_max: int | None = None
) -> str:
    """Return a request as text for stdout; of a longer body `lines_max` lines.

    Replies of language models are spelled out, or, if `is_raw`, shown as their JSON.
    """
    console = new_console(StringIO(), line_width())
    return print_sheet(row, zone, console, now=now, is_raw=is_raw, lines_max=lines_max)


def print_sheet(
    row: Row,
    zone: tzinfo,
    console: Console,
    *,
    now: datetime,
    is_raw: bool = False,
    lines_max: int | None = None,
) -> str:
    """Return what a console that writes into a StringIO makes of a request, as `draw_sheet` does."""
    console.print(_draw_head(row, now), _draw_facts(row, zone), sep="\n", crop=False)
    if timing := split_time(row):
        console.print(Text(), _draw_timing(timing, min(console.width, BAR_CELLS_MAX)), sep="\n")
    for side in ("request", "response"):
        _print_headers(console, f"{side} headers", row[f"{side}_headers"])
        if recorded := row[f"{side}_body"]:
            title, lines = _draw_body(recorded, may_be_reply=side == "response" and not is_raw)
            console.print(Text(), Text(f"{side} body", "bold").append_text(title), sep="\n")
            for line in _bound(_fold(lines, console), lines_max, str(row["id"])):
                console.print(line, soft_wrap=True)
    drawn: str = console.file.getvalue()  # type: ignore[attr-defined]
    return "".join(line.rstrip(" ") + "\n" for line in drawn.split("\n")[:-1])


def _draw_head(row: Row, now: datetime) -> Text:
    outcome = describe_outcome(row)
    took = find_took_ms(row)
    head = Text()
    head.append(_spell(row["method"]), f"bold {style_method(row['method'])}".strip())
    head.append(" " + _spell(row["path"]), "bold")
    head.append("  ")
    if outcome == IN_FLIGHT:
        since = max(0.0, (now - row["request_time"]).total_seconds() * 1000)
        head.append(f"in flight for {format_exact_ms(since)}", "cyan")
    else:
        head.append(outcome, f"bold {style_outcome(outcome)}")
    if took is not None:
        head.append(f"  took {format_exact_ms(took)}")
    return head


def _draw_facts(row: Row, zone: tzinfo) -> Table:
    sheet = Table.grid(padding=(0, GAP))
    sheet.add_column(style="dim", no_wrap=True)
    sheet.add_column(overflow="fold")
    for name, fact, style in _list_facts(row, zone):
        if fact:
            sheet.add_row(Text(name), Text(_spell(fact), style))
    return sheet


def _list_facts(row: Row, zone: tzinfo) -> Iterator[tuple[str, str, str]]:
    yield "id", f"{row['id']}  {row['request_id']}", ""
    yield "when", format_time(row["request_time"], zone, timespec="microseconds"), ""
    reason = row["error_message"] or ""
    yield "reason", reason, style_reason(reason)
    yield "key", _join(row["api_key"], row["source_path"] and f"source {row['source_path']}"), ""
    yield "client", _join(row["ip_address"], row["user_agent"]), ""
    yield "route", row["route_id"] or "", ""
    yield "target", row["target_url"] or "", ""
    sizes = [
        f"{name} {format_size(size, zone)}"
        for name, size in (("request", row["request_size"]), ("response", row["response_size"]))
        if size is not None
    ]
    if row["is_stream"]:
        sizes.append(f"a stream of {row['stream_chunks']} chunks" if row["stream_chunks"] else "a stream")
    yield "size", ", ".join(sizes), ""
    ttfb = find_ttfb_ms(row)
    if ttfb is not None and not split_time(row):
        yield "ttfb", format_exact_ms(ttfb), ""


def _draw_timing(parts: Sequence[TimePart], cells: int) -> Group:
    bar, legend = Text(no_wrap=True), Text()
    for part, width in zip(parts, share_cells([part.ms for part in parts], cells), strict=True):
        glyph, style = _BARS[part.name]
        bar.append(glyph * width, style)
        legend.append(f"{glyph} ", style)
        legend.append(f"{part.name} ", "dim")
        legend.append(format_exact_ms(part.ms) + "   ")
    legend.rstrip()
    return Group(bar, legend)


def _print_headers(console: Console, title: str, headers: object) -> None:
    if not isinstance(headers, list) or not headers:
        return
    sheet = Table.grid(padding=(0, 1))
    sheet.add_column(style="cyan", no_wrap=True)
    sheet.add_column(overflow="fold")
    for header in headers:
        name, value = header if isinstance(header, list) and len(header) == 2 else ("", header)
        sheet.add_row(Text(_spell(f"{name}:")), Text(_spell(str(value))))
    console.print(Text(), Text(title, "bold"), Padding(sheet, (0, 0, 0, _INDENT)), sep="\n", crop=False)


def _draw_body(recorded: str, *, may_be_reply: bool) -> tuple[Text, Iterable[Line]]:
    """Return what a title has to say of a recorded body, and the body's lines."""
    reply = read_reply(recorded) if may_be_reply else None
    if reply is not None:
        of = f" of {_spell(reply.model)}" if reply.model else ""
        return Text(f"  a reply{of}; --raw shows its JSON", "dim not bold"), _spell_reply(reply)
    body = read_body(recorded)
    return Text(f"  {body.mark}" if body.mark else "", "yellow not bold"), _spell_body(body, _INDENT)


def _spell_body(body: Body, indent: int) -> Iterator[Line]:
    for line in _highlight(body):
        # What goes on in the next line stands where it began.
        margin = len(line.plain) - len(line.plain.lstrip(" "))
        yield indent + margin, line[margin:]


def _highlight(body: Body) -> Iterable[Text]:
    """Return the lines of a body; those of JSON that is not too long in the colours of its values."""
    if not body.text:
        return []
    lines = body.text.replace("\r\n", "\n").split("\n")
    if not body.is_json or len(body.text) > _HIGHLIGHTED_MAX:
        return (Text(_spell(line)) for line in lines)
    text = Text("\n".join(map(_spell, lines)))
    JSONHighlighter().highlight(text)
    return text.split("\n", allow_blank=True)


def _spell_reply(reply: Reply) -> Iterator[Line]:
    for turn in reply.turns:
        head = Text(_spell(turn.role), "bold cyan")
        yield _INDENT, head.append(f"  {_spell(turn.end)}" if turn.end else "", "dim not bold")
        for block in turn.blocks:
            yield from _spell_block(block)
    if reply.usage:
        usage = ", ".join(f"{name} {count:,}" for name, count in reply.usage.items())
        yield _INDENT, Text(_spell(f"usage: {usage}"), "dim")
    for error in reply.errors:
        yield _INDENT, Text(_spell(f"error in the stream: {error}"), "red")
    if reply.is_cut:
        yield _INDENT, Text("this is not all of the stream", "yellow")


def _spell_block(block: Block) -> Iterator[Line]:
    style = _BLOCK_STYLES[block.kind]
    if block.kind == "call":
        yield 2 * _INDENT, Text(f"calls {_spell(block.name)}", style)
        yield from _spell_body(read_body(block.text), 3 * _INDENT)
        return
    for line in block.text.split("\n"):
        yield 2 * _INDENT, Text(_spell(line), style)


def _fold(lines: Iterable[Line], console: Console) -> Iterator[Text]:
    """Yield lines of the console's width, each piece of one at its indent."""
    for indent, line in lines:
        indent = min(indent, console.width // 2)
        # Rich takes its time to find that a line fits.
        fits = line.cell_len + indent <= console.width
        for piece in [line] if fits else line.wrap(console, console.width - indent, overflow="fold"):
            yield Text(" " * indent).append_text(piece)


def _bound(lines: Iterator[Text], lines_max: int | None, row_id: str) -> Iterator[Text]:
    """Yield no more lines than that, and then how many there would be."""
    if lines_max is None:
        yield from lines
        return
    yield from islice(lines, lines_max)
    if left := sum(1 for _ in islice(lines, _COUNTED_MAX)):
        count = f"{left:,}" if left < _COUNTED_MAX else f"{_COUNTED_MAX:,} and"
        note = f"… {count} more lines: logs show {row_id} -o wide"
        yield Text(" " * _INDENT + note, "dim")


def _join(*facts: str | None) -> str:
    return ", ".join(fact for fact in facts if fact)


def _spell(text: str) -> str:
    return escape_controls(text)
