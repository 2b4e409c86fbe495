"""How a connection to a backend came about: when it was begun and made, with whom, and over which TLS.

Only for whoever asks (`routes test`): the hot path never traces. What is told are httpcore's events, which
`DirectTransport` tells too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import httpx

from proxy.relay.direct import Trace

_CONNECTING = "connect_tcp"
_SECURING = "start_tls"
_STARTED, _COMPLETE = "started", "complete"


class ConnectionTrace:
    """What is known of the newest connection. `peer` is its address, `tls` its version; empty: none."""

    def __init__(self, monotonic: Callable[[], float] = time.perf_counter) -> None:
        self.is_made = False
        self.seconds = 0.0
        self.peer = ""
        self.tls = ""
        self._monotonic = monotonic
        self._started = 0.0

    async def __call__(self, event: str, info: Mapping[str, Any]) -> None:
        """Take one event, such as `connection.connect_tcp.complete`."""
        *_, step, state = event.split(".")
        if step not in (_CONNECTING, _SECURING):
            return
        if step == _CONNECTING and state == _STARTED:
            self._started, self.peer, self.tls = self._monotonic(), "", ""
        self.is_made = state == _COMPLETE
        self.seconds = self._monotonic() - self._started
        if self.is_made:
            self._describe(info["return_value"].get_extra_info)

    def _describe(self, find: Callable[[str], Any]) -> None:
        # asyncio's transports and httpcore's streams name the address differently.
        address = find("peername") or find("server_addr")
        if address:
            host, port = address[:2]
            self.peer = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        if tls := find("ssl_object"):
            self.tls = tls.version() or ""


class TracedTransport(httpx.AsyncBaseTransport):
    """Another transport, told of whose new connections a trace is."""

    def __init__(self, transport: httpx.AsyncBaseTransport, trace: Trace) -> None:
        self._transport = transport
        self._trace = trace

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request over that transport."""
        request.extensions["trace"] = self._trace
        return await self._transport.handle_async_request(request)

    async def aclose(self) -> None:
        """Close that transport."""
        await self._transport.aclose()
