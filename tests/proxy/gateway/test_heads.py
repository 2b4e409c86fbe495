"""Heads that are recognised: what comes of one is what comes of a stranger's, whatever has changed meanwhile.

Two gateways get the same requests, on the connections of `proxy.http1` without their sockets. One remembers
heads, the other decides on each anew; all that clients, backends and journals see has to be the same.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from hypothesis import event as note
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.audit.events import AuditEvent, BriefBegin, End, decode_head
from proxy.audit.journal import JournalWriter
from proxy.audit.masking.mask import SecretMask
from proxy.audit.trail import AuditPolicy, AuditTrail
from proxy.gateway.bounds import Bounds
from proxy.gateway.gateway import Gateway
from proxy.gateway.heads import Heads
from proxy.gateway.limits import LimitTable
from proxy.gateway.pages import Pages
from proxy.gateway.snapshot import SnapshotSource
from proxy.http1.connection import ClientConnection
from proxy.http1.limits import ServerLimits
from proxy.http1.server import HttpServer
from proxy.policy.cors import CorsPolicy
from proxy.policy.credentials import digest_secret
from proxy.policy.decide import KeyEntry, Snapshot
from proxy.policy.forwarded import build_trusted_proxies
from proxy.policy.limits import Verdict, build_limit, judge
from proxy.policy.model import ApiKey, Route
from proxy.policy.permissions import compile_permissions
from proxy.policy.routing import build_route_table
from proxy.recognised import HEAD_BYTES_MAX, SEEN_MAX, Recognised
from proxy.relay.counters import Counters
from proxy.settings import CorsSettings
from proxy.upstream.balance import Backend
from proxy.upstream.request import OutgoingRequest
from proxy.upstream.upstream import Upstream

SECOND_US = 1_000_000
START_US = 1_800_000_000 * SECOND_US
BY_MODEL = {"type": "object", "properties": {"model": {"const": "a"}}, "required": ["model"]}
SECRETS = ("fg_first", "fg_second")
TOKEN = "s3cret-of-a-backend"
CORS = CorsPolicy.build(CorsSettings(enabled=True))


@dataclass(frozen=True)
class Setup:
    """What the database holds, and what has changed of it."""

    is_active: bool = True
    expires_us: int | None = None
    permissions: tuple[str, ...] = ()
    secret: str = SECRETS[0]
    target: str = "one.test"
    path: str = "/v1/*"
    rule: dict[str, Any] | None = None
    header: str = "a"
    masked: tuple[str, ...] = ()
    revision: int = 0  # another snapshot, though it says the same

    def build(self) -> Snapshot:
        key = ApiKey(
            "key_1",
            digest_secret(self.secret.encode()),
            permissions=self.permissions,
            is_active=self.is_active,
            expires_at_us=self.expires_us,
        )
        route = Route(
            "rt_1",
            "one",
            self.path,
            self.target,
            add_headers=(("x-token", self.header),),
            match_body_schema=self.rule,
        )
        entries = {key.digest: KeyEntry(key, compile_permissions(key.permissions))}
        return Snapshot(
            self.revision, entries, build_route_table([route, Route("rt_2", "all", "/o/*", "other.test")])
        )


class PlayedTransport(asyncio.Transport):
    """A client's connection: what it is sent, and whether it was closed."""

    def __init__(self, peer: str) -> None:
        super().__init__()
        self.sent = b""
        self.is_closed = False
        self._peer = peer

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return (self._peer, 1) if name == "peername" else default

    def write(self, data: Any) -> None:
        self.sent += bytes(data)

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self.is_closed = True

    abort = close

    def write_eof(self) -> None:
        self.sent += b"<end>"

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...

    def get_write_buffer_size(self) -> int:
        return 0


class PlayedSending:
    """A request that is answered as soon as it is whole."""

    def __init__(self, world: World, backend: Backend, request: OutgoingRequest, exchange: Any) -> None:
        self.backend = backend
        self._world = world
        self._exchange = exchange
        self._is_over = False
        self._is_whole = request.is_whole
        self._place = len(world.sent)
        world.sent.append(
            f"{backend.origin} ".encode() + request.template.encode(request.request_id, request.length)
        )
        self._note(b"".join(request.pieces))

    def _note(self, data: bytes) -> None:
        self._world.sent[self._place] += data

    def start(self) -> None:
        if self._is_whole:
            asyncio.get_running_loop().call_soon(self._answer)

    def send_body(self, data: bytes) -> None:
        self._note(data)

    def end_body(self) -> None:
        asyncio.get_running_loop().call_soon(self._answer)

    def _answer(self) -> None:
        if not self._is_over:
            self._is_over = True
            self._exchange.take_head(200, [(b"content-length", b"2")])
            self._exchange.take_answer(b"ok", 1)
            self._exchange.take_answer_end()

    def cancel(self) -> None:
        self._is_over = True

    def pause(self) -> None: ...

    def resume(self) -> None: ...


@dataclass
class PlayedGroup:
    backends: tuple[Backend, ...]


@dataclass
class PlayedPlan:
    group: PlayedGroup


class World:
    """A gateway with everything around it; with `is_forgetful` it knows no head again."""

    def __init__(self, *, is_forgetful: bool, has_trusted: bool = False, has_cors: bool = False) -> None:
        self.time_us = START_US
        self.sent: list[bytes] = []  # to backends
        self.events: list[AuditEvent] = []
        self.asked = 0  # of the limits
        self._setup: Setup | None = None
        self.source = SnapshotSource(lambda: pytest.fail("no database"), environ={}, folder=Path("/"))
        self.change(Setup())
        loop = asyncio.get_running_loop()
        self.gateway = Gateway(
            pages=Pages(cast("Any", None), frozenset((b"/health",))),
            snapshots=self.source,
            upstream=cast("Upstream", self),
            trail=AuditTrail(
                cast("JournalWriter", self),
                AuditPolicy(body_bytes_max=100, stream_bytes_max=100),
                find_mask=lambda: self.source.mask,
                defer=loop.call_soon,
            ),
            counters=Counters(),
            bounds=Bounds(body_bytes_max=1000, inspected_bytes_max=500),
            limits=cast("LimitTable", self),
            trusted=build_trusted_proxies((IPv4Network("10.0.0.0/8"),)) if has_trusted else None,
            cors=CORS if has_cors else None,
        )
        self.gateway.loop = loop
        self.gateway._clock = cast("Any", self)
        if is_forgetful:
            self.gateway.recognise = lambda *_: None  # type: ignore[method-assign]
        self.server = HttpServer(self.gateway, ServerLimits())

    def change(self, setup: Setup) -> None:
        # In this order, as the thread that loads them does: no request may use a secret that is not masked
        # yet. What stays the same is not replaced here, so that each of the two is seen to count by itself.
        if self._setup is None or self._setup.masked != setup.masked:
            self.source.mask = SecretMask([one.encode() for one in setup.masked])
        if self._setup is None or replace(self._setup, masked=()) != replace(setup, masked=()):
            self.source.current = setup.build()
        self._setup = setup

    # Its clock, its limits, its journal and the way to its backends.

    def now_us(self) -> int:
        self.time_us += 1
        return self.time_us

    def admit(self, key: ApiKey) -> Verdict | None:
        self.asked += 1
        return judge(build_limit(600), 0, self.asked)

    def append(self, *events: AuditEvent, within_bound: bool = False) -> None:
        self.events += events

    def start(self) -> None: ...

    def find_plan(self, compiled: Any) -> Any:
        return PlayedPlan(PlayedGroup((Backend(compiled.origin),)))

    def choose(self, plan: Any) -> Backend:
        return cast("Backend", plan.group.backends[0])

    def open(
        self, plan: Any, backend: Backend, request: OutgoingRequest, exchange: Any, seconds: float
    ) -> Any:
        return PlayedSending(self, backend, request, exchange)

    async def ask(self, data: bytes, peer: str = "10.0.0.1", *, is_split: bool = False) -> tuple[Any, ...]:
        """Return everything that comes of bytes on a new connection, but for what no two requests share.

        With `is_split` the body comes once the gateway has done what it does without.
        """
        transport, connection = PlayedTransport(peer), ClientConnection(self.server)
        sent, events, asked = len(self.sent), len(self.events), self.asked
        connection.connection_made(transport)
        end = data.find(b"\r\n\r\n") + 4 if is_split else len(data)
        for piece in filter(None, (data[:end], data[end:])):
            if not transport.is_closed:
                connection.data_received(piece)
            for _ in range(8):
                await asyncio.sleep(0)
        is_closed = transport.is_closed
        connection.connection_lost(None)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return (
            _blank(transport.sent),
            is_closed,
            [_blank(each) for each in self.sent[sent:]],
            [_describe(event) for event in self.events[events:]],
            self.asked - asked,
        )


def _blank(data: bytes) -> bytes:
    """Return bytes without ids, dates and times."""
    data = re.sub(rb"req_[0-9a-hjkmnp-tv-z]{26}", b"<id>", data)
    data = re.sub(rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", b"<uuid>", data)
    data = re.sub(rb"[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9:]{8} GMT", b"<date>", data)
    return re.sub(rb"dur=[0-9.]+", b"dur=<ms>", data)


def _describe(event: AuditEvent) -> dict[str, Any]:
    """Return what an event says, but for ids and times."""
    found: dict[str, Any] = msgspec.structs.asdict(event)
    for name in ("ulid", "began_us", "after_us", "gateway_us", "first_byte_after_us", "sequence"):
        found.pop(name, None)
    if isinstance(event, BriefBegin):
        head = msgspec.structs.asdict(decode_head(found.pop("head")))
        # The digits stand between two texts, or not: the row is the same.
        headers, rest, length = head.pop("headers"), head.pop("headers_rest"), found.pop("length")
        found |= head | {"row_headers": None if headers is None else headers + (length or "") + rest}
    if isinstance(event, End) and event.response_body is not None:
        found["response_body"] = _blank(event.response_body)
    if isinstance(event, End) and event.headers is not None:
        found["headers"] = _blank(event.headers.encode())
    return found


# A request, as text that is changed here and there.
LINES = (
    "host: gateway.test",
    "x-api-key: fg_first",
    "content-length: 13",
    "user-agent: curl",
    f"x-mine: {TOKEN}",
)
BODY = b'{"model":"a"}'
MUTATIONS: dict[str, Callable[[list[str]], list[str]]] = {
    "none": lambda lines: lines,
    "added": lambda lines: [*lines, "x-more: 1"],
    "removed": lambda lines: lines[:-1],
    "case": lambda lines: [line.title() if line.startswith("user") else line for line in lines],
    "value": lambda lines: [line.replace("curl", "Curl") for line in lines],
    "order": lambda lines: [*lines[1:], lines[0]],
    "folded": lambda lines: [*lines, " folded"],
    "digits": lambda lines: _replace(lines, "content-length: 13", "content-length: 12"),
    "zero": lambda lines: _replace(lines, "content-length: 13", "content-length: 0"),
    "long": lambda lines: _replace(lines, "content-length: 13", "content-length: 600"),
    "too long": lambda lines: _replace(lines, "content-length: 13", "content-length: 1001"),
    "signed": lambda lines: _replace(lines, "content-length: 13", "content-length: +13"),
    "minus": lambda lines: _replace(lines, "content-length: 13", "content-length: -13"),
    "zeros": lambda lines: _replace(lines, "content-length: 13", "content-length: 0013"),
    "spaces": lambda lines: _replace(lines, "content-length: 13", "content-length:   13"),
    "space behind": lambda lines: _replace(lines, "content-length: 13", "content-length: 13 "),
    "tab": lambda lines: _replace(lines, "content-length: 13", "content-length:\t13"),
    "no space": lambda lines: _replace(lines, "content-length: 13", "content-length:13"),
    "title": lambda lines: _replace(lines, "content-length: 13", "Content-Length: 13"),
    "capitals": lambda lines: _replace(lines, "content-length: 13", "CONTENT-LENGTH: 13"),
    "list": lambda lines: _replace(lines, "content-length: 13", "content-length: 13, 13"),
    "digits many": lambda lines: _replace(
        lines, "content-length: 13", "content-length: 00000000000000000013"
    ),
    "doubled": lambda lines: [*lines, "content-length: 13"],
    "two lengths": lambda lines: [*lines, "content-length: 12"],
    "coding": lambda lines: [*lines, "transfer-encoding: chunked"],
    "coding alone": lambda lines: (
        [line for line in lines if "length" not in line] + ["transfer-encoding: chunked"]
    ),
    "no length": lambda lines: [line for line in lines if "length" not in line],
    "look-alike": lambda lines: [*lines, "x-length: content-length: 13"],
    "expect": lambda lines: [*lines, "expect: 100-continue"],
    "upgrade": lambda lines: [*lines, "upgrade: websocket", "connection: upgrade"],
    "close": lambda lines: [*lines, "connection: close"],
    "keep": lambda lines: [*lines, "connection: keep-alive"],
    "nominated": lambda lines: [*lines, "connection: x-mine"],
    "no key": lambda lines: [line for line in lines if "api-key" not in line],
    "other key": lambda lines: _replace(lines, "x-api-key: fg_first", "x-api-key: fg_second"),
    "two keys": lambda lines: [*lines, "authorization: Bearer fg_second"],
    "no host": lambda lines: lines[1:],
    "two hosts": lambda lines: [*lines, "host: gateway.test"],
    "forwarded": lambda lines: [*lines, "x-forwarded-for: 192.0.2.9"],
    "given id": lambda lines: [*lines, "x-request-id: theirs-1234"],
    "origin": lambda lines: [*lines, "origin: https://a.example"],
    "preflight": lambda lines: [*lines, "origin: https://a.example", "access-control-request-method: POST"],
    "forwards": lambda lines: [*lines, "max-forwards: 0"],
    "masked": lambda lines: [*lines, "authorization: Basic dXNlcjpwYXNz"],
}
START_LINES = (
    *["POST /v1/x HTTP/1.1"] * 6,
    "POST /v1/x?key=fg_first HTTP/1.1",
    "POST /v1/x? HTTP/1.1",
    "post /v1/x HTTP/1.1",
    "GET /v1/x HTTP/1.1",
    "HEAD /v1/x HTTP/1.1",
    "OPTIONS /v1/x HTTP/1.1",
    "POST /o/x HTTP/1.1",
    "POST /v1/%2e%2e/x HTTP/1.1",
    "POST /nowhere HTTP/1.1",
    "POST /v1/x HTTP/1.0",
    "POST http://gateway.test/v1/x HTTP/1.1",
)
CHANGES: dict[str, Callable[[Setup], Setup]] = {
    "disabled": lambda setup: replace(setup, is_active=not setup.is_active),
    "expiring": lambda setup: replace(setup, expires_us=START_US + 30 * SECOND_US),
    "expired": lambda setup: replace(setup, expires_us=START_US - 1),
    "no permission": lambda setup: replace(setup, permissions=("/elsewhere",)),
    "models": lambda setup: replace(setup, permissions=("model:b",)),
    "rotated": lambda setup: replace(setup, secret=SECRETS[1] if setup.secret == SECRETS[0] else SECRETS[0]),
    "target": lambda setup: replace(setup, target="two.test"),
    "path": lambda setup: replace(setup, path="/v2/*"),
    "rule": lambda setup: replace(setup, rule=None if setup.rule else BY_MODEL),
    "backend secret": lambda setup: replace(setup, header=setup.header + "b"),
    "mask": lambda setup: replace(setup, masked=(TOKEN,)),
    "reloaded": lambda setup: replace(setup, revision=setup.revision + 1),
    "back": lambda _: Setup(),
}


def _replace(lines: list[str], old: str, new: str) -> list[str]:
    return [new if line == old else line for line in lines]


def build(start_line: str = START_LINES[0], *mutations: str) -> bytes:
    """Return a request that has been changed in some ways."""
    lines = [*LINES]
    for mutation in mutations:
        lines = MUTATIONS[mutation](lines)
    body = b"d\r\n" + BODY + b"\r\n0\r\n\r\n" if any("chunked" in line for line in lines) else BODY
    return "\r\n".join([start_line, *lines, "", ""]).encode() + body


requests = st.tuples(
    st.just("ask"),
    st.builds(build, st.sampled_from(START_LINES), st.sampled_from([*MUTATIONS])),
    st.sampled_from(["10.0.0.1"] * 4 + ["10.0.0.2", "192.0.2.1"]),
)
usual = st.just(("ask", build(), "10.0.0.1"))
changes = st.tuples(st.just("change"), st.sampled_from([*CHANGES]))
waits = st.tuples(st.just("wait"), st.sampled_from([1, 31]))


@st.composite
def courses(draw: st.DrawFn) -> list[tuple[Any, ...]]:
    """Return what happens: some request twice or more, another one, a change, and so on."""
    steps: list[tuple[Any, ...]] = []
    for _ in range(draw(st.integers(1, 4))):
        request = draw(st.one_of(usual, requests))
        steps += [request] * draw(st.integers(1, 3))
        steps += draw(st.lists(st.one_of(requests, changes, waits), max_size=2))
        steps.append(request)
    return steps


async def compare(
    steps: list[tuple[Any, ...]], *, has_trusted: bool = False, has_cors: bool = False, is_split: bool = False
) -> tuple[Heads, list[Any]]:
    """Let the same things happen in both worlds; return the heads of the first, and what came of requests."""
    worlds = [
        World(is_forgetful=is_forgetful, has_trusted=has_trusted, has_cors=has_cors)
        for is_forgetful in (False, True)
    ]
    setup, outcomes = Setup(), []
    for kind, *arguments in steps:
        if kind == "change":
            setup = CHANGES[arguments[0]](setup)
        for world in worlds:
            if kind == "wait":
                world.time_us += arguments[0] * SECOND_US
            elif kind == "change":
                world.change(setup)
        if kind == "ask":
            known, anew = [await world.ask(*arguments, is_split=is_split) for world in worlds]
            assert known == anew
            outcomes.append(known)
    for world in worlds:
        assert world.gateway.counters.in_flight == 0
    assert worlds[1].gateway.heads.recognised == 0
    return worlds[0].gateway.heads, outcomes


@settings(max_examples=300)
@given(steps=courses(), has_trusted=st.booleans(), has_cors=st.booleans(), is_split=st.booleans())
def test_a_recognised_head_fares_as_a_stranger_does(
    steps: list[tuple[Any, ...]], has_trusted: bool, has_cors: bool, is_split: bool
) -> None:
    heads, _ = asyncio.run(compare(steps, has_trusted=has_trusted, has_cors=has_cors, is_split=is_split))
    note(f"recognised: {min(heads.recognised, 5)}")


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_head_that_comes_three_times_fares_alike_each_time(mutation: str) -> None:
    async def run() -> None:
        for start_line in dict.fromkeys(START_LINES):
            steps = [("ask", build(), "10.0.0.1")] * 2 + [
                ("ask", build(start_line, mutation), "10.0.0.1")
            ] * 3
            for flag in (False, True):
                await compare(steps, has_trusted=flag, is_split=flag, has_cors=True)

    asyncio.run(run())


@pytest.mark.parametrize("change", CHANGES)
def test_nothing_that_has_changed_is_answered_from_memory(change: str) -> None:
    async def run() -> list[Any]:
        steps = [("ask", build(), "10.0.0.1")] * 3 + [("change", change)] + [("ask", build(), "10.0.0.1")] * 3
        heads, outcomes = await compare(steps)
        assert heads.recognised >= 1
        return outcomes

    outcomes = asyncio.run(run())
    assert outcomes[0] == outcomes[2]
    assert outcomes[3] == outcomes[5]
    is_same = change in ("expiring", "reloaded", "back", "rule")
    assert (outcomes[0] == outcomes[3]) is is_same


def test_a_key_that_expires_between_two_equal_heads_is_refused() -> None:
    async def run() -> list[Any]:
        ask = ("ask", build(), "10.0.0.1")
        heads, outcomes = await compare([("change", "expiring"), ask, ask, ask, ("wait", 31), ask, ask])
        assert heads.recognised == 1
        return outcomes

    statuses = [outcome[0].split(b" ")[1] for outcome in asyncio.run(run())]
    assert statuses == [b"200"] * 3 + [b"401"] * 2


@pytest.mark.parametrize("part", ["decide", "remember"])
def test_a_snapshot_that_is_replaced_while_a_head_is_decided_on_is_not_outlived(part: str) -> None:
    """Another thread replaces it, at any moment: what the old one decides is not kept for the new one."""

    async def run() -> bytes:
        world = World(is_forgetful=False)
        await world.ask(build())
        gateway = world.gateway
        place: Any = gateway if part == "decide" else gateway.heads
        name = "decide" if part == "decide" else "choose_key"
        plain = getattr(place, name)

        def disturbed(*arguments: Any) -> Any:
            setattr(place, name, plain)
            found = plain(*arguments)
            world.change(Setup(is_active=False))
            return found

        setattr(place, name, disturbed)
        await world.ask(build())
        outcome = await world.ask(build())
        assert gateway.heads.recognised == 0
        return cast("bytes", outcome[0])

    assert asyncio.run(run()).startswith(b"HTTP/1.1 401 ")


def test_a_head_is_known_from_its_second_time_on_and_by_its_address() -> None:
    async def run() -> list[int]:
        world, recognised = World(is_forgetful=False), []
        for peer in ("10.0.0.1", "10.0.0.1", "10.0.0.1", "10.0.0.2", "10.0.0.2", "10.0.0.2"):
            await world.ask(build(), peer)
            recognised.append(world.gateway.heads.recognised)
        return recognised

    assert asyncio.run(run()) == [0, 0, 1, 1, 1, 2]


def test_another_length_is_the_same_head_and_its_row_and_its_backend_have_its_own() -> None:
    async def run() -> tuple[int, Any]:
        steps = [("ask", build(), "10.0.0.1")] * 2 + [("ask", build(START_LINES[0], "digits"), "10.0.0.1")]
        heads, outcomes = await compare(steps)
        return heads.recognised, outcomes[-1]

    recognised, (_, _, sent, events, _) = asyncio.run(run())
    assert recognised == 1
    assert b"content-length: 12\r\n" in sent[0]
    assert '["content-length","12"]' in events[0]["row_headers"]


# How many are kept.


def remember(heads: Recognised[str], data: bytes, what: str = "known") -> bool:
    """Tell whether a head is remembered now: it has to have come before."""
    key = heads.wants("10.0.0.1", data + b"\r\n\r\n", len(data), has_length=False)
    if key is not None:
        heads.remember(key, what)
    return key is not None


def finds(heads: Recognised[str], data: bytes) -> str | None:
    found = heads.find("10.0.0.1", data + b"\r\n\r\n", len(data))
    return found[0] if found else None


@pytest.fixture
def heads() -> Recognised[str]:
    return Recognised(heads_max=3, bytes_max=4 * 100)


def test_when_there_are_too_many_all_are_forgotten(heads: Recognised[str]) -> None:
    for number in range(4):
        data = b"GET /%d" % number
        assert [remember(heads, data), remember(heads, data)] == [False, True]
        assert finds(heads, data)
    assert [number for number in range(4) if finds(heads, b"GET /%d" % number)] == [3]


def test_they_have_a_bound_in_bytes_too(heads: Recognised[str]) -> None:
    for number in range(2):
        data = b"GET /%d" % number + b"x" * 50
        remember(heads, data)
        remember(heads, data)
        assert finds(heads, data)
    assert not finds(heads, b"GET /0" + b"x" * 50)


def test_one_that_is_remembered_again_takes_no_more_room(heads: Recognised[str]) -> None:
    data = b"GET /" + b"x" * 50
    for what in ("", "first", "second", "third"):
        remember(heads, data, what)
    assert finds(heads, data) == "third"


def test_a_long_head_is_not_remembered(heads: Recognised[str]) -> None:
    long = b"x" * (HEAD_BYTES_MAX + 1)
    assert not any(remember(heads, long) for _ in range(3))


def test_heads_that_are_all_different_are_not_kept_and_push_no_other_out() -> None:
    heads: Recognised[str] = Recognised()
    remember(heads, b"GET /usual")
    remember(heads, b"GET /usual")
    for number in range(SEEN_MAX + 10):
        assert not remember(heads, b"GET /%d" % number)
        assert len(heads._seen) <= SEEN_MAX
    assert finds(heads, b"GET /usual")
