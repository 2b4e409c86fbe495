"""Names to addresses, looked up in threads of our own: one silent name server delays nobody else.

asyncio looks names up in its default pool of a few threads, which a name whose server does not answer fills
up for everybody. Here each name has at most one look-up under way, in a thread of its own, shared by all who
ask for it. There are at most `THREADS_MAX`; more names wait in line, but not behind look-ups that are all
slow: then they fail at once. Addresses need no look-up, and names that are known wait for none.

getaddrinfo does not tell how long a record lives, so an answer is asked for anew once it is `FRESH_SECONDS`
old, while it is still used. That a name server is silent takes no backend away: the last answer is kept.
That it says there is no such host does.

The methods are for one event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import math
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from proxy.upstream.faults import LookUpsStuckError

# As sockets take and give them: host and port, and for IPv6 flow and scope.
Address = tuple[str, int] | tuple[str, int, int, int]
LookUp = Callable[[str, int], Sequence[Address]]

THREADS_MAX = 32
NAMES_MAX = 1024
ADDRESSES_MAX = 16  # of a name
FRESH_SECONDS = 30.0  # an older answer is used, and asked for anew
STALE_SECONDS = 60.0  # an older one is used only if no new one comes within `PATIENCE_SECONDS`
KEPT_SECONDS = 600.0  # an older one is not used
PATIENCE_SECONDS = 0.5
FAILED_SECONDS = 1.0  # a failure is what all hear who ask within this time
SLOW_SECONDS = 1.0  # a look-up that takes longer is not expected to end soon
# What a name server says; every other failure only means that none has answered.
_NO_SUCH_HOST = frozenset((socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)))
_LITERALS_MAX = 1024
_log = logging.getLogger(__name__)


def look_up(host: str, port: int) -> list[Address]:
    """Ask the system for the addresses of a name, in its order (RFC 6724). Blocks.

    Raises `OSError`, or `UnicodeError` for what cannot be a name.
    """
    found: list[Any] = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses: dict[Address, None] = {}
    for family, _, _, _, address in found:
        # The scope says what the zone behind `%` does, which an event loop would look up once more.
        text = str(address[0]).partition("%")[0]
        if family == socket.AF_INET:
            addresses[text, port] = None
        elif family == socket.AF_INET6:
            addresses[text, port, address[2], address[3]] = None
    return list(addresses)


@lru_cache(maxsize=_LITERALS_MAX)
def read_literal(host: str, port: int) -> Address | None:
    """Return the address that a host is already; None for a name, and for an address with a zone."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv4Address):
        return str(address), port
    return None if address.scope_id else (str(address), port, 0, 0)


@dataclass(slots=True, eq=False)
class _Pending:
    """A look-up in line, or under way since `started`. Its future only says that it is over."""

    name: str
    port: int
    done: asyncio.Future[None]
    asked: float
    started: float = math.inf


@dataclass(slots=True, eq=False)
class _Entry:
    """What is known of a name: the last answer and when it came, and the failure since then, if any."""

    addresses: tuple[Address, ...] = ()
    hosts: frozenset[str] = frozenset()  # of the addresses
    answered: float = -math.inf
    failure: OSError | None = None
    failed: float = -math.inf
    pending: _Pending | None = None

    def take_answer(self, addresses: Sequence[Address], now: float) -> None:
        self.addresses, self.answered, self.failure = tuple(addresses[:ADDRESSES_MAX]), now, None
        self.hosts = frozenset(address[0] for address in self.addresses)

    def take_failure(self, failure: OSError, now: float) -> None:
        if _says_no_such_host(failure):
            self.take_answer((), -math.inf)
        self.failure, self.failed = failure, now


class Resolver:
    """The names of one worker. `look_up` is called in a thread, with the port of whoever asked first."""

    def __init__(
        self,
        look_up: LookUp = look_up,
        *,
        clock: Callable[[], float] = time.monotonic,
        threads_max: int = THREADS_MAX,
    ) -> None:
        self._look_up = look_up
        self._clock = clock
        self._threads_max = threads_max
        self._entries: dict[str, _Entry] = {}
        self._running: dict[str, _Pending] = {}  # by name, in the order in which they were started
        self._line: deque[_Pending] = deque()

    async def resolve(self, host: str, port: int) -> list[Address]:
        """Return the addresses of a host, at least one. How long that may take is for the caller to say.

        Raises `OSError`: `socket.gaierror`, or `LookUpsStuckError` if no name can be looked up now.
        """
        if literal := read_literal(host, port):
            return [literal]
        entry, now = self._refresh(host.lower(), port), self._clock()
        if entry.pending is not None and now - entry.answered >= STALE_SECONDS:
            await self._wait(entry, entry.pending, now)
        if entry.addresses and self._clock() - entry.answered < KEPT_SECONDS:
            return [(address[0], port, *address[2:]) for address in entry.addresses]
        raise _renew(entry.failure)

    def is_current(self, host: str, port: int, address: Address) -> bool:
        """Tell whether a connection with the peer `address` leads where the host's name leads now.

        Never waits, and is cheap enough to be asked for each request, which keeps what is known of a busy
        name fresh. Of a name that nothing is known of yet, it is taken to be.
        """
        entry = self._entries.get(host)
        if entry is None or self._clock() - entry.answered >= FRESH_SECONDS:
            if read_literal(host, port):
                return True
            entry = self._refresh(host.lower(), port)
        if entry.hosts:
            return address[0].partition("%")[0] in entry.hosts
        return not _says_no_such_host(entry.failure)

    def _refresh(self, name: str, port: int) -> _Entry:
        """Return what is known of a name, having begun to look it up if that is due."""
        entry, now = self._entries.get(name), self._clock()
        if entry is not None and now - entry.answered < FRESH_SECONDS:
            return entry
        entry = entry or self._add_entry(name, now)
        if entry.pending is None and now - entry.failed >= FAILED_SECONDS:
            self._begin(entry, name, port, now)
        return entry

    def _add_entry(self, name: str, now: float) -> _Entry:
        if len(self._entries) >= NAMES_MAX:
            oldest = next((name for name, entry in self._entries.items() if entry.pending is None), None)
            if oldest is None:
                return _Entry(failure=_stuck(), failed=now)
            del self._entries[oldest]
        entry = self._entries[name] = _Entry()
        return entry

    async def _wait(self, entry: _Entry, pending: _Pending, now: float) -> None:
        # A name server that has gone silent delays those who know an answer once, not each time.
        is_kept = bool(entry.addresses) and now - entry.answered < KEPT_SECONDS
        seconds = max(0.0, pending.asked + PATIENCE_SECONDS - now) if is_kept else None
        if seconds != 0.0:
            await asyncio.wait((pending.done,), timeout=seconds)

    def _begin(self, entry: _Entry, name: str, port: int, now: float) -> None:
        has_thread = len(self._running) < self._threads_max
        if not has_thread and self._are_all_slow(now):
            entry.failure, entry.failed = _stuck(), now
            return
        loop = asyncio.get_running_loop()
        entry.pending = _Pending(name, port, loop.create_future(), now)
        if has_thread:
            self._start(loop, entry.pending)
        else:
            self._line.append(entry.pending)

    def _are_all_slow(self, now: float) -> bool:
        newest = next(reversed(self._running.values()))
        return now - newest.started >= SLOW_SECONDS

    def _start(self, loop: asyncio.AbstractEventLoop, pending: _Pending) -> None:
        pending.started = self._clock()
        self._running[pending.name] = pending
        # A daemon: a process ends without waiting for a name server, which an executor's threads have it do.
        thread = threading.Thread(target=self._run, args=(loop, pending), name="look-up", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the system gives no thread
            loop.call_soon(self._finish, loop, pending, _stuck())

    def _run(self, loop: asyncio.AbstractEventLoop, pending: _Pending) -> None:
        outcome: Sequence[Address] | OSError
        try:
            outcome = self._look_up(pending.name, pending.port)
        except UnicodeError:
            outcome = socket.gaierror(socket.EAI_NONAME, "no host can have such a name")
        except OSError as error:
            outcome = _renew(error)
        except Exception:  # noqa: BLE001 - a bug must leave nobody waiting, nor a thread counted for ever
            _log.exception("a name could not be looked up")
            outcome = socket.gaierror(socket.EAI_FAIL, "the look-up failed")
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(self._finish, loop, pending, outcome)

    def _finish(
        self, loop: asyncio.AbstractEventLoop, pending: _Pending, outcome: Sequence[Address] | OSError
    ) -> None:
        del self._running[pending.name]
        entry, now = self._entries[pending.name], self._clock()
        entry.pending = None
        if isinstance(outcome, OSError):
            entry.take_failure(outcome, now)
        elif outcome:
            entry.take_answer(outcome, now)
        else:
            entry.take_failure(socket.gaierror(socket.EAI_NONAME, "the name has no address"), now)
        if not pending.done.done():
            pending.done.set_result(None)
        if self._line:
            self._start(loop, self._line.popleft())


def _stuck() -> LookUpsStuckError:
    return LookUpsStuckError("too many names are being looked up, and no name server answers")


def _says_no_such_host(failure: OSError | None) -> bool:
    return isinstance(failure, socket.gaierror) and failure.errno in _NO_SUCH_HOST


def _renew(failure: OSError | None) -> OSError:
    """Return a failure as a new error: one that many raise would gather the frames of them all."""
    if failure is None:  # the answer ran out while the caller waited
        return socket.gaierror(socket.EAI_AGAIN, "no name server has answered")
    return type(failure)(*failure.args)
