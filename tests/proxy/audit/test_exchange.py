"""A request in flight: what it writes to a real journal, that it ends once, and what it never writes."""

from __future__ import annotations

import asyncio
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from proxy.audit.events import AuditEvent, Begin, End, FirstByte
from proxy.audit.journal import JournalWriter
from proxy.audit.redact import MASK
from proxy.audit.scribe import TEXT_MAX
from proxy.audit.segments import list_segments
from proxy.audit.trail import AuditPolicy, AuditTrail, build_audit_policy
from proxy.policy.decide import Forward, Refuse
from proxy.policy.model import ApiKey, HeaderPairs, RequestHead, Route
from proxy.policy.routing import compile_route
from proxy.settings import AuditSettings

BEGAN_US = 1_769_817_600_000_000
CANARY = b"CANARY-7f3a"
LONG = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ" * 3 + b"!"
KEY = ApiKey("key_1", "sha256:0", source_path="team")
ROUTE = compile_route(Route("rt_1", "chat", "/v1/*", "backend:8000"))
POLICY = build_audit_policy(AuditSettings(include_body=True, body_max_size=8))
STREAM = [(b"content-type", b"text/event-stream; charset=utf-8")]


class Bench:
    """A journal, a trail into it, and a monotonic clock that a test turns by hand."""

    def __init__(self, directory: Path, policy: AuditPolicy = POLICY) -> None:
        self.directory = directory
        self.clock_ns = 0
        self.trail = AuditTrail(JournalWriter(directory, "w"), policy, monotonic_ns=lambda: self.clock_ns)

    def open(self, **fields: Any) -> Any:
        head: dict[str, Any] = {"method": "POST", "path": b"/v1/chat", "query": b"", "headers": ()}
        return self.trail.open(RequestHead(**(head | fields)), BEGAN_US)

    def pass_us(self, microseconds: int) -> None:
        self.clock_ns += microseconds * 1000

    def events(self) -> list[AuditEvent]:
        return [event for segment in list_segments(self.directory) for event in segment.read(0, 1 << 24)[0]]

    def bytes(self) -> bytes:
        return b"".join(segment.path.read_bytes() for segment in list_segments(self.directory))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def forward(target: bytes = b"/v1/chat", headers: HeaderPairs = ()) -> Forward:
    return Forward(KEY, ROUTE, target, list(headers))


def refuse(key: ApiKey | None = None) -> Refuse:
    return Refuse(401, "invalid_api_key", "the API key is not valid", "unknown_api_key", key)


@contextmanager
def full_disk() -> Iterator[None]:
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)


def test_a_stream_is_a_begin_a_first_byte_and_an_end(bench: Bench) -> None:
    exchange = bench.open(peer="::1", headers=[(b"user-agent", b"curl/8"), (b"accept", b"*/*")])
    asyncio.run(exchange.begin(forward()))
    exchange.take_request_bytes(b"0123456789")
    bench.pass_us(100)
    exchange.take_response_head(200, STREAM)
    for _ in range(3):
        bench.pass_us(50)
        exchange.take_response_bytes(b"data: x")
    exchange.gateway_us = 7
    exchange.end()

    assert bench.events() == [
        Begin(
            exchange.ulid,
            1,
            BEGAN_US,
            "POST",
            "/v1/chat",
            "::1",
            user_agent="curl/8",
            key_id="key_1",
            source_path="team",
            route_id="rt_1",
            target_url="http://backend:8000/v1/chat",
            headers='[["user-agent","curl/8"],["accept","*/*"]]',
        ),
        FirstByte(exchange.ulid, BEGAN_US, 150),
        End(
            exchange.ulid,
            BEGAN_US,
            250,
            200,
            first_byte_after_us=150,
            gateway_us=7,
            request_size=10,
            response_size=21,
            is_stream=True,
            chunks=3,
            headers='[["content-type","text/event-stream; charset=utf-8"]]',
            request_body=b"01234567",
            response_body=b"data: xdata: xdata: x",
            response_type="text/event-stream; charset=utf-8",
            is_request_cut=True,
        ),
    ]
    assert exchange.request_id == "req_" + exchange.ulid


def test_begin_is_in_the_journal_before_anything_else_happens(bench: Bench) -> None:
    asyncio.run(bench.open().begin(forward()))

    assert [type(event) for event in bench.events()] == [Begin]


def test_a_plain_response_needs_no_event_for_its_first_byte(bench: Bench) -> None:
    exchange = bench.open()
    asyncio.run(exchange.begin(forward()))
    exchange.take_response_head(200, [(b"content-type", b"application/json")])
    bench.pass_us(40)
    exchange.take_response_bytes(b"{}")
    exchange.end()

    end = bench.events()[-1]
    assert [type(event) for event in bench.events()] == [Begin, End]
    assert isinstance(end, End)
    assert (end.first_byte_after_us, end.is_stream, end.chunks) == (40, False, 0)


def test_a_refusal_is_a_whole_request(bench: Bench) -> None:
    exchange = bench.open()
    bench.pass_us(5)
    exchange.refuse(refuse(KEY), 401, "unknown_api_key", 120)
    exchange.end("internal_error")

    begin, end = bench.events()
    assert isinstance(begin, Begin)
    assert isinstance(end, End)
    assert (begin.key_id, begin.route_id, begin.target_url) == ("key_1", None, None)
    assert (end.status, end.error, end.response_size, end.gateway_us) == (401, "unknown_api_key", 120, 5)


def test_begin_tells_which_of_a_rotated_keys_secrets_was_presented(bench: Bench) -> None:
    previous = ApiKey("key_1", "sha256:1", source_path="team", is_previous=True)
    asyncio.run(bench.open().begin(Forward(previous, ROUTE, b"/v1/chat", [])))
    bench.open().refuse(refuse(previous), 401, "expired_api_key", 120)
    asyncio.run(bench.open().begin(forward()))
    bench.open().refuse(refuse(), 401, "unknown_api_key", 120)

    begins = [event for event in bench.events() if isinstance(event, Begin)]
    assert [begin.is_previous for begin in begins] == [True, True, False, False]


@settings(max_examples=30)
@given(st.lists(st.sampled_from(["end", "error", "byte", "refuse"]), min_size=1, max_size=6))
def test_whatever_is_called_there_is_one_end(
    tmp_path_factory: pytest.TempPathFactory, calls: list[str]
) -> None:
    bench = Bench(tmp_path_factory.mktemp("journal"))
    exchange = bench.open()
    asyncio.run(exchange.begin(forward()))
    actions: dict[str, Callable[[], object]] = {
        "end": exchange.end,
        "error": lambda: exchange.end("client_abort"),
        "byte": lambda: exchange.take_response_bytes(b"x"),
        "refuse": exchange.end,
    }
    for call in [*calls, "end"]:
        actions[call]()

    assert sum(isinstance(event, End) for event in bench.events()) == 1
    assert exchange.ended


def test_a_request_that_fails_before_it_is_decided_on_has_a_row_too(bench: Bench) -> None:
    exchange = bench.open()
    exchange.end("internal_error")
    exchange.end()

    begin, end = bench.events()
    assert isinstance(begin, Begin)
    assert isinstance(end, End)
    assert (begin.path, begin.key_id, begin.sequence, end.error) == ("/v1/chat", None, 1, "internal_error")


def test_durations_do_not_follow_a_clock_that_is_set_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trail = AuditTrail(JournalWriter(tmp_path, "w"), POLICY)
    exchange = trail.open(RequestHead("GET", b"/", b"", ()), BEGAN_US)
    asyncio.run(exchange.begin(forward()))
    exchange.take_response_head(200, STREAM)
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    exchange.take_response_bytes(b"x")
    exchange.end()

    _, first, end = list_segments(tmp_path)[0].read(0, 1 << 20)[0]
    assert isinstance(first, FirstByte)
    assert isinstance(end, End)
    assert (first.began_us, end.began_us) == (BEGAN_US, BEGAN_US)
    assert 0 <= first.after_us <= end.after_us < 60_000_000


def test_without_a_journal_nothing_is_written_and_nothing_fails() -> None:
    trail = AuditTrail(None, POLICY)
    exchange = trail.open(RequestHead("GET", b"/", b"", ()), BEGAN_US)
    asyncio.run(exchange.begin(forward()))
    exchange.end()

    assert (trail.events_lost, trail.is_failing) == (0, False)


@pytest.mark.parametrize("names", [("cookie",), (), ("x-company-token",)])
def test_no_secret_reaches_any_byte_of_the_journal(tmp_path: Path, names: tuple[str, ...]) -> None:
    bench = Bench(tmp_path, build_audit_policy(AuditSettings(redact_headers=names)))
    headers = [
        (b"authorization", b"Bearer " + CANARY),
        (b"x-api-key", CANARY),
        (b"api-key", CANARY),
        (b"proxy-authorization", b"Basic " + CANARY),
        (b"cookie", b"session=" + CANARY),
        (b"accept", b"*/*"),
    ]
    injected = [(b"authorization", b"Bearer " + CANARY)]
    exchange = bench.open(headers=headers, query=b"api_key=" + CANARY)
    asyncio.run(exchange.begin(forward(b"/v1/chat?api_key=" + CANARY + b"&n=1", injected)))
    exchange.take_response_head(200, [(b"set-cookie", CANARY), (b"set-cookie", CANARY), *STREAM])
    exchange.take_response_bytes(b"x")
    exchange.end("upstream_truncated")
    bench.open(headers=headers, query=b"key=" + CANARY).refuse(refuse(), 401, "unknown_api_key", 1)
    bench.open(headers=headers, query=b"key=" + CANARY).end("internal_error")

    assert CANARY not in bench.bytes()
    assert bench.bytes().count(MASK) >= 2 * len(headers)
    assert b"*/*" in bench.bytes()


def test_a_credential_is_masked_in_the_target_the_path_and_the_agent_too(bench: Bench) -> None:
    secret = b"CANARY-that-is-long-enough"
    headers = [(b"x-api-key", secret), (b"user-agent", b"app/" + secret)]
    exchange = bench.open(path=b"/v1/" + secret, headers=headers)
    asyncio.run(exchange.begin(forward(b"/v1/" + secret)))
    exchange.note_origin(forward(b"/v1/" + secret), "http://other:8000")
    exchange.end()
    begin, end = bench.events()
    assert b"CANARY" not in bench.bytes()
    assert isinstance(begin, Begin)
    assert isinstance(end, End)
    assert (begin.path, begin.user_agent) == ("/v1/[redacted]", "app/[redacted]")
    assert begin.target_url == "http://backend:8000/v1/[redacted]"
    assert end.target_url == "http://other:8000/v1/[redacted]"


@pytest.mark.parametrize("name", [b"cookie", b"x-api-key", b"proxy-authorization"])
@pytest.mark.parametrize("value", [b"/v1/admin/export", b"http://backend:8000", b"export", b"curl/8.0"])
def test_a_client_cannot_hide_what_it_calls(bench: Bench, name: bytes, value: bytes) -> None:
    headers = [(name, b"a=" + value if name == b"cookie" else value), (b"user-agent", b"curl/8.0")]
    exchange = bench.open(path=b"/v1/admin/export", headers=headers)
    asyncio.run(exchange.begin(forward(b"/v1/admin/export")))
    begin = bench.events()[0]
    assert isinstance(begin, Begin)
    assert (begin.path, begin.target_url) == ("/v1/admin/export", "http://backend:8000/v1/admin/export")
    assert begin.user_agent == "curl/8.0"


@settings(max_examples=100)
@example(pieces=[LONG] * 4, sizes=[], room=100)
@given(
    pieces=st.lists(st.sampled_from([b"x" * 7, b"x" * 90, LONG, CANARY]), max_size=20),
    sizes=st.lists(st.integers(1, 200), max_size=30),
    room=st.integers(8, 400),
)
def test_a_body_that_is_cut_ends_with_no_piece_of_a_secret(
    pieces: list[bytes], sizes: list[int], room: int
) -> None:
    trail = AuditTrail(None, build_audit_policy(AuditSettings(include_body=True, body_max_size=room)))
    headers = [(b"x-api-key", CANARY), (b"cookie", b"a=" + LONG)]
    exchange = trail.open(RequestHead("POST", b"/", b"", headers), BEGAN_US)
    body = b"".join(pieces)
    for size in [*sizes, len(body)]:
        exchange.take_request_bytes(body[:size])
        body = body[size:]
    kept = exchange._build_end(None).request_body or b""
    assert len(kept) <= room
    left = kept.replace(MASK, b"").lstrip(b"x")
    assert MASK.startswith(left), kept


def test_configured_names_are_masked_besides(tmp_path: Path) -> None:
    bench = Bench(tmp_path, build_audit_policy(AuditSettings(redact_headers=("X-Company-Token",))))
    asyncio.run(bench.open(headers=[(b"x-company-token", CANARY)]).begin(forward()))

    assert CANARY not in bench.bytes()


def test_headers_and_bodies_are_left_out_when_they_are_not_wanted(tmp_path: Path) -> None:
    bench = Bench(tmp_path, build_audit_policy(AuditSettings(include_headers=False, include_body=False)))
    exchange = bench.open(headers=[(b"x-note", CANARY)])
    asyncio.run(exchange.begin(forward()))
    exchange.take_request_bytes(CANARY)
    exchange.take_response_head(200, [(b"x-note", CANARY)])
    exchange.take_response_bytes(CANARY)
    exchange.end()

    end = bench.events()[-1]
    assert CANARY not in bench.bytes()
    assert isinstance(end, End)
    assert (end.request_size, end.response_size, end.request_body) == (len(CANARY), len(CANARY), None)


def test_what_a_row_has_no_room_for_is_cut(bench: Bench) -> None:
    exchange = bench.open(
        method="X" * 100, path=b"/" + b"p" * 9_000, headers=[(b"user-agent", b"\xe9" * 9_000)]
    )
    asyncio.run(exchange.begin(forward(b"/" + b"t" * 9_000 + b"?key=" + CANARY)))

    begin = bench.events()[0]
    assert isinstance(begin, Begin)
    assert begin.user_agent is not None
    assert begin.target_url is not None
    texts = (begin.path, begin.user_agent, begin.target_url)
    assert [len(text) for text in texts] == [TEXT_MAX] * 3
    assert len(begin.method) == 10


def test_however_large_a_body_may_be_a_record_has_a_bound(tmp_path: Path) -> None:
    policy = build_audit_policy(AuditSettings(include_body=True, body_max_size=1 << 40))

    assert policy.body_bytes_max <= 16 * 1024 * 1024


@settings(max_examples=50)
@given(st.lists(st.binary(max_size=6), max_size=8))
def test_sizes_count_every_byte_and_bodies_keep_the_first_ones(
    tmp_path_factory: pytest.TempPathFactory, chunks: list[bytes]
) -> None:
    bench = Bench(tmp_path_factory.mktemp("journal"))
    exchange = bench.open()
    asyncio.run(exchange.begin(forward()))
    for chunk in chunks:
        exchange.take_request_bytes(chunk)
        exchange.take_response_bytes(chunk)
    exchange.end()

    end, whole = bench.events()[-1], b"".join(chunks)
    assert isinstance(end, End)
    assert (end.request_size, end.response_size) == (len(whole), len(whole))
    assert (end.request_body or b"", end.response_body or b"") == (whole[:8], whole[:8])
