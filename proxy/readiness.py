"""Telling a service manager how the gateway is doing: the protocol of sd_notify(3).

One datagram a message to the socket that NOTIFY_SOCKET names; without one nothing is sent. A manager that
cannot be reached is not a reason to stop serving.
"""

from __future__ import annotations

import logging
import socket
import time

_log = logging.getLogger(__name__)


class Readiness:
    """Tells the service manager at an address; a leading `@` is Linux's abstract namespace."""

    def __init__(self, address: str) -> None:
        self._address = f"\0{address[1:]}" if address.startswith("@") else address

    def tell_ready(self) -> None:
        """Say that connections are taken: at the start, and again when a reload is over."""
        self._send("READY=1")

    def tell_reloading(self) -> None:
        """Say that the configuration is being read anew. Ends with `tell_ready`, whatever came of it."""
        # systemd's Type=notify-reload matches a reload to its request by this time.
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def tell_stopping(self) -> None:
        """Say that no more connections are taken."""
        self._send("STOPPING=1")

    def _send(self, message: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as wire:
                # A manager that reads nothing must not hold the supervisor up.
                wire.setblocking(False)
                wire.sendto(message.encode(), self._address)
        except OSError as error:
            _log.warning("the service manager was not told %s: %s", message.partition("\n")[0], error)
