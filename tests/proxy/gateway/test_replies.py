"""The answers that the gateway makes itself."""

from __future__ import annotations

import json

import pytest

from proxy.gateway.replies import (
    BODY_REPLIES,
    INTERNAL,
    NOT_RECORDED,
    OVERLOADED,
    RATE_LIMITED,
    READ_ONLY,
    Reply,
    build_error,
    error_headers,
    own_headers,
    write_refusal,
)
from proxy.http1.faults import CROWDED, FAILED, LONG_LINE, SLOW_HEAD, Fault
from proxy.http1.handler import BAD_BODY, TIMED_OUT


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
    error = json.loads(build_error(Reply(status, "a_code", 'a "message"'), "req_1"))["error"]
    assert error == {"message": 'a "message"', "type": kind, "code": "a_code", "request_id": "req_1"}


@pytest.mark.parametrize(
    ("answer", "status", "code"),
    [
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


def test_an_error_states_its_length_and_its_date() -> None:
    headers = dict(error_headers(404, [(b"x-request-id", b"req_1")], 2))
    assert (headers[b"content-length"], headers[b"x-request-id"]) == (b"2", b"req_1")
    assert headers[b"date"].endswith(b" GMT")
    assert b"www-authenticate" not in headers


def test_a_401_tells_how_to_authenticate() -> None:
    assert dict(error_headers(401, []))[b"www-authenticate"] == b'Bearer realm="fastgate"'


def test_a_503_tells_when_to_try_again() -> None:
    assert dict(error_headers(503, []))[b"retry-after"] == b"1"


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


def test_every_response_says_its_id_and_where_the_time_went() -> None:
    assert own_headers("req_1", 1500, 250_000) == [
        (b"x-request-id", b"req_1"),
        (b"server-timing", b"gateway;dur=1.500, upstream;dur=250.000"),
    ]
