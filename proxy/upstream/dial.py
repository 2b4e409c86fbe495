"""Opening a socket to a backend: to the first of its addresses that takes a connection (RFC 8305).

Addresses of both families take turns. The next one is tried when one has failed, or has not answered for
`ATTEMPT_SECONDS`, while it goes on; what connects first is used, and everything else is closed. One address,
the usual case, costs no task and no timer. How long the whole may take is for the caller to say; however it
ends, no socket is left open.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Awaitable, Callable, Sequence

from proxy.upstream.faults import RESOLVING
from proxy.upstream.resolve import Address, Resolver

Connect = Callable[[socket.socket, Address], Awaitable[None]]

ATTEMPT_SECONDS = 0.25  # RFC 8305 section 5: the connection attempt delay
# A backend that is gone without a word, its machine or a middlebox: found out after about two minutes, where
# the system's own default is more than two hours.
_KEEP_ALIVE_SECONDS = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 10}
_OPTIONS = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    *(
        (socket.IPPROTO_TCP, int(getattr(socket, name)), seconds)
        for name, seconds in _KEEP_ALIVE_SECONDS.items()
        if hasattr(socket, name)
    ),
)
_NO_FILES = frozenset((errno.EMFILE, errno.ENFILE))
# What an address says of this machine and not of the backend: that it has no network of that family.
_NO_NETWORK = frozenset((errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT))


async def open_socket(
    resolver: Resolver,
    host: str,
    port: int,
    *,
    connect: Connect | None = None,
    attempt_seconds: float = ATTEMPT_SECONDS,
) -> socket.socket:
    """Return a connected socket that does not block, for a transport to be made of.

    Its peer is the address that `Resolver.is_current` takes. Raises `OSError` for a name without addresses,
    or for the address whose failure tells most; `explain_connect_error` reads them.
    """
    try:
        addresses = await resolver.resolve(host, port)
    except asyncio.CancelledError as error:
        error.add_note(RESOLVING)  # by which a time-out of the caller's is told from one of connecting
        raise
    connect = connect or asyncio.get_running_loop().sock_connect
    if len(addresses) == 1:
        return await _open(addresses[0], connect)
    return await _race(interleave(addresses), connect, attempt_seconds)


def interleave(addresses: Sequence[Address]) -> list[Address]:
    """Return addresses so that families take turns, that of the first one first (RFC 8305 section 4)."""
    families = [_find_family(address) for address in addresses]
    # The n-th of its family goes to the n-th round; sorting keeps the order within a round.
    order = sorted(
        range(len(addresses)),
        key=lambda place: (families[:place].count(families[place]), families[place] != families[0]),
    )
    return [addresses[place] for place in order]


async def _open(address: Address, connect: Connect) -> socket.socket:
    sock = socket.socket(_find_family(address), socket.SOCK_STREAM)  # closed on exec, as PEP 446 says
    try:
        sock.setblocking(False)
        for option in _OPTIONS:
            sock.setsockopt(*option)
        await connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock


async def _race(addresses: Sequence[Address], connect: Connect, attempt_seconds: float) -> socket.socket:
    waiting = list(reversed(addresses))
    attempts: set[asyncio.Task[socket.socket]] = set()
    failures: list[OSError] = []
    try:
        while waiting or attempts:
            if waiting:
                attempts.add(asyncio.create_task(_open(waiting.pop(), connect)))
            done, _ = await asyncio.wait(
                attempts,
                timeout=attempt_seconds if waiting else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            for attempt in done:
                attempts.remove(attempt)
                if (sock := _take(attempt, failures)) is not None:
                    return sock
    finally:
        for attempt in attempts:
            attempt.cancel()
            attempt.add_done_callback(_discard)
    raise _choose(failures)


def _take(attempt: asyncio.Task[socket.socket], failures: list[OSError]) -> socket.socket | None:
    try:
        return attempt.result()
    except OSError as error:
        failures.append(error)
        return None


def _discard(attempt: asyncio.Task[socket.socket]) -> None:
    """Close what an attempt that nobody waits for has opened before it could be stopped."""
    if not attempt.cancelled() and attempt.exception() is None:
        attempt.result().close()


def _choose(failures: Sequence[OSError]) -> OSError:
    """Return the failure that tells most: of files first, and of a family without a network last."""
    return min(failures, key=lambda error: (error.errno not in _NO_FILES, error.errno in _NO_NETWORK))


def _find_family(address: Address) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address[0] else socket.AF_INET
