"""Ports on which nobody listens, and which nobody but the test is given.

Tests run beside each other, and the kernel hands a port that was found free and let go to the next that asks.
A port here is bound as long as the test runs, which keeps it out of that choice, and is not listened on:
whoever connects is refused, and a process that is told the port may listen on it, since both reuse addresses.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

HOST = "127.0.0.1"
_ATTEMPTS = 50


@contextmanager
def reserve_port() -> Iterator[int]:
    """Keep a port for what the test starts on it, or for nothing at all."""
    with reserve_neighbours(1) as (port,):
        yield port


@contextmanager
def reserve_neighbours(count: int) -> Iterator[tuple[int, ...]]:
    """Keep several ports in a row, for programs that take the port after the one that they are told."""
    for _ in range(_ATTEMPTS):
        with ExitStack() as held:
            first = _bind(held, 0)
            try:
                ports = (first, *(_bind(held, first + number) for number in range(1, count)))
            except (OSError, OverflowError):
                continue
            yield ports
            return
    raise AssertionError(f"no {count} neighbouring ports are free")


def _bind(held: ExitStack, port: int) -> int:
    sock = held.enter_context(socket.socket())
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((HOST, port))
    return int(sock.getsockname()[1])
