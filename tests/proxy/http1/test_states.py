"""Anything in any order: what an exchange does, what a client sends or takes, and what a server asks for.

Whatever comes together, an exchange is told of its own request alone, once of each end, and a connection that
serves nothing has a deadline.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.http1.limits import QUEUED_BODY_BYTES_MAX
from proxy.http1.wire import NEVER
from tests.proxy.http1.bench import Bench
from tests.proxy.http1.played import Played, get, post, post_chunks

REQUESTS = st.sampled_from(
    [
        get("/a"),
        get("/a", "Connection: close"),
        get("/a", "Connection: keep-alive", version="1.0"),
        get("/a", method="HEAD"),
        post(b"x" * 10, "/b"),
        post(b"x" * 100, "/b", "Expect: 100-continue"),
        post(b"x" * (QUEUED_BODY_BYTES_MAX + 1), "/b"),
        post_chunks([b"x" * 10, b"y" * 500], "/c"),
        post_chunks([b"x"] * 5, "/c", trailer=b"Connection: close\r\n"),
        get("/d", "Content-Length: 1", "Content-Length: 1"),
        get("/c", "Transfer-Encoding: chunked", method="POST") + b"3\r\nabc\r\nzz\r\n",
        b"\x16\x03\x01\0",
        b"\r\n",
    ]
)
SIMPLE = st.sampled_from(
    [
        "begin", "begin counted", "send", "end", "answer", "whole",
        "break off", "pause", "resume", "want", "forbid",
        "fill", "drain", "take some", "close when idle", "stop", "interrupt", "lose",
    ]
)  # fmt: skip
STEPS = st.one_of(
    st.tuples(st.just("feed"), st.integers(1, 400)),
    st.tuples(st.just("feed"), st.just(200_000)),
    st.tuples(SIMPLE.filter(lambda step: step not in ("lose", "interrupt", "stop")), st.none()),
    st.tuples(SIMPLE, st.none()),
    st.tuples(st.just("pass"), st.sampled_from([0.25, 3.0, 31.0, 80.0])),
)


def ignore(exchange: Played, event: str) -> None:
    """Leave everything to the test, but stop when the server does."""
    if event == "interrupted" and not exchange.is_over:
        exchange.break_off()


class Session:
    """One connection on which a test does anything; what cannot be done now is passed over."""

    def __init__(self, stream: bytes, known: dict[Any, Any], *, recognises: bool) -> None:
        self.bench = Bench(ignore, recognises=recognises)
        self.bench.handler.known = known
        self._stream = stream

    @property
    def exchange(self) -> Played | None:
        """Return the one that is under way."""
        under_way = [each for each in self.bench.handler.exchanges if not each.is_over]
        assert len(under_way) <= 1
        return under_way[0] if under_way else None

    def act(self, step: str, value: Any) -> None:
        bench = self.bench
        if step == "feed":
            self._feed(value)
        elif step == "pass":
            bench.pass_seconds(value)
        elif bench.is_lost:
            return
        elif step == "fill" and not bench.connection.wire.is_full and not bench.transport.is_closing():
            bench.fill()
        elif step == "drain" and bench.connection.wire.is_full:
            bench.drain()
        elif step == "take some" and bench.connection.wire.is_full:
            bench.transport.unsent -= 1
        elif step == "close when idle":
            bench.connection.close_when_idle()
        elif step == "stop":
            bench.is_stopping = True
        elif step == "interrupt":
            bench.connection.interrupt()
        elif step == "lose":
            bench.lose()
        elif self.exchange is not None:
            self._play(self.exchange, step)
        bench.run()

    def check(self) -> None:
        bench, connection = self.bench, self.bench.connection
        assert bench.handler.mistakes == []
        assert bench.handler.errors == []
        if bench.is_lost:
            assert self.exchange is None
        elif self.exchange is None:
            assert min(connection.deadline, connection.wire.deadline) < NEVER
            assert bench.transport.is_closing() or not bench.transport.is_paused

    def finish(self) -> None:
        """End what is under way, and let the time pass: nothing is left of it."""
        bench = self.bench
        if bench.connection.wire.is_full and not bench.is_lost:
            bench.drain()
        bench.connection.close_when_idle()
        while (exchange := self.exchange) is not None:
            if not exchange.has_head:
                exchange.answer()
            else:
                exchange.break_off()
            bench.run()
            self.check()
        bench.pass_seconds(200)
        assert bench.is_lost
        assert (bench.connection._pipeline, bench.connection._backlog) == (None, None)

    def _feed(self, size: int) -> None:
        if self.bench.transport.is_paused or self.bench.transport.is_closing():
            return
        piece, self._stream = self._stream[:size], self._stream[size:]
        self.bench.feed(piece)

    def _play(self, exchange: Played, step: str) -> None:
        client = exchange.client
        if step == "begin" and not exchange.has_head:
            exchange.begin()
        elif step == "begin counted" and not exchange.has_head:
            exchange.begin(200, [(b"content-length", b"3")])
        elif step == "send" and exchange.has_head and exchange.sent < 3:
            exchange.sent += 1
            client.send_body(b"x")
        elif step == "end" and exchange.has_head:
            exchange.end()
        elif step == "answer" and not exchange.has_head:
            exchange.answer(b"answer")
        elif step == "whole" and not exchange.has_head and exchange.head.method != "HEAD":
            exchange.answer_whole(b"whole")
        elif step == "break off":
            exchange.break_off()
        elif step in ("pause", "resume", "want", "forbid"):
            {
                "pause": client.pause,
                "resume": client.resume,
                "want": client.want_body,
                "forbid": client.forbid_reuse,
            }[step]()


@settings(max_examples=300, deadline=None)
@given(st.lists(REQUESTS, min_size=1, max_size=6), st.lists(STEPS, max_size=40), st.booleans())
def test_whatever_happens_in_whichever_order_a_connection_keeps_its_promises(
    requests: list[bytes], steps: list[tuple[str, Any]], recognises: bool
) -> None:
    known: dict[Any, Any] = {}
    if recognises:
        for request in requests:
            warm = Bench(ignore, recognises=True).feed(request)
            known |= warm.handler.known
    session = Session(b"".join(requests), known, recognises=recognises)
    for step, value in steps:
        session.act(step, value)
        session.check()
    session.finish()
