"""`fastgate logs sources`: who asked, how often, and how often in vain."""

from __future__ import annotations

from datetime import tzinfo

import typer

from fastgate_cli.columns import Column, Row, format_minute, style_quiet
from fastgate_cli.commands.log_filters import SinceOption, UntilOption, build_filter
from fastgate_cli.context import invocation_of
from fastgate_cli.options import FieldsOption, JsonOption, LimitOption, OutputOption
from fastgate_cli.output import print_rows


def _format_count(value: int, _: tzinfo) -> str:
    return f"{value:,}"


def _style_errors(value: int) -> str:
    return "yellow" if value else "dim"


def find_error_share(row: Row) -> float:
    """Return the share of requests that were errors, 0 to 1."""
    return float(row["errors"] / row["requests"])


def _format_share(value: float, _: tzinfo) -> str:
    return f"{value:.1%}"


COLUMNS = (
    Column("source_path", "source", elastic=True),
    Column("requests", justify="right", text=_format_count),
    Column("errors", justify="right", text=_format_count, style=_style_errors),
    Column("share", "of them", shown="display", justify="right", value=find_error_share, text=_format_share),
    Column("last_request", "last", text=format_minute, style=style_quiet),
)


def list_sources(
    ctx: typer.Context,
    since: SinceOption = None,
    until: UntilOption = None,
    limit: LimitOption = 0,
    output: OutputOption = None,
    as_json: JsonOption = False,
    fields: FieldsOption = None,
) -> None:
    """List who asked, the busiest first: the sources of the keys that requests came with.

    Of all that is recorded, unless --since or --until says otherwise. A request without a known key has no
    source.

    Examples:
      fastgate logs sources
      fastgate logs sources --since 7d
    """
    from proxy.store.log_sources import list_log_sources

    invocation = invocation_of(ctx)
    options = invocation.read_output(output, as_json=as_json, fields=fields, columns=COLUMNS)
    wanted = build_filter(invocation, since=since, until=until)
    with invocation.reading() as database:
        rows = list_log_sources(database, wanted)
    print_rows(rows[: limit or None], COLUMNS, options, empty="no requests")
