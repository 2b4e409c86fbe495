"""Exchanges that a test plays: what a connection tells them is written down, and a function says what they
do.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from msgspec.structs import replace

from proxy.http1.faults import Fault
from proxy.http1.handler import Client, Known
from proxy.policy.model import HeaderPairs, RequestHead

_LENGTH = re.compile(rb"\r\n[Cc]ontent-[Ll]ength: *([0-9]{1,18})(?=\r\n)")
TIME_US = 1_769_817_600_000_000
_NEVER_KEPT = {b"expect", b"upgrade", b"transfer-encoding"}


class Played:
    """One exchange. `events` is what it was told, in order, and `mistakes` what it should not have
    been told.
    """

    def __init__(
        self, handler: PlayedHandler, client: Client, head: RequestHead, fault: Fault | None
    ) -> None:
        self.client = client
        self.head = head
        self.fault = fault
        self.events: list[str] = []
        self.sent = 0  # for a play to count with
        self.pieces: list[bytes] = []
        self.is_over = self.has_head = False
        self._handler = handler

    @property
    def path(self) -> str:
        return self.head.path.decode("latin-1")

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)

    @property
    def has_body(self) -> bool:
        """Tell whether the body has come to its end."""
        return "body_end" in self.events

    # What a connection tells it.

    def start(self) -> None:
        self._note("start")

    def take_body(self, data: bytes) -> None:
        if not data or "body_end" in self.events or any(event.startswith("failed") for event in self.events):
            self._handler.mistakes.append(f"{self.path}: a body that is empty, or over")
        self.pieces.append(data)
        self._note("body")

    def take_body_end(self) -> None:
        self._note("body_end")

    def fail_body(self, reason: str) -> None:
        self._note(f"failed {reason}")

    def leave(self, reason: str) -> None:
        self._note(f"left {reason}")

    def hold_back(self) -> None:
        self._note("held back")

    def go_on(self) -> None:
        self._note("goes on")

    def interrupt(self) -> None:
        self._note("interrupted")

    def crash(self, error: Exception) -> None:
        self.events.append("crashed")
        self._handler.errors.append(error)
        if self.has_head:
            self.break_off()
        elif not self.is_over:
            self.answer(b"", 500)

    # What a play can have it do.

    def answer(self, body: bytes = b"", status: int = 200, *headers: tuple[bytes, bytes]) -> None:
        """Answer with a Content-Length."""
        self.begin(status, [(b"content-length", b"%d" % len(body)), *headers])
        self.client.send_body(body)
        self.end()

    def answer_whole(self, body: bytes = b"") -> None:
        """Answer with a head that is made, and its body, at once."""
        self.has_head = self.is_over = True
        self.client.send_whole(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n" % len(body), body)

    def begin(self, status: int = 200, headers: HeaderPairs = ()) -> None:
        """Begin an answer, in chunks unless the headers have a length."""
        self.client.send_head(status, headers)
        self.has_head = True

    def end(self) -> None:
        self.is_over = True
        self.client.end()

    def break_off(self) -> None:
        self.is_over = True
        self.client.break_off()

    def _note(self, event: str) -> None:
        has_started = "start" in self.events
        is_early = event == "held back" and not self.events  # by what went before
        if self.is_over or (event == "start" if has_started else event != "start" and not is_early):
            self._handler.mistakes.append(f"{self.path}: {event} after {self.events}")
        self.events.append(event)
        if event.startswith("left"):
            self.is_over = True
        self._handler.play(self, event)


Play = Callable[[Played, str], None]


@dataclass
class KnownHead:
    """A head that the handler has seen before."""

    head: RequestHead


class PlayedHandler:
    """Makes exchanges that all do what one function says. With `recognises`, a head is known from then on."""

    def __init__(self, play: Play, *, recognises: bool = False) -> None:
        self.play = play
        self.exchange_type = Played
        self.exchanges: list[Played] = []
        self.mistakes: list[str] = []
        self.errors: list[Exception] = []
        self.recognised = 0
        self.known: dict[tuple[bytes, ...], KnownHead] = {}
        self._recognises = recognises

    @property
    def paths(self) -> list[str]:
        return [exchange.path for exchange in self.exchanges]

    def find(self, path: str) -> Played | None:
        """Return the newest exchange of a path, or None."""
        return next((each for each in reversed(self.exchanges) if each.path == path), None)

    def recognise(self, peer: str, data: bytes, end: int) -> tuple[Known, int, int] | None:
        key, length = _read_key(peer, data, end)
        known = self.known.get(key)
        return None if known is None else (known, length, TIME_US)

    def open_known(self, client: Client, known: Known, length: int, time_us: int) -> Played:
        assert time_us == TIME_US
        self.recognised += 1
        headers = [
            (name, b"%d" % length if name == b"content-length" else value)
            for name, value in known.head.headers
        ]
        return self._open(client, replace(known.head, headers=headers), None)

    def open(
        self, client: Client, head: RequestHead, fault: Fault | None, raw: tuple[bytes, int] | None
    ) -> Played:
        if self._recognises and raw is not None and not _NEVER_KEPT & {name for name, _ in head.headers}:
            self.known[_read_key(head.peer, *raw)[0]] = KnownHead(head)
        return self._open(client, head, fault)

    def _open(self, client: Client, head: RequestHead, fault: Fault | None) -> Played:
        self.exchanges.append(self.exchange_type(self, client, head, fault))
        return self.exchanges[-1]


def _read_key(peer: str, data: bytes, end: int) -> tuple[tuple[bytes, ...], int]:
    match = _LENGTH.search(data, 0, end + 2)
    if match is None:
        return (peer.encode(), data[:end]), 0
    return (peer.encode(), data[: match.start(1)], data[match.end(1) : end]), int(match[1])


def write_echo(exchange: Played) -> bytes:
    """Return method, target and body of a request."""
    return b"%b %b %b" % (exchange.head.method.encode(), exchange.head.path, exchange.body)


def echo(exchange: Played, event: str) -> None:
    """Answer with method, target and body when that is whole; `?unread` at once, a fault with its status."""
    if event == "start":
        if exchange.fault is not None:
            exchange.answer(exchange.fault.message.encode(), exchange.fault.status)
        elif exchange.head.query == b"unread":
            exchange.answer(write_echo(exchange))
        else:
            exchange.client.want_body()
    elif event == "body_end":
        exchange.answer(write_echo(exchange))
    elif event.startswith("failed"):
        exchange.answer(b"too late" if "timeout" in event else b"", 408 if "timeout" in event else 400)
    elif event == "interrupted":
        exchange.break_off()


def hold(exchange: Played, event: str) -> None:
    """Do as `echo` does, but leave a request to `/hold...` or `/wait...` to the test."""
    if not exchange.path.startswith(("/hold", "/wait")) or event == "interrupted":
        echo(exchange, event)


def get(path: str = "/", *headers: str, version: str = "1.1", method: str = "GET") -> bytes:
    """Return a request without a body."""
    lines = [f"{method} {path} HTTP/{version}", "Host: x", *headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"


def post(body: bytes, path: str = "/", *headers: str) -> bytes:
    """Return a request with a body of a stated length."""
    return get(path, f"Content-Length: {len(body)}", *headers, method="POST") + body


def post_chunks(pieces: list[bytes], path: str = "/", *headers: str, trailer: bytes = b"") -> bytes:
    """Return a request with a body in chunks."""
    head = get(path, "Transfer-Encoding: chunked", *headers, method="POST")
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return head + chunks + b"0\r\n" + trailer + b"\r\n"
