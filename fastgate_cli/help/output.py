"""`fastgate help output`: what commands print, on a terminal and in a pipe."""

from __future__ import annotations

from typing import get_args

from fastgate_cli.help.page import Page, Rows, Text
from fastgate_cli.output import Format

_FORMATS: dict[str, str] = {
    "table": "for people; what does not fit the terminal is cut or left out",
    "wide": "a table with more columns",
    "json": "an array of objects, or one object for a single thing; tail prints jsonl",
    "jsonl": "one object a line",
    "csv": "RFC 4180 with a header, lines that end in LF; cells that a spreadsheet would run are disarmed",
    "tsv": "tabs between, a header first; tab, newline and backslash in a value are \\t, \\n and \\\\",
    "id": "the first column alone, one a line: for xargs and $(...)",
}
VARIABLES = {
    "NO_COLOR": "not empty: no colours",
    "FORCE_COLOR": "not empty: colours also in a pipe",
    "TERM": "dumb: no colours and no progress bars",
    "COLUMNS": "how wide a table is, unless what is never cut needs more",
}


def describe_formats() -> list[tuple[str, str]]:
    """Return each format and what it is."""
    return [(name, _FORMATS[name]) for name in get_args(Format)]


def build_page() -> Page:
    """Return the page."""
    return Page(
        examples=(
            "fastgate keys list -o wide",
            "fastgate routes list --json | jq -r '.[].match_path'",
            "fastgate logs list --fields path,status_code,response_time_ms",
            "fastgate keys list --unused 30d -o id | xargs fastgate keys disable",
            "KEY=$(fastgate keys create --source ci)    # in a pipe: the secret alone",
        ),
        blocks=(
            Text(
                "On a terminal commands print a table; in a pipe tab-separated values, full width, "
                "without colours. -o chooses, --json is short for -o json, --fields picks fields and "
                "their order."
            ),
            Rows(describe_formats(), "Formats (-o)"),
            Text(
                "The names of fields are the same in every format. Times in data are RFC 3339 with the "
                "offset of app.timezone, sizes are bytes. A field without a value is null, or empty."
            ),
            Text(
                "Data goes to standard output, and nothing else does: notes, questions and errors go to "
                "standard error. Commands that write print what they wrote; with -n they show it and "
                "write nothing."
            ),
            Rows(list(VARIABLES.items()), "Variables"),
        ),
    )
