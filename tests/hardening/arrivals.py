"""What reaches the backend: connections with every byte that came over them, and requests, read strictly.

A request that the gateway writes has to be well-formed to the letter; anything else is a `MalformedError`.
"""

from __future__ import annotations

import asyncio
import re
import threading

from proxy.ids import from_uuid

BOUND_SECONDS = 40.0
_READ_BYTES = 65536
_REQUEST_LINE = re.compile(rb"([A-Z]+) (/[!-~]*) HTTP/1\.1")
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9a-z-]+): ([\t -~\x80-\xff]*)")
_CHUNK_SIZE = re.compile(rb"([0-9a-f]{1,8})\r\n")


class MalformedError(Exception):
    """The gateway has sent something that a backend could read in two ways, or not at all."""


class Arrival:
    """A request as it came. `body` is without framing, `is_whole` once it has come to its end."""

    def __init__(self, link: Link, head: bytes) -> None:
        self.link = link
        self.head = head
        self.body = bytearray()
        self.is_whole = False
        self.is_answered = False
        line, *fields = head[:-4].split(b"\r\n")
        matched, pairs = _REQUEST_LINE.fullmatch(line), [_HEADER.fullmatch(field) for field in fields]
        if not matched or None in pairs:
            raise MalformedError(head)
        self.method, self.target = matched[1], matched[2]
        self.headers = [(pair[1], pair[2]) for pair in pairs if pair]
        if len(self.values(b"host")) != 1 or len(self.framing) > 1:
            raise MalformedError(head)

    @property
    def framing(self) -> list[bytes]:
        return self.values(b"content-length") + self.values(b"transfer-encoding")

    @property
    def request_id(self) -> str:
        """Return the id as the row has it: a backend is sent the same 128 bits as a UUID."""
        (value,) = self.values(b"x-request-id")
        return "req_" + from_uuid(value.decode())

    def values(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.headers if key == name]

    async def read_body(self) -> None:
        """Read the body to its end; raises `EOFError` if the gateway closes before that."""
        if encoding := self.values(b"transfer-encoding"):
            if encoding != [b"chunked"]:
                raise MalformedError(self.head)
            while size := await self._read_chunk_size():
                await self._read_piece(size)
                if await self.link.read_exactly(2) != b"\r\n":
                    raise MalformedError("chunk")
            if await self.link.read_exactly(2) != b"\r\n":
                raise MalformedError("trailer")
        elif length := self.values(b"content-length"):
            if not length[0].isdigit():
                raise MalformedError(self.head)
            await self._read_piece(int(length[0]))
        self.is_whole = True

    async def _read_chunk_size(self) -> int:
        line = await self.link.read_until(b"\r\n")
        if not (matched := _CHUNK_SIZE.fullmatch(line)):
            raise MalformedError(line)
        return int(matched[1], 16)

    async def _read_piece(self, size: int) -> None:
        while size:
            data = await self.link.read_some(size)
            self.body += data
            size -= len(data)


class Link:
    """One connection of the gateway, with all that came over it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.received = bytearray()
        self._unread = bytearray()
        self._reader = reader
        self._writer = writer
        self._ended = threading.Event()

    @property
    def has_ended(self) -> bool:
        return self._ended.is_set()

    def wait_ended(self) -> None:
        """Return once the gateway has closed it; called by the test."""
        assert self._ended.wait(BOUND_SECONDS), "the connection is still open"

    def mark_ended(self) -> None:
        self._writer.close()
        self._ended.set()

    async def send(self, data: bytes) -> None:
        """Write, and return when the socket takes more."""
        self._writer.write(data)
        await self._writer.drain()

    async def wait_closed(self) -> None:
        """Return when the gateway has closed; what it sends meanwhile is only kept."""
        while await self._receive():
            pass

    async def read_until(self, marker: bytes) -> bytes:
        while (at := self._unread.find(marker)) < 0:
            await self._receive_more()
        return self._take(at + len(marker))

    async def read_exactly(self, size: int) -> bytes:
        while len(self._unread) < size:
            await self._receive_more()
        return self._take(size)

    async def read_some(self, size_max: int) -> bytes:
        if not self._unread:
            await self._receive_more()
        return self._take(size_max)

    async def _receive_more(self) -> None:
        if not await self._receive():
            raise EOFError

    async def _receive(self) -> bytes:
        data = await self._reader.read(_READ_BYTES)
        self.received += data
        self._unread += data
        return data

    def _take(self, size: int) -> bytes:
        taken = bytes(self._unread[:size])
        del self._unread[:size]
        return taken
