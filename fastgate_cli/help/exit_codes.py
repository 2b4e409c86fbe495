"""`fastgate help exit-codes`: how commands end, for scripts."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from fastgate_cli import failures
from fastgate_cli.help.page import Lines, Page, Rows, Text

DONE = 0
CODES: Mapping[int, str] = MappingProxyType(
    {
        DONE: "done",
        failures.FAILED: "checked, and the answer is no: 'routes test' failed, 'diff' found changes, "
        "'status' found no gateway, 'db status' found a migration pending, 'doctor' found a fault, a "
        "question was answered with no; or something failed that nobody foresaw",
        failures.MISUSED: "the command line or the configuration cannot be used, or what was asked for is "
        "taken already",
        failures.NOT_FOUND: "there is no such key, route or request",
        failures.UNREACHABLE: "the database or a backend cannot be reached",
        failures.INTERRUPTED: "interrupted with Ctrl-C; 0 for 'serve', 'mock' and 'quickstart', which "
        "that is meant to end",
        failures.BROKEN_PIPE: "whoever read the output has gone, as in '| head'",
    }
)
ERROR = (
    '{"error": {"code": "not_found",',
    """           "message": "there is no key 'x'",""",
    """           "hint": "'fastgate keys list' shows the keys"}}""",
)


def build_page() -> Page:
    """Return the page."""
    return Page(
        examples=(
            "fastgate db status > /dev/null || fastgate db upgrade",
            "fastgate diff -f gateway.yaml > changes.txt || less changes.txt",
            'fastgate keys show "$ID" > /dev/null 2>&1; [ $? -eq 3 ] && echo no such key',
        ),
        blocks=(
            Rows([(str(code), meaning) for code, meaning in CODES.items()], "Exit codes"),
            Text(
                "An error is a line 'error: ...' on standard error, then a line 'hint: ...' that says "
                "what to do. With --json it is one object:"
            ),
            Lines(ERROR),
            Text("FASTGATE_DEBUG=1 adds where in the program it happened."),
        ),
    )
