"""The mock over real sockets: determinism, pace, echo, refusals, and clients that leave."""

from __future__ import annotations

import asyncio
import hashlib
import json
import socket
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from proxy.errors import InvalidInputError
from proxy.mock import EventStream
from proxy.mock.app import BODY_BYTES_MAX, Pace, create_mock

CHAT = "/v1/chat/completions"
MESSAGES = "/v1/messages"


def _ask(**fields: object) -> bytes:
    turns = [{"role": "user", "content": "hello"}]
    return json.dumps({"model": "m", "max_tokens": 99, "messages": turns, **fields}).encode()


def _exchange(url: str, request: bytes) -> bytes:
    """Send raw bytes, which ask for the connection to be closed, and return all that comes back.

    The sending side stays open: ended early, it would race the answer as a body that was cut short.
    """
    port = int(url.rsplit(":", 1)[1])
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.mark.parametrize("path", [CHAT, MESSAGES])
@pytest.mark.parametrize("stream", [False, True])
def test_the_same_request_gets_the_same_bytes(http: httpx.Client, path: str, stream: bool) -> None:
    asked = _ask(stream=stream)
    first, second = (http.post(path, content=asked) for _ in range(2))
    assert first.status_code == 200
    assert first.content == second.content
    assert first.headers == second.headers
    assert http.post(path, content=asked + b" ").content != first.content


def test_health(http: httpx.Client) -> None:
    assert http.get("/health").json() == {"status": "ok"}


@pytest.mark.parametrize("path", [CHAT, MESSAGES])
@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"model":"m"}'])
def test_bad_bodies_get_400_in_the_providers_shape(http: httpx.Client, path: str, body: bytes) -> None:
    response = http.post(path, content=body)
    assert response.status_code == 400
    assert response.json()["error"]["type"] == "invalid_request_error"
    assert response.json()["error"]["message"]
    assert response.json().get("type") == ("error" if path == MESSAGES else None)
    assert b"Traceback" not in response.content


def test_unknown_paths_get_404_in_the_providers_shape(http: httpx.Client) -> None:
    openai_shaped = http.get("/v1/embeddings")
    assert openai_shaped.status_code == 404
    assert openai_shaped.json()["error"]["code"] == "not_found"
    for url, headers in ((MESSAGES + "/batches", {}), ("/v1/files", {"anthropic-version": "2023-06-01"})):
        anthropic_shaped = http.get(url, headers=headers)
        assert anthropic_shaped.status_code == 404
        assert anthropic_shaped.json()["error"]["type"] == "not_found_error"


def test_wrong_method_names_the_right_one(http: httpx.Client) -> None:
    response = http.get(CHAT)
    assert response.status_code == 405
    assert "POST" in response.headers["allow"]
    assert response.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    "target", [b"?x", b"*", b"/%00%0a", b"/\\", b"//v1/models", b"/v1//models", b"//echo"]
)
def test_odd_targets_get_404_and_no_redirect(mock_url: str, target: bytes) -> None:
    answer = _exchange(mock_url, b"GET " + target + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert b'"error"' in answer


@pytest.mark.parametrize("target", ["/echo", "/echo/", "/echo//a/../%2e%2F%0a/b%20c?x=%41&&x=2?"])
def test_echo_reports_the_target_as_it_came(mock_url: str, target: str) -> None:
    answer = _exchange(mock_url, f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    echoed = json.loads(answer.partition(b"\r\n\r\n")[2])
    path, _, query = target.partition("?")
    assert (echoed["method"], echoed["path"], echoed["query"]) == ("GET", path, query)


def test_echo_reports_headers_in_order_and_the_body(http: httpx.Client) -> None:
    headers = [
        ("x-b", "1"),
        ("x-a", "2"),
        ("x-b", "3"),
        ("x-text", "caf\u00e9"),
    ]
    sent = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    body = bytes(range(256)) * 100
    echoed = http.post("/echo/deep/path", headers=sent, content=body).json()
    assert [tuple(pair) for pair in echoed["headers"] if pair[0].startswith("x-")] == headers
    assert echoed["body_bytes"] == len(body)
    assert echoed["body_sha256"] == hashlib.sha256(body).hexdigest()


def test_echo_is_only_below_its_path(http: httpx.Client) -> None:
    assert http.get("/echoes").status_code == 404


def test_large_bodies_are_taken_and_larger_ones_refused(mock_url: str, http: httpx.Client) -> None:
    body = b"x" * (20 * 1024 * 1024)
    assert http.post("/echo", content=body).json()["body_bytes"] == len(body)
    declared = b"Content-Length: %d" % (BODY_BYTES_MAX + 1)
    answer = _exchange(
        mock_url, b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + declared + b"\r\n\r\n"
    )
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"request_too_large" in answer


@pytest.mark.parametrize("stream", [False, True])
def test_ttfb_delays_the_head(start_mock: Callable[[float, float], str], stream: bool) -> None:
    url = start_mock(150, 0)
    started = time.monotonic()
    with httpx.stream("POST", url + CHAT, content=_ask(stream=stream)) as response:
        assert time.monotonic() - started >= 0.15
        assert response.read()


def test_tokens_are_paced(start_mock: Callable[[float, float], str]) -> None:
    url = start_mock(0, 100)
    arrivals = []
    with httpx.stream("POST", url + CHAT, content=_ask(stream=True)) as response:
        for line in response.iter_lines():
            if '"content":"' in line:
                arrivals.append(time.monotonic())
    assert arrivals[-1] - arrivals[0] >= (len(arrivals) - 3) / 100
    assert arrivals[len(arrivals) // 2] - arrivals[0] >= 0.04


def test_a_late_token_does_not_delay_the_ones_after_it() -> None:
    async def collect() -> float:
        events = EventStream((), tuple([b"%d" % number for number in range(11)]), ())
        started = time.monotonic()
        async for event in Pace(token_seconds=0.05).pace_events(events):
            if event == b"1":
                time.sleep(0.4)  # noqa: ASYNC251 - a stalled process, not a waiting task
        return time.monotonic() - started

    # On schedule the last is due after 0.5 s; sleeping after each would make it 0.9 s.
    assert 0.5 <= asyncio.run(collect()) < 0.85


@pytest.mark.parametrize("leaves", [0, 3])
def test_a_client_that_leaves_ends_the_answer_quietly(leaves: int) -> None:
    """`leaves`: after how many body messages; 0 is before the head, while the first byte is awaited."""

    async def drive() -> list[dict[str, Any]]:
        app = create_mock(ttfb_ms=0 if leaves else 60_000, tokens_per_second=1 / 60 if leaves else 0)
        gone, sent = asyncio.Event(), list[dict[str, Any]]()
        body = _ask(stream=True)
        arriving: list[dict[str, Any]] = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Any:
            if arriving:
                return arriving.pop()
            if leaves:
                await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)
            if len(sent) == leaves:
                gone.set()

        scope: Any = {
            "type": "http",
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": CHAT,
            "raw_path": CHAT.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [(b"host", b"x"), (b"content-length", b"%d" % len(body))],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 2),
        }
        await asyncio.wait_for(app(scope, receive, send), 5)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return sent

    assert len(asyncio.run(drive())) == leaves


def test_others_are_served_while_clients_leave(start_mock: Callable[[float, float], str]) -> None:
    url = start_mock(0, 5)
    for _ in range(5):
        with httpx.stream("POST", url + CHAT, content=_ask(stream=True)) as response:
            assert next(response.iter_raw())
    assert httpx.get(f"{url}/health").status_code == 200


@pytest.mark.parametrize("options", [{"ttfb_ms": -1}, {"tokens_per_second": -1}, {"ttfb_ms": float("nan")}])
def test_impossible_paces_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(InvalidInputError) as refused:
        create_mock(**options)
    assert refused.value.hint
