"""A backend that misbehaves on purpose, and keeps what every connection brought and how it ended.

A test says what is done with the requests for a path (`play`), down to the byte and to the order of events: a
script sends, closes, resets, or waits for the test (`Steps`). It runs in a thread of its own; a script that
fails is told by `close`, never swallowed. Nothing waits longer than `BOUND_SECONDS`.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import threading
from collections.abc import Awaitable, Callable

BOUND_SECONDS = 40.0
_READ_BYTES = 65536


class Connection:
    """One connection of the gateway. `how` it ended: "fin" or "reset" by the gateway, "here" by a script."""

    def __init__(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.number = number
        self.received = bytearray()
        self.how = ""
        self._unread = bytearray()
        self._reader = reader
        self._writer = writer
        self._ended = threading.Event()

    def wait_ended(self) -> str:
        """Return how it ended, once it has; called by the test."""
        assert self._ended.wait(BOUND_SECONDS), f"connection {self.number} is still open"
        return self.how

    def note_end(self, how: str) -> None:
        """Keep how it ended, the first time."""
        self.how = self.how or how

    async def read_until(self, marker: bytes) -> bytes | None:
        """Return what comes up to and with the marker, or None if the gateway closes before that."""
        while (at := self._unread.find(marker)) < 0:
            if not await self._receive():
                return None
        return self._take(at + len(marker))

    async def read_exactly(self, size: int) -> bytes:
        while len(self._unread) < size:
            if not await self._receive():
                raise EOFError
        return self._take(size)

    async def wait_closed(self) -> None:
        """Return when the gateway has closed; what it sends meanwhile is kept in `received`."""
        while await self._receive():
            pass

    async def send(self, data: bytes) -> None:
        """Write, and return when the socket takes more."""
        self._writer.write(data)
        await self._writer.drain()

    def finish(self) -> None:
        """Close the sending half: the gateway reads an end, and may still be read from."""
        self._writer.write_eof()

    def close(self, *, reset: bool = False) -> None:
        """End the connection, with a FIN after what was sent, or with a RST."""
        self.note_end("here")
        if reset:
            sock = self._writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._writer.transport.abort()
        self._writer.close()

    def mark_over(self) -> None:
        """Tell the waiting test that nothing more will come."""
        self._writer.close()
        self._ended.set()

    async def _receive(self) -> bytes:
        data = await self._reader.read(_READ_BYTES)
        self.received += data
        self._unread += data
        if not data:
            self.note_end("fin")
        return data

    def _take(self, size: int) -> bytes:
        taken = bytes(self._unread[:size])
        del self._unread[:size]
        return taken


class Call:
    """A request that has come: its head as it was sent, and, once it is read, its body without framing."""

    def __init__(self, connection: Connection, head: bytes) -> None:
        self.connection = connection
        self.head = head
        self.body = b""
        line, *fields = head[:-4].split(b"\r\n")
        self.method, self.target, self.version = line.split(b" ")
        pairs = (field.partition(b":") for field in fields)
        self.headers = [(name.lower(), value.strip()) for name, _, value in pairs]

    def header(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.headers if key == name]

    async def read_body(self) -> None:
        """Read the body to its end."""
        if self.header(b"transfer-encoding"):
            pieces = []
            while size := int(await self._read_line(), 16):
                pieces.append(await self.connection.read_exactly(size))
                await self._read_line()
            await self._read_line()
            self.body = b"".join(pieces)
        elif length := self.header(b"content-length"):
            self.body = await self.connection.read_exactly(int(length[0]))

    async def send(self, data: bytes) -> None:
        await self.connection.send(data)

    async def _read_line(self) -> bytes:
        line = await self.connection.read_until(b"\r\n")
        if line is None:
            raise EOFError
        return line


Play = Callable[[Call], Awaitable[None]]


class Steps:
    """Lock-step: a script that waits goes on only when the test confirms."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._confirmed = asyncio.Semaphore(0)

    def confirm(self) -> None:
        """Let the script go on by one step; called by the test."""
        self._loop.call_soon_threadsafe(self._confirmed.release)

    async def wait(self) -> None:
        """Return after the next `confirm`."""
        await asyncio.wait_for(self._confirmed.acquire(), BOUND_SECONDS)


class FaultBackend:
    """Listens on a port of the loopback interface (0: a free one) and plays scripts until `close`.

    With a `greeting`, it speaks first on every connection.
    """

    def __init__(
        self, context: ssl.SSLContext | None = None, *, port: int = 0, greeting: bytes = b""
    ) -> None:
        self.connections: list[Connection] = []
        self.calls: list[Call] = []
        self.failures: list[BaseException] = []
        self.port = port
        self._scheme = "https" if context else "http"
        self._context = context
        self._greeting = greeting
        self._plays: dict[bytes, Play] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._came = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(BOUND_SECONDS)

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self.port}"

    def play(self, path: str, script: Play) -> None:
        """Have a script answer the requests for a path, whatever their query."""
        self._plays[path.encode()] = script

    def steps(self) -> Steps:
        return Steps(self._loop)

    def calls_of(self, path: str) -> list[Call]:
        """Return the requests that have come for a path."""
        return [call for call in self.calls if call.target.partition(b"?")[0] == path.encode()]

    def wait_for_calls(self, path: str, count: int) -> list[Call]:
        """Return the requests for a path once there are so many."""
        with self._came:
            assert self._came.wait_for(lambda: len(self.calls_of(path)) >= count, BOUND_SECONDS)
        return self.calls_of(path)

    def close(self) -> None:
        """Stop; fails if a script has failed."""
        asyncio.run_coroutine_threadsafe(self._shut(), self._loop).result(BOUND_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(BOUND_SECONDS)
        self._loop.close()
        assert not self.failures, self.failures

    async def _listen(self) -> asyncio.Server:
        server = await asyncio.start_server(
            self._serve, "127.0.0.1", self.port, backlog=1024, limit=_READ_BYTES, ssl=self._context
        )
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def _shut(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(len(self.connections), reader, writer)
        self.connections.append(connection)
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            await connection.send(self._greeting)
            while not writer.is_closing() and (head := await connection.read_until(b"\r\n\r\n")):
                await self._answer(Call(connection, head))
        except EOFError:
            connection.note_end("fin")
        except ConnectionError:
            connection.note_end("reset")
        except asyncio.CancelledError:
            pass  # the test is over; asyncio's streams would report the cancellation as a failure
        except BaseException as error:
            self.failures.append(error)
        finally:
            connection.mark_over()

    async def _answer(self, call: Call) -> None:
        with self._came:
            self.calls.append(call)
            self._came.notify_all()
        path = call.target.partition(b"?")[0]
        await self._plays.get(path, _answer_plainly)(call)


async def _answer_plainly(call: Call) -> None:
    await call.read_body()
    await call.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
