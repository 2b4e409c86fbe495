"""The answers that the gateway makes itself, in the shape that OpenAI's clients understand.

`{"error": {"message", "type", "code", "request_id"}}`. A message is fixed text: nothing that the client sent
comes back in it.
"""

from __future__ import annotations

import time
from email.utils import formatdate

import msgspec

from proxy.audit.events import request_id
from proxy.clock import now_us
from proxy.http1.faults import Fault
from proxy.http1.heads import build_refusal
from proxy.http1.request import BAD_BODY, TIMED_OUT
from proxy.ids import new_ulid
from proxy.relay.asgi import Send

TOO_LARGE = (413, "body_too_large", "the request body is larger than this gateway takes")
NOT_RECORDED = (503, "overloaded", "the gateway cannot record requests at the moment")
RATE_LIMITED = (429, "rate_limited", "the API key has used up its requests; see the header retry-after")
# By the reason that the server gives for a body that will not come to its end.
BODY_REPLIES = {
    BAD_BODY: (400, "bad_request", "the request body is not well-formed"),
    TIMED_OUT: (408, "bad_request", "the request body did not come in time"),
}
OVERLOADED = (503, "overloaded", "the gateway serves as many requests as it can; try again in a moment")
STOPPING = (503, "overloaded", "the gateway is stopping; try again in a moment")
READ_ONLY = (400, "bad_request", "this page can only be read")
INTERNAL = (500, "internal_error", "the gateway failed; its operator can find the cause by the request id")

_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}
_RETRY_AFTER = (b"retry-after", b"1")
_CHALLENGE = (b"www-authenticate", b'Bearer realm="fastgate"')


async def send_error(send: Send, status: int, body: bytes, told: list[tuple[bytes, bytes]]) -> None:
    """Send a whole error response, with a body that `build_error` made."""
    headers = [*_error_headers(status, told), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


async def send_status(send: Send, status: int, request_id: str) -> None:
    """Send a response of nothing but a status and an id: it needs nothing that could have failed before."""
    headers = [(b"content-length", b"0"), (b"x-request-id", request_id.encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def send_no_content(send: Send, headers: list[tuple[bytes, bytes]]) -> None:
    """Send a 204 (RFC 9110 section 15.3.5), which has no body and states no length."""
    await send({"type": "http.response.start", "status": 204, "headers": [date_header(), *headers]})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def write_refusal(fault: Fault) -> bytes:
    """Return the whole response to what the server refuses by itself: it has an id, and no audit row."""
    id_of_request = request_id(new_ulid(now_us()))
    code = {500: "internal_error", 503: "overloaded"}.get(fault.status, "bad_request")
    body = build_error(fault.status, code, fault.message, id_of_request)
    return build_refusal(fault.status, _error_headers(fault.status, own_headers(id_of_request, 0, 0)), body)


def _error_headers(status: int, told: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    headers = [date_header(), (b"content-type", b"application/json"), *told]
    if status == 401:
        headers.append(_CHALLENGE)
    elif status == 503:
        headers.append(_RETRY_AFTER)
    return headers


def date_header() -> tuple[bytes, bytes]:
    """Return when an answer of the gateway's own was made (RFC 9110 section 6.6.1)."""
    return b"date", formatdate(time.time(), usegmt=True).encode()


def build_error(status: int, code: str, message: str, request_id: str) -> bytes:
    """Return the JSON body of an error."""
    kind = _TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    error = {"message": message, "type": kind, "code": code, "request_id": request_id}
    return msgspec.json.encode({"error": error})


def own_headers(request_id: str, gateway_us: int, upstream_us: int) -> list[tuple[bytes, bytes]]:
    """Return what every response carries: its id, and where the time to its head went (in ms)."""
    timing = f"gateway;dur={gateway_us / 1000:.3f}, upstream;dur={upstream_us / 1000:.3f}"
    return [(b"x-request-id", request_id.encode()), (b"server-timing", timing.encode())]
