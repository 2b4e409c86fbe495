"""`fastgate help patterns`: which paths a route or a permission matches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fastgate_cli.help.page import Lines, Page, Rows, Text


@dataclass(frozen=True, slots=True)
class PatternExample:
    """A pattern, what it stands for, and paths that it matches and does not."""

    pattern: str
    meaning: str
    matches: Sequence[str]
    misses: Sequence[str]

    def describe(self) -> str:
        """Return everything but the pattern, as one text."""
        return f"{self.meaning}\n+ {'  '.join(self.matches)}\n- {'  '.join(self.misses)}"


PATTERNS = (
    PatternExample(
        "/v1/*",
        "everything below /v1/, at any depth",
        ("/v1/models", "/v1/chat/completions", "/v1/"),
        ("/v1", "/v2/models"),
    ),
    PatternExample("/v1/**", "the same, spelled out", ("/v1/models", "/v1/chat/completions"), ("/v1",)),
    PatternExample("/exact/path", "itself", ("/exact/path",), ("/exact/path/", "/Exact/path")),
    PatternExample("/user/{id}", "one segment, not empty", ("/user/42",), ("/user/", "/user/42/posts")),
    PatternExample("/file/*.json", "one segment", ("/file/a.json",), ("/file/a/b.json", "/file/a.yaml")),
    PatternExample("/*/models", "one segment", ("/v1/models",), ("/api/v1/models",)),
    PatternExample("/**/models", "any depth", ("/v1/models", "/api/v1/models"), ("/models",)),
)
# Of those that match the same path, the first is tried first.
ORDER = ("/v1/chat/completions", "/v1/{name}/completions", "/v1/chat/*", "/v1/*", "/**")
REFUSED = ("v1/*", "/v1/?page=1", "/a b", "/**/a/**", "/user/{id")


def build_page() -> Page:
    """Return the page."""
    return Page(
        examples=(
            "fastgate routes add --match '/v1/*' --to http://127.0.0.1:8000",
            "fastgate routes explain GET /v1/models    # which route serves it, and why",
            "fastgate routes lint                      # routes that nothing reaches",
        ),
        blocks=(
            Text(
                "A pattern stands for a whole path, from its first / to its end. It is compared with "
                "the path as the client sent it, byte for byte: case counts, percent-encoding is not "
                "decoded, and the query is no part of it. In a shell, put it in quotes."
            ),
            Rows(
                [(example.pattern, example.describe()) for example in PATTERNS],
                "Patterns, with paths that they match (+) and do not (-)",
            ),
            Text(
                "A * that is the whole last segment reaches any depth; anywhere else it stays in its "
                "segment. ** reaches any depth, and stands once. What {name} matched can be used in "
                "the target, as can {rest}, which is what the * or ** matched that reaches any depth."
            ),
            Text(
                "Of several routes that match, the one with the smaller --priority is tried first; then "
                "the one whose pattern is more specific: none that reaches any depth, more characters "
                "that are not wildcards, fewer wildcards; then the older route. So of these each goes "
                "before the next:"
            ),
            Lines(ORDER),
            Text(f"These are no patterns, and are refused: {'  '.join(REFUSED)}"),
            Text("See 'fastgate help targets' for the path that the backend is asked for."),
        ),
    )
