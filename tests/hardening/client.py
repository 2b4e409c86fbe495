"""A client that is nothing but a socket: it sends what it is given, and reads answers strictly.

An answer that breaks off is told from one that has ended (`is_whole`), and never repaired. Nothing waits
longer than `BOUND_SECONDS`.
"""

from __future__ import annotations

import json
import re
import socket
import struct
from dataclasses import dataclass
from typing import Any

from tests.hardening.arrivals import BOUND_SECONDS

_READ_BYTES = 65536
_STATUS_LINE = re.compile(rb"HTTP/1\.1 ([1-5][0-9]{2}) [\t -~]*")
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+): ?([\t -~\x80-\xff]*)")
_BODILESS = (204, 304)
Pairs = tuple[tuple[bytes, bytes], ...]


class ClosedError(Exception):
    """The connection ended before what was read for had come."""


@dataclass(frozen=True)
class Response:
    """A final answer, and the statuses of the interim ones before it. `body` is without chunk framing."""

    status: int
    headers: Pairs
    body: bytes
    is_whole: bool
    interim: tuple[int, ...] = ()

    def values(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.headers if key.lower() == name]

    @property
    def request_id(self) -> str:
        (value,) = self.values(b"x-request-id")
        return value.decode()

    @property
    def error(self) -> dict[str, Any]:
        """Return the error that the gateway made."""
        error: dict[str, Any] = json.loads(self.body)["error"]
        return error

    @property
    def code(self) -> str:
        return str(self.error["code"])


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

    def send_all_taken(self, data: bytes) -> None:
        """Send as much as the gateway takes before it closes."""
        try:
            self._sock.sendall(data)
        except ConnectionError:
            return

    def ask(self, request: bytes) -> Response:
        """Send a request and read its answer."""
        self.send_all_taken(request)
        return self.read_response(request.lstrip(b"\r\n").partition(b" ")[0])

    def read_response(self, method: bytes = b"GET") -> Response:
        """Return the next answer; raises `ClosedError` if there is none."""
        interim: list[int] = []
        status, headers = self.read_head()
        while 100 <= status < 200:
            interim.append(status)
            status, headers = self.read_head()
        pieces: list[bytes] = []
        is_whole = True
        if method != b"HEAD" and status not in _BODILESS:
            try:
                self._read_body(headers, pieces)
            except ClosedError:
                is_whole = False
        return Response(status, headers, b"".join(pieces), is_whole, tuple(interim))

    def read_head(self) -> tuple[int, Pairs]:
        line, *fields = self._read_until(b"\r\n\r\n")[:-4].split(b"\r\n")
        status, pairs = _STATUS_LINE.fullmatch(line), [_HEADER.fullmatch(field) for field in fields]
        assert status, line
        assert None not in pairs, fields
        return int(status[1]), tuple((pair[1], pair[2]) for pair in pairs if pair)

    def read_some(self, size: int) -> bytes:
        """Return so many bytes, whatever they are."""
        while len(self._buffer) < size:
            self._receive()
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken

    def read_until_end_of_chunks(self) -> bytes:
        """Return everything up to the last chunk; the pieces hold nothing that looks like one."""
        while not self._buffer.endswith(b"\r\n0\r\n\r\n"):
            self._receive()
        return self.read_some(len(self._buffer))

    def read_rest(self) -> bytes:
        """Return everything up to the end of the connection, which has to come."""
        try:
            while True:
                self._receive()
        except ClosedError:
            rest, self._buffer = self._buffer, b""
            return rest

    def is_closed(self) -> bool:
        """Return True once the gateway has closed; fails if it sends anything more, or stays."""
        assert self.read_rest() == b""
        return True

    def stop_sending(self) -> None:
        self._sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Close with a RST."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._sock.close()

    def close(self) -> None:
        self._sock.close()

    def _read_body(self, headers: Pairs, pieces: list[bytes]) -> None:
        framing = {name.lower(): value for name, value in headers}
        if framing.get(b"transfer-encoding") == b"chunked":
            assert b"content-length" not in framing
            while size := int(self._read_until(b"\r\n"), 16):
                self._read_pieces(size, pieces)
                assert self.read_some(2) == b"\r\n"
            assert self.read_some(2) == b"\r\n"
        elif b"content-length" in framing:
            self._read_pieces(int(framing[b"content-length"]), pieces)
        else:
            pieces.append(self.read_rest())

    def _read_pieces(self, size: int, pieces: list[bytes]) -> None:
        # Piece by piece, so that what came before a break is known to the byte.
        while size:
            pieces.append(self.read_some(min(size, len(self._buffer) or 1)))
            size -= len(pieces[-1])

    def _read_until(self, marker: bytes) -> bytes:
        while marker not in self._buffer:
            self._receive()
        found, _, self._buffer = self._buffer.partition(marker)
        return found + marker

    def _receive(self) -> None:
        try:
            data = self._sock.recv(_READ_BYTES)
        except ConnectionError:
            data = b""
        if not data:
            raise ClosedError
        self._buffer += data
