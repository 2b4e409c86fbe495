"""The answers that the gateway makes itself, in the shape that OpenAI's clients understand.

`{"error": {"message", "type", "code", "request_id"}}`. A message is fixed text: nothing that the client sent
comes back in it.
"""

from __future__ import annotations

import time
from email.utils import formatdate
from functools import lru_cache
from typing import NamedTuple

import msgspec

from proxy.audit.events import request_id
from proxy.clock import now_us
from proxy.http1.faults import Fault
from proxy.http1.handler import BAD_BODY, TIMED_OUT
from proxy.http1.heads import build_refusal
from proxy.ids import new_ulid
from proxy.policy.model import HeaderPairs


class Reply(NamedTuple):
    """Status, code and message of an error. A message is fixed text."""

    status: int
    code: str
    message: str


NOT_RECORDED = Reply(503, "overloaded", "the gateway cannot record requests at the moment")
RATE_LIMITED = Reply(429, "rate_limited", "the API key has used up its requests; see the header retry-after")
# By the reason that the connection gives for a body that will not come to its end.
BODY_REPLIES = {
    BAD_BODY: Reply(400, "bad_request", "the request body is not well-formed"),
    TIMED_OUT: Reply(408, "bad_request", "the request body did not come in time"),
}
OVERLOADED = Reply(503, "overloaded", "the gateway serves as many requests as it can; try again in a moment")
STOPPING = Reply(503, "overloaded", "the gateway is stopping; try again in a moment")
READ_ONLY = Reply(400, "bad_request", "this page can only be read")
INTERNAL = Reply(
    500, "internal_error", "the gateway failed; its operator can find the cause by the request id"
)
# Refused for these, what comes next on the connection could be read in two ways (RFC 9112 section 6.3).
ENDS_CONNECTION = frozenset(("bad_framing",))

_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}
_RETRY_AFTER = (b"retry-after", b"1")
_CHALLENGE = (b"www-authenticate", b'Bearer realm="fastgate"')


def write_refusal(fault: Fault) -> bytes:
    """Return the whole response to what the server refuses by itself: it has an id, and no audit row."""
    id_of_request = request_id(new_ulid(now_us()))
    code = {500: "internal_error", 503: "overloaded"}.get(fault.status, "bad_request")
    body = build_error(Reply(fault.status, code, fault.message), id_of_request)
    headers = error_headers(fault.status, own_headers(id_of_request, 0, 0))
    return build_refusal(fault.status, headers, body)


def error_headers(status: int, told: HeaderPairs, length: int | None = None) -> list[tuple[bytes, bytes]]:
    """Return the headers of an error; without a length somebody else states that."""
    headers = [date_header(), (b"content-type", b"application/json"), *told]
    if status == 401:
        headers.append(_CHALLENGE)
    elif status == 503:
        headers.append(_RETRY_AFTER)
    if length is not None:
        headers.append((b"content-length", b"%d" % length))
    return headers


def date_header() -> tuple[bytes, bytes]:
    """Return when an answer of the gateway's own was made (RFC 9110 section 6.6.1)."""
    return b"date", date_value()


def date_value() -> bytes:
    """Return the time as HTTP writes it."""
    return _format_date(int(time.time()))


@lru_cache(maxsize=2)
def _format_date(second: int) -> bytes:
    return formatdate(second, usegmt=True).encode()


def build_error(reply: Reply, request_id: str) -> bytes:
    """Return the JSON body of an error."""
    status = reply.status
    kind = _TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    error = {"message": reply.message, "type": kind, "code": reply.code, "request_id": request_id}
    return msgspec.json.encode({"error": error})


def own_headers(request_id: str, gateway_us: int, upstream_us: int) -> list[tuple[bytes, bytes]]:
    """Return what every response carries: its id, and where the time to its head went (in ms)."""
    timing = f"gateway;dur={gateway_us / 1000:.3f}, upstream;dur={upstream_us / 1000:.3f}"
    return [(b"x-request-id", request_id.encode()), (b"server-timing", timing.encode())]
