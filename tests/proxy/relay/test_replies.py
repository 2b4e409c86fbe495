"""The answers that the gateway makes itself."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from proxy.relay.asgi import Incoming
from proxy.relay.replies import (
    INTERNAL,
    NOT_RECORDED,
    READ_ONLY,
    TOO_LARGE,
    build_error,
    send_error,
    send_no_content,
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
        (READ_ONLY, 400, "bad_request"),
    ],
)
def test_fixed_answers_have_the_codes_of_the_contract(
    answer: tuple[int, str, str], status: int, code: str
) -> None:
    assert answer[:2] == (status, code)


def send(status: int, incoming_messages: int) -> list[dict[str, Any]]:
    async def run() -> list[dict[str, Any]]:
        sent: list[dict[str, Any]] = []
        left = incoming_messages

        async def receive() -> dict[str, Any]:
            nonlocal left
            left -= 1
            sent.append({"type": "received"})
            return {"type": "http.request", "body": b"x", "more_body": left > 0}

        async def note(message: Any) -> None:
            sent.append(message)

        incoming = Incoming(receive, has_body=incoming_messages > 0)
        await send_error(note, incoming, status, b"{}", [(b"x-request-id", b"req_1")])
        return sent

    return asyncio.run(run())


def test_an_error_is_a_whole_response() -> None:
    start, body = send(404, 0)
    headers = dict(start["headers"])
    assert (start["type"], start["status"]) == ("http.response.start", 404)
    assert (headers[b"content-length"], headers[b"x-request-id"]) == (b"2", b"req_1")
    assert b"GMT" in headers[b"date"]
    assert b"www-authenticate" not in headers
    assert body == {"type": "http.response.body", "body": b"{}", "more_body": False}


def test_a_401_tells_how_to_authenticate() -> None:
    assert dict(send(401, 0)[0]["headers"])[b"www-authenticate"] == b'Bearer realm="fastgate"'


def test_the_client_has_its_answer_before_the_rest_of_its_body_is_read() -> None:
    _, body, *received, last = send(413, 3)
    assert (body["body"], body["more_body"]) == (b"{}", True)
    assert received == [{"type": "received"}] * 3
    assert (last["body"], last["more_body"]) == (b"", False)


def test_a_204_states_no_length_and_has_a_date() -> None:
    sent: list[Any] = []

    async def take(message: Any) -> None:
        sent.append(message)

    asyncio.run(send_no_content(take, [(b"x-a", b"1")]))
    start, end = sent
    assert (start["status"], [name for name, _ in start["headers"]]) == (204, [b"date", b"x-a"])
    assert (end["body"], end["more_body"]) == (b"", False)
