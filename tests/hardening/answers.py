"""Answers of a backend as bytes, and the scripts that send them: whole, cut, stuck or in lock-step.

A script reads the request's body first, unless it says otherwise. Nothing here is random, and nothing sleeps.
"""

from __future__ import annotations

from collections.abc import Sequence

from tests.hardening.faults import Call, Play, Steps

EVENT_STREAM = ("content-type: text/event-stream",)


def plain(body: bytes = b"ok", *, status: str = "200 OK", headers: Sequence[str] = ()) -> bytes:
    """Return an answer with a Content-Length."""
    return head(f"content-length: {len(body)}", *headers, status=status) + body


def chunked(*pieces: bytes, status: str = "200 OK", headers: Sequence[str] = ()) -> bytes:
    """Return a whole answer in chunks."""
    return b"".join((chunked_head(*headers, status=status), *map(chunk, pieces), b"0\r\n\r\n"))


def head(*headers: str, status: str = "200 OK") -> bytes:
    """Return the head of an answer."""
    return "\r\n".join((f"HTTP/1.1 {status}", *headers, "", "")).encode("latin-1")


def chunked_head(*headers: str, status: str = "200 OK") -> bytes:
    """Return the head of an answer whose body comes in chunks."""
    return head("transfer-encoding: chunked", *headers, status=status)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def answer(data: bytes) -> Play:
    """Send these bytes and keep the connection open."""

    async def play(call: Call) -> None:
        await call.read_body()
        await call.send(data)

    return play


def cut(data: bytes, size: int, *, reset: bool = False) -> Play:
    """Send the first `size` bytes, then close the connection or reset it."""

    async def play(call: Call) -> None:
        await call.read_body()
        if size:
            await call.send(data[:size])
        call.connection.close(reset=reset)

    return play


def stick(data: bytes = b"") -> Play:
    """Send these bytes, then nothing until the gateway closes."""

    async def play(call: Call) -> None:
        await call.read_body()
        if data:
            await call.send(data)
        await call.connection.wait_closed()

    return play


def in_turn(*plays: Play) -> Play:
    """Play the first script for the first request, and so on; the last one for all that follow."""
    left = list(plays)

    async def play(call: Call) -> None:
        await (left.pop(0) if len(left) > 1 else left[0])(call)

    return play


def in_steps(steps: Steps, *pieces: bytes) -> Play:
    """Send the pieces one by one, each but the first only when the test has confirmed the one before."""

    async def play(call: Call) -> None:
        await call.read_body()
        await call.send(pieces[0])
        for piece in pieces[1:]:
            await steps.wait()
            await call.send(piece)

    return play
