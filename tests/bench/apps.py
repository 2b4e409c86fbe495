"""The applications that the gateway is measured against.

    python -m tests.bench.apps hello
    python -m tests.bench.apps emit
    python -m tests.bench.apps forward http://127.0.0.1:8515

`hello` answers at once and `emit` streams events, both on Hypercorn's own connections: what a bare Hypercorn
costs. `forward` is served as the gateway is, sends a request on through its transport and does nothing else:
no key, no route, no header rules, no audit.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from collections.abc import AsyncIterator

import httpx
import uvloop
from hypercorn.asyncio import serve
from hypercorn.config import Config

from proxy.listening import BACKLOG, bind_listener
from proxy.relay.asgi import ASGIApp, Receive, Scope, Send
from proxy.relay.bodies import read_ahead
from proxy.relay.direct import find_length
from proxy.relay.upstream import build_transport
from proxy.server import Site, run_sites

TIMEOUTS = dict.fromkeys(("connect", "read", "write", "pool"), 30.0)
EVENT = (
    b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"mock",'
    b'"choices":[{"index":0,"delta":{"content":" token"},"finish_reason":null}]}\n\n'
)
_HOP_BY_HOP = frozenset((b"host", b"connection", b"transfer-encoding", b"keep-alive"))


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    """Read the request and answer 200 with a few bytes."""
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"5")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"hello", "more_body": False})


async def emit(scope: Scope, receive: Receive, send: Send) -> None:
    """Send as many events, and at such intervals in seconds, as the JSON body of the request asks for."""
    if scope["type"] != "http":
        return
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    asked = json.loads(body)
    headers = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for _ in range(asked["events"]):
        await send({"type": "http.response.body", "body": EVENT, "more_body": True})
        await asyncio.sleep(asked["interval"])
    await send({"type": "http.response.body", "body": b"", "more_body": False})


class _Body(httpx.AsyncByteStream):
    def __init__(self, receive: Receive) -> None:
        self._receive = receive

    async def __aiter__(self) -> AsyncIterator[bytes]:
        more = True
        while more:
            message = await self._receive()
            more = message.get("more_body", False)
            if message.get("body"):
                yield message["body"]


def build_forwarder(origin: str) -> ASGIApp:
    """Return an application that sends every request to `origin` and its response back."""
    url = httpx.URL(origin)
    transport = build_transport()
    host = (b"host", url.netloc)

    async def forward(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        headers = [host, *(pair for pair in scope["headers"] if pair[0] not in _HOP_BY_HOP)]
        request = httpx.Request(
            scope["method"],
            url,
            headers=headers,
            stream=await read_ahead(_Body(receive), find_length(headers)),
            extensions={"target": scope["raw_path"], "timeout": TIMEOUTS},
        )
        response = await transport.handle_async_request(request)
        headers = [
            (name.lower(), value) for name, value in response.headers.raw if name.lower() not in _HOP_BY_HOP
        ]
        await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
        assert isinstance(response.stream, httpx.AsyncByteStream)
        async for chunk in response.stream:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        await response.aclose()

    return forward


def serve_bare(app: ASGIApp, listener: socket.socket) -> None:
    """Serve an application on Hypercorn as it comes, on the same event loop as the gateway."""
    config = Config()
    config.bind = [f"fd://{listener.detach()}"]
    config.keep_alive_max_requests = 1_000_000
    config.backlog = BACKLOG  # 400 connections come at once; those that are too many try again after a second
    uvloop.run(serve(app, config))  # type: ignore[arg-type]


def main() -> None:
    listener = bind_listener("127.0.0.1", 0)
    port = listener.getsockname()[1]
    print(f"listens on http://127.0.0.1:{port}", file=sys.stderr, flush=True)
    bare = {"hello": hello, "emit": emit}.get(sys.argv[1])
    if bare is not None:
        serve_bare(bare, listener)
    else:
        run_sites([Site(build_forwarder(sys.argv[2]), listener)], 1.0, on_ready=lambda _stop: None)


if __name__ == "__main__":
    main()
