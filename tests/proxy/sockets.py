"""Both ends of a gateway as plain sockets that a test plays by hand, and what the gateway logs meanwhile.

What is sent and when, and what is not, is the test's to say.
"""

from __future__ import annotations

import logging
import select
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPResponse

TIMEOUT_SECONDS = 5.0


def wait_until(condition: Callable[[], object], seconds: float = TIMEOUT_SECONDS) -> None:
    """Return as soon as a condition that nobody signals holds; fails if it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass in time"
        time.sleep(0.005)


@dataclass
class Reply:
    """A whole response as a client has it."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str:
        """Return the value of a header that is there once."""
        (value,) = [value for key, value in self.headers if key == name]
        return value

    @property
    def request_id(self) -> str:
        return self.header("x-request-id")


class Wire:
    """One end of a connection. Nothing waits longer than `TIMEOUT_SECONDS`."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._sock.settimeout(TIMEOUT_SECONDS)
        self._buffer = b""

    def send(self, data: bytes) -> None:
        self._sock.sendall(data)

    def send_chunk(self, data: bytes) -> None:
        self.send(b"%x\r\n%b\r\n" % (len(data), data))

    def has_data(self) -> bool:
        """Tell whether there is anything to be read now."""
        return bool(self._buffer) or bool(select.select([self._sock], [], [], 0)[0])

    def read_until(self, marker: bytes) -> bytes:
        """Return what comes up to and with the marker; fails if the connection ends before it."""
        while marker not in self._buffer:
            piece = self._sock.recv(65536)
            assert piece, f"closed before {marker!r}: {self._buffer!r}"
            self._buffer += piece
        found, _, self._buffer = self._buffer.partition(marker)
        return found + marker

    def read_exactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            piece = self._sock.recv(65536)
            assert piece, "closed too early"
            self._buffer += piece
        found, self._buffer = self._buffer[:size], self._buffer[size:]
        return found

    def read_head(self) -> bytes:
        return self.read_until(b"\r\n\r\n")

    def read_rest(self) -> bytes:
        """Return everything until the connection ends, well or badly."""
        rest, self._buffer = self._buffer, b""
        try:
            while piece := self._sock.recv(65536):
                rest += piece
        except ConnectionResetError:
            pass
        return rest

    def read_reply(self, method: str = "GET") -> Reply:
        """Return a whole response; raises `http.client.IncompleteRead` for one that breaks off."""
        assert not self._buffer, self._buffer
        response = HTTPResponse(self._sock, method=method)
        response.begin()
        body = response.read()
        return Reply(response.status, response.getheaders(), body)

    def wait_closed(self, seconds: float = 1.0) -> None:
        """Return when the other end has closed; fails if it has not in time."""
        self._sock.settimeout(seconds)
        self.read_rest()

    def finish_sending(self) -> None:
        self._sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Close with a RST."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._sock.close()

    def close(self) -> None:
        self._sock.close()


class Backend:
    """A listening socket; the test answers what the gateway sends."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self._listener.settimeout(TIMEOUT_SECONDS)
        self._wires: list[Wire] = []

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self._listener.getsockname()[1]}"

    def accept(self) -> Wire:
        """Return the next connection that the gateway makes."""
        sock, _ = self._listener.accept()
        self._wires.append(Wire(sock))
        return self._wires[-1]

    def has_connection(self) -> bool:
        """Tell whether the gateway has connected, without waiting."""
        self._listener.settimeout(0)
        try:
            self.accept()
        except BlockingIOError:
            return False
        finally:
            self._listener.settimeout(TIMEOUT_SECONDS)
        return True

    def hang_up(self) -> None:
        """Close every connection; the gateway then makes new ones."""
        while self.has_connection():
            pass
        for wire in self._wires:
            wire.close()
        self._wires.clear()

    def close(self) -> None:
        self.hang_up()
        self._listener.close()


class LogLines(logging.Handler):
    """Everything that is logged, formatted with its traceback."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))

    @property
    def text(self) -> str:
        return "\n".join(self.lines)
