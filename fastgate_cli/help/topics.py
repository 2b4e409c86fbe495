"""The table of the topics. A topic's module is imported when its page is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType

from fastgate_cli.help.page import Page

_HOME = "fastgate_cli.help"


@dataclass(frozen=True, slots=True)
class Topic:
    """Where a topic's page is built (a module with `build_page`), and its line in the list of all."""

    module: str
    summary: str

    def build_page(self) -> Page:
        """Return the page, from the code that it explains as that is now."""
        page: Page = import_module(f"{_HOME}.{self.module}").build_page()
        return page


TOPICS: Mapping[str, Topic] = MappingProxyType(
    {
        "patterns": Topic("patterns", "Which paths a route or a permission matches."),
        "targets": Topic("targets", "Which path a backend is asked for."),
        "bodies": Topic("bodies", "Conditions on JSON bodies, and fields set in them."),
        "permissions": Topic("permissions", "What a key may do."),
        "limits": Topic("limits", "How many requests a key may send."),
        "references": Topic("references", "Values from the environment and from files."),
        "filters": Topic("filters", "Which requests 'fastgate logs' shows."),
        "times": Topic("times", "How times and durations are written."),
        "output": Topic("output", "Tables, JSON, CSV: what commands print."),
        "errors": Topic("errors", "What clients are told, and what to do about it."),
        "exit-codes": Topic("exit_codes", "How commands end, for scripts."),
        "environment": Topic("environment", "Files and variables that are read."),
        "completion": Topic("completion", "Tab completes commands, ids and names."),
    }
)
