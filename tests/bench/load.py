"""The requests of a benchmark, and the clients that send them: plain ones for CPU, latency and rate.

Requests have the head that OpenAI's library for Python sends, and a body of 300 bytes. The load comes from
`wrk` where it is installed. `send_requests` is a client of our own, one thread on plain sockets: it measures
the first byte of a body, and takes the place of `wrk` where that is missing. No client's CPU is in a figure.
"""

from __future__ import annotations

import asyncio
import gc
import heapq
import re
import selectors
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from tests.bench.servers import BenchError, Server, find_program, run_program

_MESSAGES = (
    b'[{"role":"system","content":"You are a helpful assistant. Answer in one paragraph, and say so if you '
    b'are not sure."},{"role":"user","content":"What is a gateway for, and when is it better to have none?"}]'
)
PLAIN = b'{"model":"gpt-4o-mini","messages":%s,"temperature":0.2,"max_tokens":256}' % _MESSAGES
# Beyond the time that a load is asked for: connecting, and an answer that is late.
GRACE_SECONDS = 15.0
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_WRK_TOTAL = re.compile(r"(\d+) requests in ([\d.]+)(ms|s|m)")
_WRK_FAULTS = re.compile(r"Non-2xx or 3xx responses: \d+|Socket errors: .*")
_WRK_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0}
# The idempotency key is a header that clients do send, another in each request.
_WRK_SCRIPT = """\
local before, after = {before}, {after}
local number = 0
function request()
  number = number + 1
  return before .. string.format("{format}", number) .. after
end
"""
_WRK_FIXED_SCRIPT = """\
local whole = {before} .. {after}
function request() return whole end
"""
_NUMBER_FORMAT = "%09d"


@dataclass(frozen=True, slots=True)
class Request:
    """One POST as bytes, in two parts: between them stands a number, where every head is to be another."""

    before: bytes
    after: bytes
    is_numbered: bool = False

    def build(self, number: int) -> bytes:
        """Return the bytes to send."""
        middle = (_NUMBER_FORMAT % number).encode() if self.is_numbered else b""
        return self.before + middle + self.after


def build_request(url: str, key: str, body: bytes, *, is_numbered: bool = False) -> Request:
    """Return a POST with a JSON body; if numbered, every one has an idempotency key of its own."""
    parts = urlsplit(url)
    accept = "text/event-stream" if b'"stream":true' in body else "application/json"
    # Names, values and order are those of OpenAI's library for Python.
    head = (
        f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nAccept-Encoding: gzip, deflate\r\n"
        f"Connection: keep-alive\r\nauthorization: Bearer {key}\r\naccept: {accept}\r\n"
        "content-type: application/json\r\nuser-agent: OpenAI/Python 2.8.1\r\nx-stainless-lang: python\r\n"
        "x-stainless-package-version: 2.8.1\r\nx-stainless-os: Linux\r\nx-stainless-arch: x64\r\n"
        "x-stainless-runtime: CPython\r\nx-stainless-runtime-version: 3.11.7\r\nx-stainless-async: false\r\n"
        "x-stainless-retry-count: 0\r\nx-stainless-read-timeout: 600\r\n"
    )
    numbered = b"idempotency-key: stainless-python-retry-" if is_numbered else b""
    length = b"Content-Length: %d\r\n\r\n" % len(body)
    return Request(head.encode() + numbered, (b"\r\n" if is_numbered else b"") + length + body, is_numbered)


@dataclass(slots=True)
class Result:
    """What a load came to: answers, the seconds it took, and the seconds to the first byte of each body."""

    answers: int = 0
    seconds: float = 0.0
    first_bytes: list[float] = field(default_factory=list)


def load(server: Server, request: Request, *, connections: int, seconds: float, folder: Path) -> Result:
    """Send requests as fast as they are answered; raises `BenchError` unless every answer is a 2xx."""
    if wrk := find_program("wrk"):
        return _run_wrk(wrk, server, request, connections, seconds, folder)
    return send_requests(server, request, connections=connections, seconds=seconds)


def _run_wrk(
    wrk: str, server: Server, request: Request, connections: int, seconds: float, folder: Path
) -> Result:
    script = folder / "wrk.lua"
    template = _WRK_SCRIPT if request.is_numbered else _WRK_FIXED_SCRIPT
    before, after = (_quote_for_lua(part) for part in (request.before, request.after))
    script.write_text(template.format(before=before, after=after, format=_NUMBER_FORMAT))
    whole_seconds = max(1, round(seconds))  # wrk takes no fractions
    command = [wrk, "-t1", f"-c{connections}", f"-d{whole_seconds}s", "-s", str(script), server.url]
    done = run_program(command, whole_seconds + GRACE_SECONDS)
    total = _WRK_TOTAL.search(done.stdout)
    if fault := _WRK_FAULTS.search(done.stdout):
        raise BenchError(f"{server.name}: {fault[0]}")
    if not total or total[1] == "0":
        raise BenchError(f"{server.name}: wrk got no answer {done.stderr.strip()}")
    return Result(int(total[1]), float(total[2]) * _WRK_UNITS[total[3]])


def _quote_for_lua(data: bytes) -> str:
    return '"' + "".join(f"\\{byte:03}" for byte in data) + '"'


def send_requests(
    server: Server, request: Request, *, connections: int, seconds: float, interval: float = 0.0
) -> Result:
    """Send requests over kept connections, one at a time on each, and measure their first bytes.

    With an `interval` each connection sends so many seconds after it last did, or when it has its answer if
    that is later; they begin one after the other. Raises `BenchError` if an answer is no 2xx or never comes.
    """
    with _connect_all(server, connections) as sockets, _without_collections():
        return _Sender(server.name, request, sockets, interval).run(seconds)


class _Sender:
    """The loop of `send_requests`."""

    def __init__(self, name: str, request: Request, sockets: list[socket.socket], interval: float) -> None:
        self._name, self._request, self._interval = name, request, interval
        self._selector = selectors.DefaultSelector()
        self._answers: dict[socket.socket, Answer] = {}
        began = time.perf_counter()
        spacing = interval / len(sockets)
        # The second of each three decides between equals: sockets have no order.
        self._due = [(began + number * spacing, number, sock) for number, sock in enumerate(sockets)]
        self._began = began
        self._number = 0
        self._result = Result()
        for sock in sockets:
            self._selector.register(sock, selectors.EVENT_READ)

    def run(self, seconds: float) -> Result:
        """Send for so long, and return when every answer has come."""
        end = self._began + seconds
        while True:
            now = time.perf_counter()
            while self._due and self._due[0][0] <= now < end:
                self._send(*heapq.heappop(self._due))
            if now >= end and not self._answers:
                break
            if now >= end + GRACE_SECONDS:
                raise BenchError(f"{self._name}: {len(self._answers)} answers did not come")
            wait = (self._due[0][0] if self._due and now < end else end + GRACE_SECONDS) - now
            for key, _ in self._selector.select(wait):
                self._receive(key.fileobj)  # type: ignore[arg-type]
        self._selector.close()
        self._result.seconds = time.perf_counter() - self._began
        return self._result

    def _send(self, due: float, index: int, sock: socket.socket) -> None:
        self._number += 1
        data = self._request.build(self._number)
        self._answers[sock] = Answer(index, due, time.perf_counter())
        sock.sendall(data)

    def _receive(self, sock: socket.socket) -> None:
        data = sock.recv(65536)
        now = time.perf_counter()
        answer = self._answers.get(sock)
        if answer is None or not data:
            raise BenchError(f"{self._name}: a connection was closed")
        answer.take(data, now, self._name)
        if answer.is_whole():
            del self._answers[sock]
            self._result.answers += 1
            self._result.first_bytes.append(answer.first_byte - answer.sent)
            heapq.heappush(self._due, (max(now, answer.due + self._interval), answer.index, sock))


@dataclass(slots=True)
class Answer:
    """What has come of one answer, with a length or in chunks."""

    index: int
    due: float
    sent: float
    first_byte: float = 0.0
    received: bytes = b""
    body_start: int = 0

    def take(self, data: bytes, now: float, name: str) -> None:
        self.received += data
        if not self.body_start and (end := self.received.find(b"\r\n\r\n")) >= 0:
            self.body_start = end + 4
            if not self.received.startswith(b"HTTP/1.1 2"):
                raise BenchError(f"{name} answered {first_line(self.received)}")
        if self.body_start and not self.first_byte and len(self.received) > self.body_start:
            self.first_byte = now

    def is_whole(self) -> bool:
        if not self.first_byte:
            return False
        length = _LENGTH.search(self.received, 0, self.body_start)
        if length:
            return len(self.received) - self.body_start >= int(length[1])
        return self.received.endswith(b"\r\n0\r\n\r\n")


@contextmanager
def _connect_all(server: Server, connections: int) -> Iterator[list[socket.socket]]:
    sockets: list[socket.socket] = []
    try:
        for _ in range(connections):
            sockets.append(connect(server))
        yield sockets
    finally:
        for sock in sockets:
            sock.close()


def first_line(received: bytes) -> str:
    """Return the first line of an answer, for a message."""
    return received.partition(b"\r\n")[0][:200].decode(errors="replace")


def connect(server: Server) -> socket.socket:
    """Return a connection to a server."""
    parts = urlsplit(server.origin)
    sock = socket.create_connection((parts.hostname or "", parts.port or 0), timeout=GRACE_SECONDS)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


@contextmanager
def _without_collections() -> Iterator[None]:
    # A collection in this process would be a late answer of the server's.
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def await_answer(server: Server, request: Request, seconds: float) -> None:
    """Return once a request is answered with a 2xx; raises `BenchError` if none is.

    Some servers listen before they serve.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            send_requests(server, request, connections=1, seconds=0.001)
            return
        except (BenchError, OSError) as error:
            if time.monotonic() > deadline:
                raise BenchError(f"{server.name} does not serve: {error}") from error
            time.sleep(0.2)


async def read_response(reader: asyncio.StreamReader) -> float:
    """Read one response, and return when its first body byte had come."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    if b" 200 " not in head[:20]:
        raise RuntimeError(head.decode())
    if b"content-length:" in head:
        length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
        await reader.readexactly(length)
        return time.perf_counter()
    first = 0.0
    size = -1
    while size != 0:
        size = int(await reader.readline(), 16)
        await reader.readexactly(size + 2)
        first = first or time.perf_counter()
    return first
