"""The answers that the gateway makes itself."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from proxy.http1.faults import CROWDED, FAILED, LONG_LINE, SLOW_HEAD, Fault
from proxy.http1.request import BAD_BODY, TIMED_OUT
from proxy.relay.replies import (
    BODY_REPLIES,
    INTERNAL,
    NOT_RECORDED,
    OVERLOADED,
    RATE_LIMITED,
    READ_ONLY,
    TOO_LARGE,
    build_error,
    own_headers,
    send_error,
    send_no_content,
    write_refusal,
)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (413, "invalid_request_error"),
        (429, "rate_limit_error"),
        (500, "server_error"),
        (504, "server_error"),
    ],
)
def test_a_body_has_the_shape_that_clients_know(status: int, kind: str) -> None:
    error = json.loads(build_error(status, "a_code", 'a "message"', "req_1"))["error"]
    assert error == {"message": 'a "message"', "type": kind, "code": "a_code", "request_id": "req_1"}


@pytest.mark.parametrize(
    ("answer", "status", "code"),
    [
        (TOO_LARGE, 413, "body_too_large"),
        (NOT_RECORDED, 503, "overloaded"),
        (INTERNAL, 500, "internal_error"),
        (OVERLOADED, 503, "overloaded"),
        (READ_ONLY, 400, "bad_request"),
        (BODY_REPLIES[BAD_BODY], 400, "bad_request"),
        (BODY_REPLIES[TIMED_OUT], 408, "bad_request"),
        (RATE_LIMITED, 429, "rate_limited"),
    ],
)
def test_fixed_answers_have_the_codes_of_the_contract(
    answer: tuple[int, str, str], status: int, code: str
) -> None:
    assert answer[:2] == (status, code)


def send(status: int) -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []

    async def note(message: Any) -> None:
        sent.append(message)

    asyncio.run(send_error(note, status, b"{}", [(b"x-request-id", b"req_1")]))
    return sent


def test_an_error_is_a_whole_response() -> None:
    start, body = send(404)
    headers = dict(start["headers"])
    assert (start["type"], start["status"]) == ("http.response.start", 404)
    assert (headers[b"content-length"], headers[b"x-request-id"]) == (b"2", b"req_1")
    assert b"GMT" in headers[b"date"]
    assert b"www-authenticate" not in headers
    assert body == {"type": "http.response.body", "body": b"{}", "more_body": False}


def test_a_401_tells_how_to_authenticate() -> None:
    assert dict(send(401)[0]["headers"])[b"www-authenticate"] == b'Bearer realm="fastgate"'


def test_a_503_tells_when_to_try_again() -> None:
    assert dict(send(503)[0]["headers"])[b"retry-after"] == b"1"


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (CROWDED, "overloaded"),
        (SLOW_HEAD, "bad_request"),
        (LONG_LINE, "bad_request"),
        (FAILED, "internal_error"),
    ],
)
def test_what_the_server_refuses_by_itself_is_answered_in_the_same_shape(fault: Fault, code: str) -> None:
    head, _, body = write_refusal(fault).partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = dict(line.split(": ") for line in lines)
    error = json.loads(body)["error"]
    assert status.startswith(f"HTTP/1.1 {fault.status} ")
    assert (error["code"], error["message"]) == (code, fault.message)
    assert error["request_id"] == headers["x-request-id"]
    assert (headers["content-length"], headers["connection"]) == (str(len(body)), "close")
    assert ("retry-after" in headers) is (fault is CROWDED)
    assert {"date", "server-timing"} <= headers.keys()


def test_a_204_states_no_length_and_has_a_date() -> None:
    sent: list[Any] = []

    async def take(message: Any) -> None:
        sent.append(message)

    asyncio.run(send_no_content(take, [(b"x-a", b"1")]))
    start, end = sent
    assert (start["status"], [name for name, _ in start["headers"]]) == (204, [b"date", b"x-a"])
    assert (end["body"], end["more_body"]) == (b"", False)


def test_every_response_says_its_id_and_where_the_time_went() -> None:
    assert own_headers("req_1", 1500, 250_000) == [
        (b"x-request-id", b"req_1"),
        (b"server-timing", b"gateway;dur=1.500, upstream;dur=250.000"),
    ]
