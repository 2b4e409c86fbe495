"""`fastgate routes test`: send once what the gateway would send for a route, and say how far that came."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fastgate_cli.arguments import read_argument
from fastgate_cli.columns import Column, Row, Step, format_flag
from fastgate_cli.commands.route_request import DataOption, HeaderOption, build_head, read_header
from fastgate_cli.context import Invocation, invocation_of
from fastgate_cli.failures import FAILED
from fastgate_cli.options import FieldsOption, JsonOption, OutputOption, complete_route_ids
from fastgate_cli.output import OutputOptions, print_object
from proxy.errors import InvalidInputError

if TYPE_CHECKING:
    from proxy.insight.preparation import Rehearsal, Stage
    from proxy.insight.trial import Trial

COLUMNS = (
    Column("success", text=format_flag),
    Column("matched", text=format_flag),
    Column("target_url"),
    Column("status_code"),
    Column("response_time_ms"),
    Column("ttfb_ms"),
    Column("error_message"),
    Column("stages"),
)
PREVIEW_LINES_MAX = 8
_NAME_WIDTH = 9  # of the longest stage
_ANY_METHOD = "ANY"


def try_route(
    ctx: typer.Context,
    ref: Annotated[str, typer.Argument(metavar="ID", help="Id or name.", autocompletion=complete_route_ids)],
    method: Annotated[
        str | None,
        typer.Option("--method", metavar="M", help="Default: the route's first; GET, or POST with --data."),
    ] = None,
    path: Annotated[
        str | None,
        typer.Option("--path", metavar="P", help="With its query. Default: one that fits the pattern."),
    ] = None,
    header: HeaderOption = None,
    data: DataOption = None,
    timeout: Annotated[
        float | None,
        typer.Option(
            "--timeout", metavar="S", min=0.001, max=86_400, help="Seconds that the whole may take."
        ),
    ] = None,
    output: OutputOption = None,
    as_json: JsonOption = False,
    fields: FieldsOption = None,
) -> None:
    """Send once what the gateway would send for a route, and show how far that came; 1 if it failed.

    No gateway has to run, no key is needed, and nothing is recorded. References such as ${env:NAME} are
    resolved here. Of a stream the beginning is read. A status of 400 and above is a failure.

    Examples:
      fastgate routes test ollama
      fastgate routes test openai --path /v1/models --timeout 10
      fastgate routes test chat --path /v1/chat/completions --data @body.json
    """
    import asyncio

    from proxy.insight.trial import run_trial

    invocation = invocation_of(ctx)
    printing = invocation.read_output(output, as_json=as_json, fields=fields, columns=COLUMNS)
    is_watched = printing.is_drawn and not printing.fields
    body = b"" if data is None else read_argument(data)
    given = [read_header(text) for text in header or ()]
    rehearsal, paths = read_rehearsal(invocation, ref, path)
    chosen = method or choose_method(rehearsal.row, body)
    app = invocation.settings.app
    # No key is needed: a credential that is given is one for the backend, if the route passes those on.
    heads = [build_head(chosen, one, given, body, app, is_always_added=True) for one in paths]
    trial = asyncio.run(
        run_trial(
            rehearsal, heads, body, timeout_seconds=timeout, tell=_draw_stage if is_watched else _ignore
        )
    )
    _print(trial, printing, is_watched=is_watched)
    if not trial.success:
        raise typer.Exit(FAILED)


def read_rehearsal(invocation: Invocation, ref: str, path: str | None) -> tuple[Rehearsal, Sequence[str]]:
    """Return the route that is to be tried, among all, and the paths to try it with.

    Raises `NotFoundError` if there is none of that id or name.
    """
    from proxy.insight.preparation import Rehearsal
    from proxy.store.routes import get_route, list_routes

    settings = invocation.settings
    with invocation.reading() as database:
        row, rows = get_route(database, ref), list_routes(database)
    paths = choose_paths(row, path)
    example_of = "" if path is not None or paths == [row["match_path"]] else row["match_path"]
    folder = invocation.reference_folder
    return Rehearsal(row, rows, settings, invocation.environ, folder, example_of), paths


def choose_method(row: Row, body: bytes) -> str:
    """Return the method to try a route with: its first one, else GET, or POST where there is a body."""
    first = str(row["match_method"] or _ANY_METHOD).partition(",")[0].strip().upper()
    if first != _ANY_METHOD:
        return first
    return "POST" if body else "GET"


def choose_paths(row: Row, given: str | None) -> Sequence[str]:
    """Return the paths to try a route with, the first that reaches it counting."""
    from proxy.policy.examples import example_paths
    from proxy.policy.patterns import compile_pattern

    if given is not None:
        if not given.startswith("/"):
            raise InvalidInputError(f"the path {given!r} does not begin with /", hint="such as --path /v1/x")
        return [given]
    try:
        return list(example_paths(compile_pattern(row["match_path"]))) or ["/"]
    except InvalidInputError:
        return ["/"]  # the trial says what is wrong with the route


def _ignore(_stage: Stage) -> None:
    """Draw nothing: programs get everything at the end."""


def _draw_stage(stage: Stage) -> None:
    from fastgate_cli.drawing import draw_step

    status: Any = {True: "passed", False: "failed", None: "skipped"}[stage.ok]
    draw_step(Step(status, stage.name, stage.detail, stage.hint), _NAME_WIDTH)


def _print(trial: Trial, printing: OutputOptions, *, is_watched: bool) -> None:
    if not is_watched:
        return print_object(_build_row(trial), COLUMNS, printing)
    if trial.preview:
        from fastgate_cli.columns import escape_controls

        lines = trial.preview.expandtabs(2).splitlines()
        shown = lines[:PREVIEW_LINES_MAX] + ["…"] * (len(lines) > PREVIEW_LINES_MAX)
        print("\n" + "\n".join(map(escape_controls, shown)), flush=True)  # noqa: T201
    return None


def _build_row(trial: Trial) -> dict[str, Any]:
    return {
        "success": trial.success,
        "matched": trial.matched,
        "target_url": trial.target_url,
        "status_code": trial.status_code,
        "response_time_ms": trial.response_time_ms,
        "ttfb_ms": trial.ttfb_ms,
        "error_message": trial.failure.detail if trial.failure else None,
        "stages": [{"name": one.name, "ok": one.ok, "detail": one.detail} for one in trial.stages],
    }
