"""Load for a gateway that is killed: a backend that notes what it saw, and clients that ask again."""

from __future__ import annotations

import asyncio
import random
import re
import threading
from collections import Counter
from contextlib import suppress

from proxy.ids import from_uuid

WAIT_SECONDS = 30
CLIENTS = 6
PIECES = 5
STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_REQUEST_ID = re.compile(rb"\r\nx-request-id: (\S+)\r\n")


class Load:
    """A backend and clients in a thread: `seen` are the requests that the backend has had, by their ids.

    `answered` are those of which a client has had a whole answer.
    """

    def __init__(self, port: int) -> None:
        self.seen: Counter[str] = Counter()
        self.answered: set[str] = set()
        self.tries = 0
        self.key = ""
        self._port = port
        self._loop = asyncio.new_event_loop()
        self._is_on = True
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.backend_port: int = self._call(self._listen())

    def start(self, key: str) -> None:
        """Let the clients ask."""
        self.key = key
        self._clients = [
            asyncio.run_coroutine_threadsafe(self._ask_on(random.Random(number)), self._loop)
            for number in range(CLIENTS)
        ]

    def stop(self) -> None:
        """Let them stop asking; returns when the last one has."""
        self._is_on = False
        for client in self._clients:
            client.result(WAIT_SECONDS)

    def close(self) -> None:
        """End the thread, and whatever still runs in it."""

        async def cancel_all() -> int:
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            return len(tasks)

        self._is_on = False
        self._call(cancel_all())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(WAIT_SECONDS)
        self._loop.close()

    def _call(self, work: object) -> int:
        return int(asyncio.run_coroutine_threadsafe(work, self._loop).result(WAIT_SECONDS))  # type: ignore[arg-type]

    async def _listen(self) -> int:
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", 0, backlog=256)
        return int(self._server.sockets[0].getsockname()[1])

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                match = _REQUEST_ID.search(head)
                assert match is not None
                self.seen["req_" + from_uuid(match[1].decode())] += 1
                if b"/v1/stream" not in head:
                    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello")
                    continue
                writer.write(STREAM_HEAD)
                for _ in range(PIECES):
                    writer.write(b"9\r\ndata: x\n\n\r\n")
                    await asyncio.sleep(0.02)
                writer.write(b"0\r\n\r\n")
        writer.close()

    async def _ask_on(self, chance: random.Random) -> None:
        while self._is_on:
            self.tries += 1
            path = "/v1/stream" if chance.random() < 0.3 else "/v1/plain"
            answer = b""
            try:
                async with asyncio.timeout(WAIT_SECONDS):
                    answer = await self._ask(path)
            except (OSError, TimeoutError):
                await asyncio.sleep(0.02)  # nobody listens at the moment
            match = _REQUEST_ID.search(answer)
            if match is not None and answer.endswith((b"hello", b"0\r\n\r\n")):
                self.answered.add(match[1].decode())

    async def _ask(self, path: str) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            head = f"GET {path} HTTP/1.1\r\nhost: x\r\nx-api-key: {self.key}\r\nconnection: close\r\n\r\n"
            writer.write(head.encode())
            return await reader.read(-1)
        finally:
            writer.close()
