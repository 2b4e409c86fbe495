"""An exchange under every order of events from its client, its backend and the journal.

Real are the gateway, its counters, the decision, the trail and its records; played are the client's
connection, the backend's, the journal's disk, the clock and the thread that long bodies are decided on in.
Each play ends with an exchange that is over; what is asked then is the same for all of them, whatever
happened.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, cast
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.audit.events import AuditEvent, BriefBegin, End
from proxy.audit.journal import JournalWriter
from proxy.audit.trail import AuditPolicy, AuditTrail
from proxy.errors import (
    JournalError,
    UpstreamError,
    UpstreamInvalidError,
    UpstreamTimeoutError,
    UpstreamTruncatedError,
)
from proxy.gateway.bounds import Bounds
from proxy.gateway.exchange import PIECE_BYTES_MIN, THREAD_BYTES_MIN, Exchange, State
from proxy.gateway.gateway import Gateway
from proxy.gateway.limits import LimitTable
from proxy.gateway.pages import Pages
from proxy.gateway.snapshot import SnapshotSource
from proxy.http1.faults import BAD_FRAMING
from proxy.http1.handler import ABORTED, BAD_BODY, TIMED_OUT, TOO_SLOW
from proxy.policy.cors import CorsPolicy
from proxy.policy.credentials import digest_secret
from proxy.policy.decide import KeyEntry, Snapshot
from proxy.policy.limits import Verdict, build_limit, judge
from proxy.policy.model import ApiKey, HeaderPairs, RequestHead, Route
from proxy.policy.permissions import compile_permissions
from proxy.policy.routing import build_route_table
from proxy.relay.counters import Counters
from proxy.settings import CorsSettings
from proxy.upstream.balance import Backend
from proxy.upstream.request import CHUNKED, OutgoingRequest
from proxy.upstream.upstream import Upstream

BODY_BYTES_MAX, INSPECTED_BYTES_MAX, INSPECTED_TOTAL_BYTES_MAX = 400_000, 200_000, 250_000
CLIENT_SECONDS = 30.0
BY_MODEL = {"type": "object", "properties": {"model": {"const": "a"}}, "required": ["model"]}
ROUTES = [
    Route("rt_plain", "plain", "/plain/*", "backend.test"),
    Route("rt_drain", "drain", "/drain/*", "backend.test", on_client_abort="drain"),
    Route("rt_rule", "rule", "/rule/*", "backend.test", match_body_schema=BY_MODEL),
    Route(
        "rt_edit",
        "edit",
        "/edit/*",
        "backend.test",
        match_body_schema=BY_MODEL,
        add_body_fields=(("max_tokens", b"5"),),
    ),
    Route("rt_list", "list", "/v1/models", "backend.test"),
    Route("rt_broken", "broken", "/broken/*", "nowhere.test"),
    Route("rt_two", "two", "/two/*", "backend.test", targets=("http://other.test",)),
]
KEYS = [
    ApiKey("key_all", digest_secret(b"fg_all")),
    ApiKey("key_model", digest_secret(b"fg_model"), permissions=("model:a",)),
    ApiKey("key_spent", digest_secret(b"fg_spent")),
]
SNAPSHOT = Snapshot(
    1,
    {key.digest: KeyEntry(key, compile_permissions(key.permissions)) for key in KEYS},
    build_route_table(ROUTES),
)
CORS = CorsPolicy.build(CorsSettings(enabled=True))
BODIES = {
    "": b"",
    "good": b'{"model":"a","n":1}',
    "other": b'{"model":"b"}',
    "bad": b"{not json",
    "long": b'{"model":"a","x":"%b"}' % (b"x" * 2 * THREAD_BYTES_MIN),
    "too long to look into": b"z" * (INSPECTED_BYTES_MAX + 1),
    "too long": b"y" * (BODY_BYTES_MAX + 1),
}
MODELS = b'{"object":"list","data":[{"id":"a"},{"id":"b"}]}'


ANSWERS = {"byte": b"x", "models": MODELS, "event": b"data: 1\n\n", "line": b"\n", "much": b"y" * 100_000}


@dataclass
class PlayedClient:
    """A client's connection, which notes what it is told and whether it may be."""

    status: int | None = None
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""
    how_ended: str = ""  # end, break_off
    has_left: bool = False
    is_paused: bool = False
    calls: int = 0
    violations: list[str] = field(default_factory=list)
    is_plain: bool = True

    def send_whole(self, head: bytes, body: bytes) -> None:
        line, *lines = head.removesuffix(b"\r\n").split(b"\r\n")
        self.send_head(int(line.split(b" ")[1]), [tuple(one.split(b": ", 1)) for one in lines])  # type: ignore[misc]
        self.send_body(body)
        self.end()

    def _note(self, what: str) -> None:
        self.calls += 1
        if self.how_ended or self.has_left:
            self.violations.append(f"{what} after {self.how_ended or 'the client has left'}")

    def send_head(self, status: int, headers: HeaderPairs) -> None:
        self._note("send_head")
        if self.status is not None:
            self.violations.append("a second head")
        self.status, self.headers = status, list(headers)

    def send_body(self, data: bytes) -> None:
        self._note("send_body")
        if self.status is None:
            self.violations.append("a body before the head")
        self.body += data

    def end(self) -> None:
        self._note("end")
        if self.status is None:
            self.violations.append("an end before the head")
        self.how_ended = "end"

    def break_off(self) -> None:
        self._note("break_off")
        self.how_ended = "break_off"

    def forbid_reuse(self) -> None:
        self._note("forbid_reuse")

    def want_body(self) -> None:
        self._note("want_body")

    def pause(self) -> None:
        self._note("pause")
        self.is_paused = True

    def resume(self) -> None:
        self._note("resume")
        self.is_paused = False

    @property
    def is_from_backend(self) -> bool:
        return (b"x-from", b"backend") in self.headers


class PlayedSending:
    """A request on its way to a backend. `how_over` is empty while it is under way."""

    def __init__(self, play: Play, backend: Backend, request: OutgoingRequest) -> None:
        self.backend = backend
        self.request = request
        self.how_over = ""
        self.is_paused = False
        self.is_started = False
        self.sent = b"".join(request.pieces)
        self.is_ended = request.is_whole
        self.calls = 0
        self._play = play

    def _note(self, what: str) -> None:
        self.calls += 1
        if self.how_over:
            self._play.violations.append(f"{what} of a request that is over: {self.how_over}")

    def start(self) -> None:
        self._note("start")
        self.is_started = True
        if not self._play.is_begun():
            self._play.violations.append("sent before its beginning is in the journal")

    def send_body(self, data: bytes) -> None:
        self._note("send_body")
        if self.is_ended:
            self._play.violations.append("more of a body that has ended")
        self.sent += data

    def end_body(self) -> None:
        self._note("end_body")
        if self.is_ended:
            self._play.violations.append("a second end of a body")
        self.is_ended = True

    def cancel(self) -> None:
        self.calls += 1
        self.how_over = self.how_over or "cancelled"

    def pause(self) -> None:
        self._note("pause")
        self.is_paused = True

    def resume(self) -> None:
        self._note("resume")
        self.is_paused = False


class PlayedGroup(NamedTuple):
    backends: tuple[Backend, ...]


class PlayedPlan(NamedTuple):
    group: PlayedGroup


class PlayedUpstream:
    """The way to the backends: one route leads nowhere."""

    def __init__(self, play: Play) -> None:
        self.play = play
        self.sendings: list[PlayedSending] = []
        self._backends = (Backend("http://backend.test"), Backend("http://other.test"))

    def find_plan(self, compiled: Any) -> Any:
        if compiled.route.route_id == "rt_broken":
            raise UpstreamError("the route cannot be served")
        backends = self._backends if compiled.route.targets else self._backends[:1]
        return PlayedPlan(PlayedGroup(backends))

    def choose(self, plan: Any) -> Backend:
        return cast("Backend", plan.group.backends[-1])

    def open(
        self, plan: Any, backend: Backend, request: OutgoingRequest, exchange: Any, seconds: float
    ) -> Any:
        self.sendings.append(PlayedSending(self.play, backend, request))
        return self.sendings[-1]


class PlayedJournal:
    """A journal on a disk that is full at times."""

    def __init__(self) -> None:
        self.events: list[AuditEvent] = []
        self.is_full = False

    def append(self, *events: AuditEvent, within_bound: bool = False) -> None:
        if self.is_full:
            raise JournalError("the disk is full")
        self.events += events


class PlayedFuture:
    """What a thread is working on."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self._work = work
        self._callbacks: list[Callable[[Any], None]] = []

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        self._callbacks.append(callback)

    def result(self) -> Any:
        return self._work()

    def finish(self) -> None:
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback(self)


class PlayedLoop:
    """A clock that a play sets, and a thread that is done when a play says so."""

    def __init__(self) -> None:
        self.now = 0.0
        self.futures: list[PlayedFuture] = []

    def time(self) -> float:
        return self.now

    def run_in_executor(self, executor: None, work: Callable[[], Any]) -> PlayedFuture:
        self.futures.append(PlayedFuture(work))
        return self.futures[-1]


@dataclass
class PlayedKeepAlive:
    """Comments in a stream, which come when a play says so."""

    send: Callable[[bytes], object]
    interval_seconds: float
    is_running: bool = False

    def start(self) -> None:
        self.is_running = True

    def take(self, data: bytes) -> None: ...

    def stop(self) -> None:
        self.is_running = False


class PlayedLimits:
    """No limit for any key but one, whose allowance is used up."""

    def __init__(self) -> None:
        self.asked = 0

    def admit(self, key: ApiKey) -> Verdict | None:
        self.asked += 1
        if key.key_id == "key_model":
            return None
        return judge(build_limit(1), (1 << 50) if key.key_id == "key_spent" else 0, 1000)


@dataclass(frozen=True)
class Scene:
    """A request, and what the gateway is set to."""

    path: str = "/plain/x"
    method: str = "POST"
    key: str = "fg_all"
    framing: str = ""  # length, chunked, or empty
    body: str = ""  # the name of one of BODIES
    headers: tuple[tuple[bytes, bytes], ...] = ()
    has_fault: bool = False
    is_known: bool = False
    has_cors: bool = False
    has_journal: bool = True
    forwards_on_failure: bool = False
    is_collecting: bool = False
    keep_alive_seconds: float = 0.0
    in_flight_max: int = 10


class Play:
    """One exchange, its neighbours, and the events that happen to it."""

    def __init__(self, scene: Scene, folder: Path = Path("/")) -> None:
        self.scene = scene
        self.client = PlayedClient()
        self.violations: list[str] = []
        self.turns: list[Callable[[], None]] = []
        self.journal = PlayedJournal()
        self.counters = Counters()
        self.upstream = PlayedUpstream(self)
        self.limits = PlayedLimits()
        self.loop = PlayedLoop()
        self.keep_alives: list[PlayedKeepAlive] = []
        source = SnapshotSource(lambda: pytest.fail("no database"), environ={}, folder=folder)
        source.current = SNAPSHOT
        self.trail = AuditTrail(
            cast("JournalWriter", self.journal) if scene.has_journal else None,
            AuditPolicy(body_bytes_max=64, stream_bytes_max=64, forward_on_failure=scene.forwards_on_failure),
            defer=self.turns.append,
        )
        self.gateway = Gateway(
            pages=Pages(cast("Any", None), frozenset()),
            snapshots=source,
            upstream=cast("Upstream", self.upstream),
            trail=self.trail,
            counters=self.counters,
            bounds=Bounds(
                body_bytes_max=BODY_BYTES_MAX,
                inspected_bytes_max=INSPECTED_BYTES_MAX,
                inspected_total_bytes_max=INSPECTED_TOTAL_BYTES_MAX,
                client_timeout_seconds=CLIENT_SECONDS,
                in_flight_max=scene.in_flight_max,
                keep_alive_seconds=scene.keep_alive_seconds,
                is_collecting=scene.is_collecting,
            ),
            limits=cast("LimitTable", self.limits),
            cors=CORS if scene.has_cors else None,
        )
        self.gateway.loop = cast("Any", self.loop)
        self.left_of_body = BODIES[scene.body]
        self.is_body_over = not scene.framing
        self.answer = b""  # what the backend has said of its body, where the exchange could hear it
        self.is_answer_whole = False
        self.left_because = ""
        self.is_bug = False
        self.exchange = self._open()

    def _open(self) -> Exchange:
        head, raw = self._build_head()
        if self.scene.is_known:
            # The head comes twice before: seen, then remembered.
            for _ in range(2):
                exchange = cast("Exchange", self.gateway.open(PlayedClient(), head, None, raw))
                exchange.start()
                exchange.interrupt()
            for sending in self.upstream.sendings:
                assert sending.how_over
            self._turn()
            self.journal.events.clear()
            self.upstream.sendings.clear()
            self.counters = self.gateway.counters = Counters()
            self.limits.asked = 0
            if found := self.gateway.recognise(head.peer, *raw):
                return cast("Exchange", self.gateway.open_known(self.client, *found))
        fault = BAD_FRAMING if self.scene.has_fault else None
        return cast("Exchange", self.gateway.open(self.client, head, fault, raw))

    def _build_head(self) -> tuple[RequestHead, tuple[bytes, int]]:
        scene = self.scene
        headers = [(b"host", b"gateway.test"), *scene.headers]
        if scene.key:
            headers.append((b"authorization", b"Bearer " + scene.key.encode()))
        if scene.framing == "chunked":
            headers.append((b"transfer-encoding", b"chunked"))
        elif scene.framing:
            headers.append((b"content-length", b"%d" % len(BODIES[scene.body])))
        head = RequestHead(scene.method, scene.path.encode(), b"", headers, "10.0.0.1")
        lines = [
            b"%b %b HTTP/1.1" % (scene.method.encode(), head.path),
            *(b"%b: %b" % pair for pair in headers),
        ]
        data = b"\r\n".join(lines)
        return head, (data + b"\r\n\r\n", len(data))

    # What happens.

    def happen(self, event: tuple[Any, ...]) -> None:
        """Let one event happen, if it can at this point, and look at what must hold at all times."""
        getattr(self, f"_{event[0]}")(*event[1:])
        self.check_always()

    def _turn(self) -> None:
        turns, self.turns[:] = [*self.turns], []
        for function in turns:
            function()

    def _full_turn(self) -> None:
        self.journal.is_full = True
        self._turn()
        self.journal.is_full = False

    def _body(self, size: int) -> None:
        if not self.is_body_over and self._hears_client and (piece := self.left_of_body[:size]):
            self.left_of_body = self.left_of_body[size:]
            self.exchange.take_body(piece)

    def _body_end(self) -> None:
        if not self.is_body_over and self._hears_client:
            while self.left_of_body and self._hears_client:
                self._body(50_000)
            if self._hears_client:
                self.is_body_over = True
                self.exchange.take_body_end()

    def _body_fails(self, reason: str) -> None:
        if not self.is_body_over and self._hears_client:
            self.is_body_over = True
            self.exchange.fail_body(reason)

    def _leave(self, reason: str) -> None:
        if self._hears_client:
            self.client.has_left = True
            self.left_because = reason
            self.exchange.leave(reason)

    def _hold_back(self) -> None:
        if self._hears_client:
            self.exchange.hold_back()

    def _go_on(self) -> None:
        if self._hears_client:
            self.exchange.go_on()

    @property
    def _hears_client(self) -> bool:
        return not self.client.has_left and not self.client.how_ended

    def _head(self, status: int, *headers: tuple[bytes, bytes]) -> None:
        if self._has_sending():
            self.exchange.take_head(status, [(b"x-from", b"backend"), *headers])

    def _answer(self, name: str, pieces: int) -> None:
        data = ANSWERS[name]
        if self._has_sending():
            if self.exchange.state is State.ANSWERING:
                self.answer += data
            self.exchange.take_answer(data, pieces)

    def _answer_end(self) -> None:
        if self._has_sending():
            if self.exchange.state is State.ANSWERING:
                self.is_answer_whole = True
                self.upstream.sendings[-1].how_over = "answered"
            self.exchange.take_answer_end()  # which says nothing before there was a head

    def _fails(self, error: UpstreamError) -> None:
        if self._has_sending():
            self.upstream.sendings[-1].how_over = "failed"
            self.exchange.fail(error)

    def _moves(self) -> None:
        """The backend is another one now: a try has failed."""
        if self._has_sending() and self.exchange.state is State.SENDING:
            self.upstream.sendings[-1].backend = Backend("http://third.test")

    def _body_full(self) -> None:
        if self._has_sending():
            self.exchange.hold_body_back()

    def _body_room(self) -> None:
        if self._has_sending():
            self.exchange.go_on_with_body()

    def _has_sending(self) -> bool:
        return bool(self.upstream.sendings) and not self.upstream.sendings[-1].how_over

    def _interrupt(self) -> None:
        if self._hears_client:
            self.exchange.interrupt()

    def _crash(self) -> None:
        if self.exchange.state is not State.OVER:
            self.is_bug = True
            self.exchange.crash(KeyError("a bug"))

    def _decided(self) -> None:
        for future in self.loop.futures:
            future.finish()

    def _wait(self, seconds: float) -> None:
        self.loop.now += seconds

    def _silence(self) -> None:
        for each in self.keep_alives:
            if each.is_running:
                each.send(b": keep-alive\n\n")

    # What holds.

    def is_begun(self) -> bool:
        """Tell whether the beginning of the request is in the journal, or is not to be."""
        if not self.scene.has_journal or self.scene.forwards_on_failure:
            return True
        return any(isinstance(event, BriefBegin) for event in self.journal.events)

    def check_always(self) -> None:
        exchange = self.exchange
        kept = sum(map(len, exchange._pieces))
        if exchange._is_collecting:
            assert kept == exchange._inspected_bytes == self.gateway._inspected_bytes <= INSPECTED_BYTES_MAX
            assert len(exchange._pieces) <= kept // PIECE_BYTES_MIN + 1
        assert kept <= BODY_BYTES_MAX
        collected = sum(map(len, exchange._collected))
        assert collected <= BODY_BYTES_MAX + 100_000  # and the piece with which it became too long
        assert len(exchange._collected) <= collected // PIECE_BYTES_MIN + 1
        assert not self.violations + self.client.violations
        if exchange.state is State.OVER:
            self.check_over()

    def check_over(self) -> None:
        exchange, client = self.exchange, self.client
        assert self.counters.in_flight == 0
        assert sum(self.counters.requests.values()) == 1
        assert (exchange._pieces, exchange._collected) == ([], [])
        assert self.gateway._inspected_bytes == 0
        assert self.trail.tapped_bytes == 0
        assert exchange.record.ended
        assert not any(each.is_running for each in self.keep_alives)
        assert all(sending.how_over for sending in self.upstream.sendings)
        assert len(self.upstream.sendings) <= 1
        assert client.has_left or client.how_ended
        if client.how_ended == "end" and client.is_from_backend:
            assert self.is_answer_whole, "an answer that was cut off was ended as if it were whole"
        if client.how_ended == "end" and not client.is_from_backend and client.status != 204:
            assert json.loads(client.body)["error"]["request_id"] == exchange.record.request_id
        if client.is_from_backend and not self.scene.path.endswith("/models"):
            sent = client.body.replace(b": keep-alive\n\n", b"")
            assert self.answer.startswith(sent)
            assert sent == self.answer or client.how_ended != "end"

    def check_events(self) -> None:
        """Look at what the journal holds in the end."""
        begins = [event for event in self.journal.events if isinstance(event, BriefBegin)]
        ends = [event for event in self.journal.events if isinstance(event, End)]
        assert len(begins) == len(ends) <= 1
        if not ends:  # it could not be written down, and was refused, or had ended in the same turn
            assert not self.scene.has_journal or not self.upstream.sendings
            return
        (begin,), (end,) = begins, ends
        if self.client.has_left and not self.is_bug:
            assert end.error in (
                (self.left_because, "client_closed") if self.left_because == ABORTED else (TOO_SLOW,)
            )
        assert begin.ulid == end.ulid == self.exchange.record.ulid
        assert begin.sequence == self.trail.sequence
        if self.client.status is not None and not self.client.has_left:
            assert end.status == self.client.status
            if self.client.how_ended == "break_off":
                assert end.error is not None

    def finish(self) -> None:
        """Have the exchange end, if it has not, and look at the whole of it."""
        for event in (
            ("decided",),
            ("turn",),
            ("interrupt",),
            ("fails", UpstreamTimeoutError("late")),
            ("turn",),
        ):
            self.happen(event)
        assert self.exchange.state is State.OVER
        self.trail.retry()
        self.check_over()
        self.check_events()
        self.check_deaf()

    def describe_answer(self) -> str:
        """Return whose answer the client has got whole, or that it was broken off, or nothing."""
        if self.client.how_ended == "break_off":
            return "broken"
        if not self.client.how_ended:
            return ""
        return "backend" if self.client.is_from_backend else "own"

    def describe_sending(self) -> str:
        return self.upstream.sendings[-1].how_over if self.upstream.sendings else ""

    def check_deaf(self) -> None:
        """Once it is over no event changes anything."""
        exchange = self.exchange
        before = self._measure()
        exchange.recorded(None)
        exchange.recorded(JournalError("late"))
        exchange.take_head(200, [])
        exchange.take_answer(b"late", 1)
        exchange.take_answer_end()
        exchange.fail(UpstreamTimeoutError("late"))
        exchange.hold_body_back()
        exchange.go_on_with_body()
        exchange.take_body(b"late")
        exchange.take_body_end()
        exchange.fail_body(BAD_BODY)
        exchange.hold_back()
        exchange.go_on()
        exchange.leave(ABORTED)
        exchange.interrupt()
        exchange.crash(KeyError("late"))
        self._decided()
        self._turn()
        assert self._measure() == before

    def _measure(self) -> tuple[object, ...]:
        calls = [sending.calls for sending in self.upstream.sendings]
        return (
            *(
                self.client.calls,
                calls,
                [*self.journal.events],
                dict(self.counters.requests),
                self.limits.asked,
            ),
            *(
                self.gateway._inspected_bytes,
                self.trail.tapped_bytes,
                self.counters.in_flight,
                self.exchange.state,
            ),
        )


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """What thousands of plays have to say about bugs that were played is of no interest."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@contextmanager
def start(scene: Scene) -> Iterator[Play]:
    """Yield a play in which the head has come."""
    play = Play(scene)

    def build(send: Callable[[bytes], object], interval_seconds: float) -> PlayedKeepAlive:
        play.keep_alives.append(PlayedKeepAlive(send, interval_seconds))
        return play.keep_alives[-1]

    with patch("proxy.gateway.exchange.StreamKeepAlive", build):
        play.exchange.start()
        play.check_always()
        yield play


PREFLIGHT = ((b"origin", b"https://a.example"), (b"access-control-request-method", b"POST"))
SSE = (b"content-type", b"text/event-stream")


# What is not as usual: a play has at most two of these, so that most requests get far.
TWISTS: list[dict[str, Any]] = [
    {"path": "/nowhere"},
    {"path": "/broken/x"},
    {"path": "/plain/%2e%2e/x"},
    {"path": "/v1/models", "method": "GET", "framing": "", "body": "", "key": "fg_model"},
    {"method": "OPTIONS", "framing": "", "body": "", "headers": PREFLIGHT, "has_cors": True},
    {"method": "OPTIONS", "framing": "", "body": "", "headers": ((b"max-forwards", b"0"),)},
    {"method": "HEAD", "framing": "", "body": ""},
    {"body": "", "framing": "length"},
    *[{"body": body} for body in BODIES if body],
    *[{"key": key} for key in ("fg_model", "fg_spent", "fg_unknown", "")],
    {"has_fault": True},
    {"has_cors": True, "headers": PREFLIGHT[:1]},
    {"has_journal": False},
    {"forwards_on_failure": True},
    {"is_collecting": True},
    {"in_flight_max": 0},
]


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    """Return a request of any kind, most of them good ones."""
    scene = Scene(
        path=draw(st.sampled_from(["/plain/x", "/drain/x", "/rule/x", "/rule/x", "/edit/x", "/two/x"])),
        framing=draw(st.sampled_from(["length", "chunked"])),
        body=draw(st.sampled_from(["good", "long"])),
        is_known=draw(st.booleans()),
        keep_alive_seconds=draw(st.sampled_from([0.0, 1.0])),
    )
    for twist in draw(st.lists(st.sampled_from(TWISTS), max_size=2)):
        scene = replace(scene, **twist)
    return scene


ERRORS = (
    UpstreamError("refused"),
    UpstreamTimeoutError("late"),
    UpstreamInvalidError("no"),
    UpstreamTruncatedError("cut"),
)
DISTURBANCES: list[st.SearchStrategy[tuple[Any, ...]]] = [
    *[st.tuples(st.just("leave"), st.sampled_from([ABORTED, TOO_SLOW]))] * 3,
    st.tuples(st.just("body_fails"), st.sampled_from([BAD_BODY, TIMED_OUT])),
    *[st.tuples(st.just("fails"), st.sampled_from(ERRORS))] * 2,
    st.just(("interrupt",)),
    st.just(("crash",)),
    st.just(("full_turn",)),
]
EVENTS: list[st.SearchStrategy[tuple[Any, ...]]] = [
    *DISTURBANCES,
    st.tuples(st.just("head"), st.sampled_from([200, 204, 304, 404, 500])),
    st.tuples(st.just("answer"), st.sampled_from([*ANSWERS]), st.just(2)),
    st.tuples(st.just("body"), st.sampled_from([1, 10_000, 100_000])),
    st.tuples(st.just("wait"), st.sampled_from([0.1, 1000.0])),
    *map(st.just, [("turn",), ("answer_end",), ("body_end",), ("decided",), ("moves",)]),
    *map(st.just, [("hold_back",), ("go_on",), ("body_full",), ("body_room",), ("silence",)]),
]


@st.composite
def courses(draw: st.DrawFn) -> list[tuple[Any, ...]]:
    """Return events: as many of those that lead to a good end as there may be, and others in between."""
    head = draw(st.sampled_from([("head", 200), ("head", 200, SSE), ("head", 404)]))
    answers = draw(
        st.lists(st.tuples(st.just("answer"), st.sampled_from([*ANSWERS]), st.just(1)), max_size=3)
    )
    good = [
        ("body", 5),
        ("body", 70_000),
        ("body_end",),
        ("decided",),
        ("turn",),
        head,
        *answers,
        ("answer_end",),
    ]
    events = good[: draw(st.one_of(st.just(len(good)), st.integers(0, len(good))))]
    for other in draw(st.lists(st.one_of(EVENTS), max_size=4)):
        events.insert(draw(st.integers(0, len(events))), other)
    return events


@settings(max_examples=150)
@given(scene=scenes(), events=courses())
def test_whatever_happens_in_whichever_order_it_ends_once_and_well(
    scene: Scene, events: list[tuple[Any, ...]]
) -> None:
    with start(scene) as play:
        for event in events:
            play.happen(event)
        play.finish()


# How each state is reached, and what each event comes to in it: how the client's connection goes on (an
# answer of the gateway's own, of the backend's, one that is broken off, or none), the status and the error of
# the row, and what becomes of the request to the backend.
DECIDING, THREAD = [("body", 5)], [("body_end",)]
RECORDING: list[tuple[Any, ...]] = []
SENDING: list[tuple[Any, ...]] = [("body_end",), ("turn",)]
UPLOADING: list[tuple[Any, ...]] = [("body", 5), ("turn",)]
ANSWERING: list[tuple[Any, ...]] = [*SENDING, ("head", 200), ("answer", "byte", 1)]
STREAMING: list[tuple[Any, ...]] = [*SENDING, ("head", 200, SSE), ("answer", "event", 1)]
RULE, DRAIN = {"path": "/rule/x"}, {"path": "/drain/x"}
LEAVE, SLOW, BAD, LATE = (
    ("leave", ABORTED),
    ("leave", TOO_SLOW),
    ("body_fails", BAD_BODY),
    ("body_fails", TIMED_OUT),
)
CUT, INTERRUPT, CRASH = ("fails", UpstreamTruncatedError("cut")), ("interrupt",), ("crash",)
REFUSED = ("fails", UpstreamError("refused", detail="refused"))
TABLE: list[tuple[dict[str, Any], list[tuple[Any, ...]], list[tuple[Any, ...]], tuple[Any, ...]]] = [
    (RULE, DECIDING, [LEAVE], ("", None, "client_abort", "")),
    (RULE, DECIDING, [BAD], ("own", 400, "client_bad_body", "")),
    (RULE, DECIDING, [LATE], ("own", 408, "client_timeout", "")),
    (RULE, DECIDING, [INTERRUPT], ("own", 503, "interrupted", "")),
    (RULE, DECIDING, [CRASH], ("own", 500, "internal_error", "")),
    (
        RULE,
        DECIDING,
        [("wait", 29), ("body", 5), ("wait", 2), ("body", 1)],
        ("own", 408, "client_timeout", ""),
    ),
    (RULE | {"body": "other"}, DECIDING, [("body_end",)], ("own", 404, "no_route", "")),
    (RULE | {"body": "bad"}, DECIDING, [("body_end",)], ("own", 400, "bad_body", "")),
    (RULE | {"body": "long"}, THREAD, [LEAVE, ("decided",)], ("", None, "client_abort", "")),
    (RULE | {"body": "long"}, THREAD, [INTERRUPT, ("decided",)], ("own", 503, "interrupted", "")),
    (RULE | {"body": "long"}, THREAD, [CRASH, ("decided",)], ("own", 500, "internal_error", "")),
    (RULE | {"body": "too long to look into"}, [], [], ("own", 413, "body_too_large", "")),
    (
        RULE | {"body": "too long to look into", "framing": "chunked"},
        [],
        [("body_end",)],
        ("own", 413, "body_too_large", ""),
    ),
    ({"body": "too long"}, [], [], ("own", 413, "body_too_large", "")),
    (
        {"body": "too long", "framing": "chunked"},
        UPLOADING,
        [("body_end",)],
        ("own", 413, "body_too_large", "cancelled"),
    ),
    ({"key": "fg_spent"}, [], [], ("own", 429, "rate_limited", "")),
    ({"in_flight_max": 0}, [], [], ("own", 503, "overloaded", "")),
    ({"path": "/broken/x"}, RECORDING, [("turn",)], ("own", 502, "upstream_unreachable", "")),
    ({}, RECORDING, [LEAVE, ("turn",)], ("", None, "client_abort", "")),
    ({}, RECORDING, [BAD, ("turn",)], ("own", 400, "client_bad_body", "")),
    ({}, RECORDING, [INTERRUPT, ("turn",)], ("own", 503, "interrupted", "")),
    ({}, RECORDING, [CRASH, ("turn",)], ("own", 500, "internal_error", "")),
    ({}, SENDING, [LEAVE], ("", None, "client_abort", "cancelled")),
    ({}, SENDING, [INTERRUPT], ("own", 503, "interrupted", "cancelled")),
    ({}, SENDING, [CRASH], ("own", 500, "internal_error", "cancelled")),
    ({}, SENDING, [REFUSED], ("own", 502, "upstream_unreachable: refused", "failed")),
    ({}, SENDING, [CUT], ("own", 502, "upstream_truncated", "failed")),
    ({}, SENDING, [("fails", UpstreamTimeoutError("late"))], ("own", 504, "upstream_timeout", "failed")),
    ({}, UPLOADING, [BAD], ("own", 400, "client_bad_body", "cancelled")),
    ({}, UPLOADING, [LATE], ("own", 408, "client_timeout", "cancelled")),
    ({}, ANSWERING, [("answer_end",)], ("backend", 200, None, "answered")),
    ({}, ANSWERING, [LEAVE], ("", 200, "client_abort", "cancelled")),
    ({}, ANSWERING, [SLOW], ("", 200, "client_slow", "cancelled")),
    ({}, ANSWERING, [INTERRUPT], ("broken", 200, "interrupted", "cancelled")),
    ({}, ANSWERING, [CRASH], ("broken", 200, "internal_error", "cancelled")),
    ({}, ANSWERING, [CUT], ("broken", 200, "upstream_truncated", "failed")),
    ({}, STREAMING, [LEAVE], ("", 200, "client_closed", "cancelled")),
    ({}, STREAMING, [SLOW], ("", 200, "client_slow", "cancelled")),
    ({}, [*STREAMING, ("answer", "byte", 1)], [LEAVE], ("", 200, "client_abort", "cancelled")),
    (DRAIN, UPLOADING, [LEAVE], ("", None, "client_abort", "cancelled")),
    (DRAIN, SENDING, [LEAVE, ("head", 200), ("answer_end",)], ("", 200, "client_abort", "answered")),
    (
        DRAIN,
        ANSWERING,
        [LEAVE, ("answer", "much", 1), ("answer_end",)],
        ("", 200, "client_abort", "answered"),
    ),
    (DRAIN, ANSWERING, [("hold_back",), LEAVE, ("answer_end",)], ("", 200, "client_abort", "answered")),
    (DRAIN, ANSWERING, [SLOW, CUT], ("", 200, "client_slow", "failed")),
    (DRAIN, ANSWERING, [LEAVE, CRASH], ("", 200, "internal_error", "cancelled")),
    (DRAIN, STREAMING, [LEAVE, ("silence",), ("answer_end",)], ("", 200, "client_closed", "answered")),
    ({"is_collecting": True}, ANSWERING, [LEAVE], ("", None, "client_abort", "cancelled")),
    ({"is_collecting": True}, ANSWERING, [CUT], ("own", 502, "upstream_truncated", "failed")),
    ({"is_collecting": True}, ANSWERING, [INTERRUPT], ("own", 503, "interrupted", "cancelled")),
    ({"is_collecting": True}, ANSWERING, [CRASH], ("own", 500, "internal_error", "cancelled")),
    (
        {"is_collecting": True},
        ANSWERING,
        [("answer", "much", 1)] * 4,
        ("own", 502, "upstream_invalid", "cancelled"),
    ),
]


@pytest.mark.parametrize("is_known", [False, True])
@pytest.mark.parametrize(("options", "before", "events", "expected"), TABLE)
def test_each_event_in_each_state(
    options: dict[str, Any],
    before: list[tuple[Any, ...]],
    events: list[tuple[Any, ...]],
    expected: tuple[Any, ...],
    is_known: bool,
) -> None:
    scene = replace(
        Scene(framing="length", body="good", is_known=is_known, keep_alive_seconds=1.0), **options
    )
    with start(scene) as play:
        for event in (*before, *events):
            play.happen(event)
        assert play.exchange.state is State.OVER
        play.finish()
        (end,) = [event for event in play.journal.events if isinstance(event, End)]
        assert (play.describe_answer(), end.status, end.error, play.describe_sending()) == expected


def test_a_request_is_refused_if_it_cannot_be_written_down() -> None:
    with start(Scene(framing="length", body="good")) as play:
        play.happen(("full_turn",))
        assert (play.client.status, play.describe_sending(), play.journal.events) == (503, "", [])
        play.finish()


def test_a_pause_on_either_side_reaches_the_other() -> None:
    with start(Scene(framing="length", body="good")) as play:
        play.happen(("hold_back",))  # before there is an answer
        for event in UPLOADING:
            play.happen(event)
        (sending,) = play.upstream.sendings
        assert sending.is_paused
        play.happen(("go_on",))
        assert not sending.is_paused
        play.happen(("body_full",))
        assert play.client.is_paused
        play.happen(("body_room",))
        assert not play.client.is_paused
        play.happen(("body_end",))
        play.happen(("body_full",))  # nothing more will come
        assert not play.client.is_paused
        play.finish()


@pytest.mark.parametrize("is_known", [False, True])
@pytest.mark.parametrize("path", ["/rule/x", "/edit/x", "/plain/x"])
@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("body", ["good", "long"])
def test_what_the_backend_gets_is_what_the_client_sent(
    path: str, framing: str, body: str, is_known: bool
) -> None:
    with start(Scene(path, framing=framing, body=body, is_known=is_known)) as play:
        for event in [("body", 3), ("turn",), ("body", 7), ("body_end",), ("decided",), ("turn",)]:
            play.happen(event)
        (sending,) = play.upstream.sendings
        whole = BODIES[body]
        expected = whole[:-1] + b',"max_tokens":5}' if path == "/edit/x" else whole
        assert (sending.sent, sending.is_ended) == (expected, True)
        is_streamed = path == "/plain/x" and framing == "chunked"
        assert sending.request.length == (CHUNKED if is_streamed else len(expected))
        play.finish()


def test_a_body_that_was_looked_into_is_given_back_with_the_head_of_the_answer() -> None:
    """A stream may last for an hour, and its request is not sent again."""
    with start(Scene("/rule/x", framing="length", body="long")) as play:
        for event in [("body_end",), ("decided",), ("turn",)]:
            play.happen(event)
        assert play.gateway._inspected_bytes == len(BODIES["long"])
        play.happen(("head", 200))
        assert play.gateway._inspected_bytes == 0
        play.finish()


def test_a_list_of_models_is_sent_when_it_is_whole_and_narrowed() -> None:
    with start(Scene("/v1/models", "GET", key="fg_model")) as play:
        for event in [("turn",), ("head", 200, (b"etag", b"x")), ("answer", "models", 1)]:
            play.happen(event)
        assert play.client.status is None
        play.happen(("answer_end",))
        assert [each["id"] for each in json.loads(play.client.body)["data"]] == ["a"]
        assert (b"content-length", b"%d" % len(play.client.body)) in play.client.headers
        assert b"etag" not in dict(play.client.headers)
        play.finish()
