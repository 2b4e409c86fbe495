"""`fastgate top`: the gateway and its requests on the whole screen, as they come; or one picture of them."""

from __future__ import annotations

import os
import shutil
import sys
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from fastgate_cli.context import Invocation, invocation_of
from fastgate_cli.options import FieldsOption, JsonOption, OutputOption
from fastgate_cli.output import OutputOptions, blocks_wanted, colour_wanted, print_object
from proxy.errors import InvalidInputError

if TYPE_CHECKING:
    from fastgate_cli.dashboard.question import Question

RangeName = Literal["5m", "1h", "6h", "24h", "7d"]
REFRESH_SECONDS_MIN, REFRESH_SECONDS_MAX = 0.1, 3_600
_PIPE_SIZE = (100, 40)  # where there is no terminal that has one
_PICTURE_HEIGHT_MIN = 24
_CANNOT_DRAW = ("", "dumb", "unknown")
_ONCE_HINT = "'fastgate top --once' prints one picture, and --json its data"


def top(
    ctx: typer.Context,
    once: Annotated[bool, typer.Option("--once", help="Print one picture, also in a pipe.")] = False,
    refresh: Annotated[
        float,
        typer.Option(
            "--refresh",
            min=REFRESH_SECONDS_MIN,
            max=REFRESH_SECONDS_MAX,
            metavar="S",
            help="Seconds from one look to the next.",
        ),
    ] = 1.0,
    range_name: Annotated[
        RangeName, typer.Option("--range", metavar="TIME", help="5m, 1h, 6h, 24h or 7d; keys 1 to 5.")
    ] = "5m",
    filter_text: Annotated[
        str, typer.Option("--filter", metavar="TEXT", help="Filters of 'fastgate logs' in one text; key f.")
    ] = "",
    output: OutputOption = None,
    as_json: JsonOption = False,
    fields: FieldsOption = None,
) -> None:
    """Watch the gateway on the whole screen: rates, latency, what is in flight, the latest requests.

    In it, ? says what each key does. With --once, or an output format, it prints one picture and ends.

    Examples:
      fastgate top
      fastgate top --range 1h --filter '--status 5xx --source ci'
      fastgate top --once
      fastgate top --json | jq .requests_per_second
    """
    from fastgate_cli.dashboard.filters import parse_filter
    from fastgate_cli.dashboard.once import COLUMNS
    from fastgate_cli.dashboard.question import RANGES, Question

    invocation = invocation_of(ctx)
    options = invocation.read_output(output, as_json=as_json, fields=fields, columns=COLUMNS)
    chosen = next(each for each in RANGES if each.name == range_name)
    question = Question(chosen, parse_filter(filter_text, invocation), filter_text.strip())
    if once or output or as_json or fields:
        return _print_once(invocation, question, options)
    _check_terminal()
    return _run(invocation, question, refresh)


def _print_once(invocation: Invocation, question: Question, options: OutputOptions) -> None:
    from fastgate_cli.dashboard.once import COLUMNS, build_picture, build_row, read_board
    from fastgate_cli.dashboard.paper import Paper
    from fastgate_cli.dashboard.question import Wish
    from fastgate_cli.dashboard.state import State
    from fastgate_cli.drawing import draw_lines

    wish = Wish(question)
    board = read_board(invocation.settings, wish, invocation.now)
    # A picture is text in a pipe, too: whoever wants data says so.
    if options.format not in (None, "table") or options.fields:
        return print_object(build_row(board, wish, invocation.now), COLUMNS, options)
    width, height = shutil.get_terminal_size(_PIPE_SIZE)
    paper = Paper(
        width,
        max(_PICTURE_HEIGHT_MIN, height - 1),
        options.zone,
        invocation.now,
        plain=not blocks_wanted(sys.stdout),
    )
    return draw_lines(build_picture(board, State(question), paper))


def _check_terminal() -> None:
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise InvalidInputError("the dashboard needs a terminal", hint=_ONCE_HINT)
    kind = os.environ.get("TERM", "").lower()
    if kind in _CANNOT_DRAW:
        raise InvalidInputError(
            f"a terminal of the kind {kind!r} (TERM) cannot show a dashboard", hint=_ONCE_HINT
        )


def _run(invocation: Invocation, question: Question, refresh_seconds: float) -> None:
    from fastgate_cli.dashboard.filters import parse_filter
    from fastgate_cli.dashboard.loop import Loop, Mailbox
    from fastgate_cli.dashboard.readers import build_readers
    from fastgate_cli.dashboard.screen import Screen
    from fastgate_cli.dashboard.signals import EndedError, Wake, end_by, listening
    from fastgate_cli.dashboard.state import State

    wake = Wake()
    mailbox = Mailbox(wake)
    readers = build_readers(invocation.settings, refresh_seconds, mailbox.put)
    screen = Screen(sys.stdin.fileno(), sys.stdout.fileno(), coloured=colour_wanted(sys.stdout))
    loop = Loop(
        screen,
        readers,
        mailbox,
        lambda text: parse_filter(text, invocation),
        state=State(question),
        zone=invocation.settings.app.timezone,
        plain=not blocks_wanted(sys.stdout),
        refresh_seconds=refresh_seconds,
    )
    try:
        with listening(wake) as noted, screen:
            for reader in readers:
                reader.start()
            loop.run(wake, noted)
    except EndedError as ended:
        end_by(ended.number)
    finally:
        for reader in readers:
            reader.close()
