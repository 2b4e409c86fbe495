"""A backend that keeps every byte it is sent, reads it strictly, and answers what a test tells it.

It runs in a thread of its own until `close`. What is not well-formed is kept in `faults`, which stays empty
in every test. Nothing waits longer than `BOUND_SECONDS`.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

from tests.hardening.arrivals import BOUND_SECONDS, Arrival, Link
from tests.hardening.plays import Play, answer_plainly

_READ_BYTES = 65536
_POLL_SECONDS = 0.02


class RecordingBackend:
    """Listens on the loopback interface, and answers each path as `play` says, or plainly."""

    def __init__(self) -> None:
        self.links: list[Link] = []
        self.arrivals: list[Arrival] = []
        self.faults: list[BaseException] = []
        self.port = 0
        self._plays: dict[bytes, Play] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(BOUND_SECONDS)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def busy(self) -> int:
        """Return how many requests are being answered on connections that are open."""
        return sum(not (each.is_answered or each.link.has_ended) for each in self.arrivals)

    def play(self, path: str, play: Play) -> None:
        """Have the requests for a path, whatever their query, answered by a play."""
        self._plays[path.encode()] = play

    def seen(self, path: str) -> list[Arrival]:
        """Return the requests that have come for a path."""
        return [each for each in self.arrivals if each.target.partition(b"?")[0] == path.encode()]

    def wait_for(self, path: str, *, count: int = 1, is_whole: bool = False) -> list[Arrival]:
        """Return the requests for a path once there are so many, read to their ends if that is asked."""

        def have_come() -> bool:
            seen = self.seen(path)
            return len(seen) >= count and (not is_whole or all(each.is_whole for each in seen))

        self.wait_until(have_come)
        return self.seen(path)

    def wait_until(self, is_so: Callable[[], bool]) -> None:
        """Return once a condition on this backend holds."""
        deadline = time.monotonic() + BOUND_SECONDS
        while not is_so():
            assert time.monotonic() < deadline, (self.arrivals[-3:], self.links[-3:])
            with self._changed:
                # Not every change is told: a body may come to its end.
                self._changed.wait(_POLL_SECONDS)

    def release(self, event: asyncio.Event) -> None:
        """Set an event that a play waits for."""
        self._loop.call_soon_threadsafe(event.set)

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._shut(), self._loop).result(BOUND_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(BOUND_SECONDS)
        self._loop.close()

    async def _listen(self) -> asyncio.Server:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=2048, limit=_READ_BYTES)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def _shut(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = Link(reader, writer)
        self.links.append(link)
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            while True:
                await self._answer(Arrival(link, await link.read_until(b"\r\n\r\n")))
        except (EOFError, ConnectionError, asyncio.CancelledError):
            pass  # asyncio's streams would report a cancellation at the end of the test as a failure
        except BaseException as error:
            self.faults.append(error)
        finally:
            link.mark_ended()
            self._notify()

    async def _answer(self, arrival: Arrival) -> None:
        self.arrivals.append(arrival)
        self._notify()
        await self._plays.get(arrival.target.partition(b"?")[0], answer_plainly)(arrival)
        arrival.is_answered = True
        self._notify()

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()
