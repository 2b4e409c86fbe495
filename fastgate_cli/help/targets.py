"""`fastgate help targets`: which path a backend is asked for."""

from __future__ import annotations

from dataclasses import dataclass

from fastgate_cli.commands.route_columns import TARGETS_MAX
from fastgate_cli.commands.route_options import choices_of
from fastgate_cli.help.page import Page, Rows, Text


@dataclass(frozen=True, slots=True)
class TargetExample:
    """A route's pattern and target, and what becomes of one path."""

    match: str
    to: str
    path: str
    sent: str
    strip: bool = False

    @property
    def options(self) -> str:
        """Return the options of the route."""
        return f"--match '{self.match}' --to {self.to}" + (" --strip-prefix" if self.strip else "")

    def describe(self) -> str:
        """Return what becomes of the path."""
        return f"{self.path} is sent as {self.sent}"


TARGETS = (
    TargetExample("/v1/*", "http://gpu:8000", "/v1/models", "/v1/models"),
    TargetExample("/llm/*", "http://gpu:8000/v1", "/llm/models", "/v1/models", strip=True),
    TargetExample("/llm/*", "http://gpu:8000", "/llm/v1/models", "/v1/models", strip=True),
    TargetExample("/user/{id}", "http://hr:80/staff/{id}/card", "/user/42", "/staff/42/card"),
    TargetExample("/old/*", "http://gpu:8000/new/{rest}", "/old/a/b", "/new/a/b"),
    TargetExample("/ask", "http://gpu:8000/v1/chat/completions", "/ask", "/v1/chat/completions"),
)
_BALANCES = {
    "failover": "the first that works",
    "round-robin": "each in turn",
    "least-in-flight": "the one that has the fewest requests in flight",
}


def build_page() -> Page:
    """Return the page."""
    return Page(
        examples=(
            "fastgate routes add --match '/llm/*' --to http://gpu:8000/v1 --strip-prefix",
            "fastgate routes add --match '/v1/*' --to http://gpu1:8000 \\",
            "    --to http://gpu2:8000 --balance least-in-flight --retries 1",
            "fastgate routes explain GET /llm/models    # the URL that would be asked for",
        ),
        blocks=(
            Text(
                "A URL without a path sends the request's own path. With a path, --strip-prefix appends "
                "what follows the pattern up to its first wildcard; placeholders are filled in; "
                "otherwise that one path is sent for whatever the route matches. --target-path is the "
                "same path as an option of its own. The query always goes along, unchanged."
            ),
            Rows([(example.options, example.describe()) for example in TARGETS], "Routes"),
            Text(
                f"A route has up to {TARGETS_MAX} backends; all serve the same paths, so only the first "
                "--to may have one. A backend that fails is set aside for a while. Among the others "
                "--balance chooses:"
            ),
            Rows([(name, _BALANCES[name]) for name in choices_of("balance")]),
        ),
    )
