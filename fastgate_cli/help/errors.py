"""`fastgate help errors`: what the gateway answers when it answers itself, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass

from fastgate_cli.help.page import Lines, Page, Rows, Text


@dataclass(frozen=True, slots=True)
class GatewayError:
    """One code, with the status that it comes with, when it does, and what mends it."""

    code: str
    statuses: tuple[int, ...]
    meaning: str
    remedy: str = ""

    def describe(self) -> str:
        """Return the statuses, what it means, and what to do."""
        return f"{', '.join(map(str, self.statuses))}. {self.meaning}. {self.remedy}".rstrip()


ERRORS = (
    GatewayError(
        "bad_request",
        (400, 408, 414, 417, 431, 505),
        "The request cannot be forwarded as it is: its framing, its path, or a body that a rule needs",
        "The audit row says what is wrong.",
    ),
    GatewayError(
        "missing_api_key", (401,), "No key was sent", "Send the header 'Authorization: Bearer KEY'."
    ),
    GatewayError(
        "invalid_api_key",
        (401,),
        "The key is unknown, disabled or expired, or two keys were sent; only the audit row says which",
        "See 'fastgate keys list'.",
    ),
    GatewayError("permission_denied", (403,), "The key may not do this", "See 'fastgate help permissions'."),
    GatewayError("no_route", (404,), "No route matches", "See 'fastgate routes explain'."),
    GatewayError(
        "body_too_large",
        (413,),
        "The body is larger than proxy.max_body_size, or than proxy.inspect_body_size where a rule reads it",
    ),
    GatewayError("rate_limited", (429,), "The key has used up its requests", "See 'fastgate help limits'."),
    GatewayError("internal_error", (500,), "The gateway failed", "Its log has the cause."),
    GatewayError(
        "upstream_unreachable", (502,), "No backend could be connected to", "See 'fastgate routes test'."
    ),
    GatewayError("upstream_invalid", (502,), "The backend's answer is not HTTP, or broke off"),
    GatewayError(
        "overloaded",
        (503,),
        "More requests than the gateway takes, or they cannot be recorded",
        "See proxy.max_in_flight, proxy.max_connections and 'fastgate doctor'.",
    ),
    GatewayError(
        "upstream_timeout", (504,), "The backend was silent for too long", "See --timeout of its route."
    ),
)
BODY = (
    '{"error": {"message": "no route matches this request",',
    '           "type": "not_found_error",',
    '           "code": "no_route",',
    '           "request_id": "req_..."}}',
)


def build_page() -> Page:
    """Return the page."""
    return Page(
        examples=(
            "fastgate logs list --errors --since 1h",
            "fastgate logs show req_01jd2m5n8r9xq4t7w0z3v6b1ca    # why it was refused",
            "fastgate routes explain POST /v1/chat/completions --data @body.json",
            "fastgate routes test ollama",
        ),
        blocks=(
            Text(
                "What the gateway answers itself has this body, as OpenAI's clients expect it. Anything "
                "else is the backend's answer, passed on as it came."
            ),
            Lines(BODY),
            Rows([(error.code, error.describe()) for error in ERRORS], "Codes"),
            Text(
                "If a backend breaks off in the middle of its answer, so does the gateway, for an end "
                "would make half an answer look whole; the row then says upstream_truncated."
            ),
            Text(
                "Every answer carries the header x-request-id, by which 'fastgate logs show' finds the "
                "request. The row of the audit trail says more than the client is told: which key it "
                "was, and why exactly."
            ),
        ),
    )
