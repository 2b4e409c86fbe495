"""`fastgate help filters`: which requests `fastgate logs` shows; the list is that of the options."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer

from fastgate_cli.groups import CommandPlace, load_command
from fastgate_cli.help.page import Page, Rows, Text
from proxy.store.log_filter import TEXT_LENGTH_MAX

# Both take all filters, and no other options together but those about printing.
_COMMANDS = ("list", "tail")
_PRINTING = {"help", "limit", "output", "as_json", "fields"}


def list_filters() -> Iterator[tuple[str, str]]:
    """Yield each filter as it is written, and what it means."""
    group: Any = load_command("logs", CommandPlace("fastgate_cli.commands.logs:app", ""))
    ctx = typer.Context(group)
    first, second = (group.get_command(ctx, name) for name in _COMMANDS)
    shared = {param.name for param in second.params} - _PRINTING
    for param in first.params:
        if param.name in shared:
            yield param.get_help_record(ctx)


def build_page() -> Page:
    """Return the page."""
    return Page(
        examples=(
            "fastgate logs list --errors --since 1h",
            "fastgate logs list --status 4xx --status 500-599 --source mobile-app",
            "fastgate logs tail --path '/v1/chat/*' --min-ms 5000",
            "fastgate logs list --since yesterday --until today -n 0 -o csv > day.csv",
            "fastgate logs list --route ollama --json | jq '.[].path'",
        ),
        blocks=(
            Rows(list(list_filters()), "Filters"),
            Text(
                "All filters that are given have to hold. A repeatable one that is given several times, "
                "as --status 404 --status 5xx, holds if one of its values does."
            ),
            Text(
                "In --path, * is any characters, / included, ? is one and [abc] one of these; case "
                "counts. It is not a pattern of routes, and the query is no part of the path. --grep "
                "finds its text anywhere and takes no wildcards; upper and lower case of a to z are one "
                f"to it. Both take {TEXT_LENGTH_MAX} characters at most."
            ),
            Text(
                "--route takes the id or the name of a route. --method is written in any case. A "
                "request that is still in flight has no status and no duration yet, so --status and "
                "--min-ms leave it out."
            ),
            Text("'fastgate help times' says what WHEN can be."),
        ),
    )
