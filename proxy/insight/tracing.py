"""How a connection to a backend came about: when it was begun and made, with whom, and over which TLS.

Only for whoever asks (`routes test`): the gateway itself traces nothing. `Upstream` tells of each connection.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

_STARTED = "started"


class ConnectionTrace:
    """What is known of the newest connection. `peer` is its address, `tls` its version; empty: none."""

    def __init__(self, monotonic: Callable[[], float] = time.perf_counter) -> None:
        self.is_made = False
        self.seconds = 0.0
        self.peer = ""
        self.tls = ""
        self._monotonic = monotonic
        self._started = 0.0

    def __call__(self, event: str, transport: asyncio.Transport | None) -> None:
        """Take one event: "started", or "complete" with the connection's transport."""
        if event == _STARTED:
            self._started, self.is_made, self.peer, self.tls = self._monotonic(), False, "", ""
            return
        self.is_made = True
        self.seconds = self._monotonic() - self._started
        if transport is not None:  # else it has ended already
            self._describe(transport)

    def _describe(self, transport: asyncio.Transport) -> None:
        if address := transport.get_extra_info("peername"):
            host, port = address[:2]
            self.peer = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        if tls := transport.get_extra_info("ssl_object"):
            self.tls = tls.version() or ""
