"""The two applications that the gateway is measured against, served exactly as the gateway is.

    python -m tests.bench.apps hello
    python -m tests.bench.apps forward http://127.0.0.1:8515

`hello` answers at once: what Hypercorn alone costs. `forward` sends a request on through the gateway's own
transport and does nothing else, no key, no route, no header rules, no audit: what forwarding costs.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator

import httpx

from proxy.relay.asgi import ASGIApp, Receive, Scope, Send
from proxy.relay.bodies import read_ahead
from proxy.relay.direct import find_length
from proxy.relay.upstream import build_transport
from proxy.server import Site, bind_listener, run_sites

TIMEOUTS = dict.fromkeys(("connect", "read", "write", "pool"), 30.0)
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


def main() -> None:
    app = hello if sys.argv[1] == "hello" else build_forwarder(sys.argv[2])
    listener = bind_listener("127.0.0.1", 0)
    port = listener.getsockname()[1]
    print(f"listens on http://127.0.0.1:{port}", file=sys.stderr, flush=True)
    run_sites([Site(app, listener)], 1.0, on_ready=lambda _stop: None)


if __name__ == "__main__":
    main()
