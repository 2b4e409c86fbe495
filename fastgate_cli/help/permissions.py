"""`fastgate help permissions`: what a key may do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fastgate_cli.help.page import Page, Rows, Text


@dataclass(frozen=True, slots=True)
class PermissionExample:
    """Entries of one key, what they mean, and requests that it then may and may not send.

    A request is a method and a path, then perhaps `on` the route that serves it, then perhaps `for` a model.
    """

    entries: Sequence[str]
    meaning: str
    allows: Sequence[str]
    refuses: Sequence[str] = ()

    @property
    def term(self) -> str:
        """Return the entries as they are written."""
        return ", ".join(self.entries)

    def describe(self) -> str:
        """Return everything but the entries, as one text."""
        refused = f"\n- {', '.join(self.refuses)}" if self.refuses else ""
        return f"{self.meaning}\n+ {', '.join(self.allows)}{refused}"


PERMISSIONS = (
    PermissionExample((), "everything", ("GET /any", "DELETE /v1/files/7")),
    PermissionExample(("*",), "every route", ("GET /any", "DELETE /v1/files/7")),
    PermissionExample(
        ("/v1/*",), "a pattern, any method", ("GET /v1/models", "POST /v1/chat"), ("GET /v2/models",)
    ),
    PermissionExample(
        ("POST /v1/chat/*",), "one method", ("POST /v1/chat/completions",), ("GET /v1/chat/completions",)
    ),
    PermissionExample(
        ("route:gpu-*",), "the id or name of a route", ("GET /x on gpu-1",), ("GET /x on cpu-1",)
    ),
    PermissionExample(
        ("/v1/models", "POST /v1/embeddings"),
        "either",
        ("GET /v1/models", "POST /v1/embeddings"),
        ("POST /v1/chat",),
    ),
    PermissionExample(
        ("model:qwen*",),
        "every route, these models",
        ("POST /v1/chat for qwen3", "GET /v1/models"),
        ("POST /v1/chat for gpt-5",),
    ),
    PermissionExample(
        ("/v1/*", "model:qwen*"),
        "both have to hold",
        ("POST /v1/chat for qwen3",),
        ("POST /v2/chat for qwen3", "POST /v1/chat for gpt-5"),
    ),
)


def build_page() -> Page:
    """Return the page."""
    return Page(
        examples=(
            "fastgate keys create --permission 'POST /v1/chat/*' --permission /v1/models",
            "fastgate keys create --permission '/v1/*' --permission 'model:qwen*'",
            "fastgate keys update key_01jd2m5n8r9xq4t7w0z3v6b1ca \\",
            "    --add-permission 'route:gpu-*'",
            "fastgate routes explain GET /v1/models --key key_01jd2m5n8r9xq4t7w0z3v6b1ca",
        ),
        blocks=(
            Text(
                "A key without permissions may use every route. With permissions, one of them has to "
                "allow the request: a pattern of paths, with or without a method before it; route: and "
                "the id or name of a route, in which * and ? are wildcards; or *."
            ),
            Text(
                "Entries with model: narrow what the others allow. If there are any, a request with a "
                "body has to be JSON with a field model that matches one of them; a request without a "
                "body is not narrowed."
            ),
            Rows(
                [(example.term or "(none)", example.describe()) for example in PERMISSIONS],
                "Permissions, with requests that they allow (+) and do not (-)",
            ),
            Text(
                "A request that is not allowed is answered with 403 and the code permission_denied, and "
                "is in the audit trail. 'fastgate help patterns' explains the patterns."
            ),
        ),
    )
