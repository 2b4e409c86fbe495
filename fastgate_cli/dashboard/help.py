"""What each key does, over the dashboard."""

from __future__ import annotations

from rich.text import Text

from fastgate_cli.dashboard.paper import Paper, title

_KEYS = (
    ("q", "quit"),
    ("p  space", "pause, and go on"),
    ("1 2 3 4 5", "of the last 5 min, hour, 6 h, 24 h, 7 days"),
    ("f  /", "filter as in logs: --status 5xx --source ci"),
    ("s", "sort the tables by requests, errors or p95"),
    ("↑ ↓  tab", "select a request: the list stays as it is"),
    ("↵", "open it, or the newest one"),
    ("esc", "let it go; go back"),
    ("?", "this help"),
)
_PLAIN = {"↑ ↓  tab": "up down tab", "↵": "enter"}
_REMARKS = (
    "Rates are of the last 10 to 15 seconds, bars of 5 seconds.",
    "Errors were refused, failed, or got a status from 400 up.",
    "journal: how long the oldest event waits to be recorded.",
    "gateway: what FastGate itself took of a request.",
)
_NAME_WIDTH = 13


def build_help(paper: Paper) -> list[Text]:
    """Return the lines; where they do not all fit, the remarks are left out first."""
    keys = [title("keys")]
    for name, what in _KEYS:
        shown = _PLAIN.get(name, name) if paper.plain else name
        keys.append(Text.assemble((shown.ljust(_NAME_WIDTH), "bold"), what))
    remarks = [Text(), title("figures"), *map(Text, _REMARKS)]
    return [*keys, *remarks][: paper.height]
