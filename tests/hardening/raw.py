"""A client that is nothing but a socket: it sends what it is given, and reads answers strictly.

`Answer.is_whole` says whether the message ended as RFC 9112 section 6.3 has it end: a body that broke off is
told apart from one that is over, and never repaired. Nothing waits longer than `BOUND_SECONDS`.
"""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass
from typing import Any

BOUND_SECONDS = 40.0
_READ_BYTES = 65536
_BODILESS = (204, 304)


@dataclass(frozen=True)
class Answer:
    """An answer as it came: `body` without chunk framing, `is_whole` if its framing says that it ended."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    is_whole: bool

    def header(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.headers if key == name]

    @property
    def request_id(self) -> str:
        (value,) = self.header(b"x-request-id")
        return value.decode()

    @property
    def error_code(self) -> str:
        """Return the code of an error that the gateway made."""
        error: dict[str, Any] = json.loads(self.body)["error"]
        return str(error["code"])


class BrokenOffError(Exception):
    """The connection ended, with a FIN or a RST, before what was read for had come."""


class RawClient:
    """One connection to the gateway."""

    def __init__(self, port: int, *, receive_bytes: int = 0) -> None:
        self._sock = socket.socket()
        if receive_bytes:
            # Before connecting: the window is agreed on then.
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self._sock.settimeout(BOUND_SECONDS)
        self._sock.connect(("127.0.0.1", port))
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = b""

    def send(self, data: bytes) -> None:
        self._sock.sendall(data)

    def send_until_stalled(self, data: bytes, seconds: float) -> int:
        """Send until nothing has been taken for so long; return how many bytes were."""
        sent = 0
        self._sock.settimeout(seconds)
        try:
            while sent < len(data):
                sent += self._sock.send(data[sent : sent + _READ_BYTES])
        except TimeoutError:
            pass
        self._sock.settimeout(BOUND_SECONDS)
        return sent

    def ask(self, request: bytes) -> Answer:
        """Send a request and read its answer."""
        self.send(request)
        return self.read_answer(request.partition(b" ")[0])

    def read_answer(self, method: bytes = b"GET") -> Answer:
        """Return the final answer to a request, whole or broken off; raises if not even a head has come."""
        status, headers = self.read_head()
        while 100 <= status < 200 and status != 101:
            status, headers = self.read_head()
        pieces: list[bytes] = []
        try:
            if method != b"HEAD" and status not in _BODILESS:
                self._read_body(dict(headers), pieces)
        except BrokenOffError:
            return Answer(status, headers, b"".join(pieces), is_whole=False)
        return Answer(status, headers, b"".join(pieces), is_whole=True)

    def read_head(self) -> tuple[int, tuple[tuple[bytes, bytes], ...]]:
        line, *fields = self._read_until(b"\r\n\r\n")[:-4].split(b"\r\n")
        version, status, *_ = line.split(b" ")
        assert version == b"HTTP/1.1", line
        pairs = [field.partition(b":") for field in fields]
        return int(status), tuple((name.lower(), value.strip()) for name, _, value in pairs)

    def read_chunk(self) -> bytes:
        """Return the next chunk's data; empty at the end of the body."""
        data = self.read_exactly(int(self._read_until(b"\r\n"), 16))
        assert self.read_exactly(2) == b"\r\n"
        return data

    def read_exactly(self, size: int) -> bytes:
        pieces, missing = [self._buffer[:size]], size - len(self._buffer)
        self._buffer = self._buffer[size:]
        while missing > 0:
            data = self._receive()
            pieces.append(data[:missing])
            self._buffer = data[missing:]
            missing -= len(data)
        return b"".join(pieces)

    def read_rest(self) -> bytes:
        """Return everything up to the end of the connection, which has to come."""
        try:
            while True:
                self._buffer += self._receive()
        except BrokenOffError:
            rest, self._buffer = self._buffer, b""
            return rest

    def close(self) -> None:
        self._sock.close()

    def _read_body(self, headers: dict[bytes, bytes], pieces: list[bytes]) -> None:
        if headers.get(b"transfer-encoding") == b"chunked":
            assert b"content-length" not in headers
            while data := self._read_pieces_of_chunk(pieces):
                assert self.read_exactly(2) == b"\r\n", data
            assert self.read_exactly(2) == b"\r\n"
        else:
            self._read_pieces(int(headers[b"content-length"]), pieces)

    def _read_pieces_of_chunk(self, pieces: list[bytes]) -> int:
        size = int(self._read_until(b"\r\n"), 16)
        self._read_pieces(size, pieces)
        return size

    def _read_pieces(self, size: int, pieces: list[bytes]) -> None:
        # Piece by piece, so that what came before a break is known to the byte.
        while size:
            if not self._buffer:
                self._buffer = self._receive()
            pieces.append(self._buffer[:size])
            self._buffer = self._buffer[size:]
            size -= len(pieces[-1])

    def _read_until(self, marker: bytes) -> bytes:
        while marker not in self._buffer:
            self._buffer += self._receive()
        found, _, self._buffer = self._buffer.partition(marker)
        return found + marker

    def _receive(self) -> bytes:
        try:
            data = self._sock.recv(_READ_BYTES)
        except ConnectionError:
            data = b""
        if not data:
            raise BrokenOffError
        return data
