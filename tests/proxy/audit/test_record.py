"""A request in flight: what it writes to a real journal, that it ends once, and what it never writes."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from proxy.audit.events import Begin, BriefBegin, End, FirstByte, decode_head
from proxy.audit.journal import JournalWriter
from proxy.audit.masking.names import MASK
from proxy.audit.masking.text import REFUSED_HEADERS_BYTES_MAX, TEXT_MAX
from proxy.audit.record import Record
from proxy.audit.segments import list_segments
from proxy.audit.trail import AuditPolicy, AuditTrail, build_audit_policy
from proxy.policy.model import ApiKey, RequestHead
from proxy.settings import AuditSettings
from tests.proxy.audit.trails import BEGAN_US, KEY, POLICY, STREAM, Bench, begin_record, forward

CANARY = b"CANARY-7f3a"
LONG = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ" * 3 + b"!"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_stream_is_a_begin_a_first_byte_and_an_end(bench: Bench) -> None:
    record = bench.open(peer="::1", headers=[(b"user-agent", b"curl/8"), (b"accept", b"*/*")])
    begin_record(record)
    record.take_request_bytes(b"0123456789")
    bench.pass_us(100)
    record.take_response_head(200, STREAM)
    for _ in range(3):
        bench.pass_us(50)
        record.take_response_bytes(b"data: x")
    record.gateway_us = 7
    record.end()

    assert bench.events() == [
        Begin(
            record.ulid,
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
        FirstByte(record.ulid, BEGAN_US, 150),
        End(
            record.ulid,
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
    assert record.request_id == "req_" + record.ulid


def test_who_waits_is_told_when_the_journal_has_the_beginning(tmp_path: Path) -> None:
    bench = Bench(tmp_path, defers=True)
    waiter = begin_record(bench.open())
    assert (waiter.told, bench.events()) == ([], [])
    bench.run_turn()
    assert (waiter.told, bench.kinds()) == ([None], [Begin])


def test_a_plain_response_needs_no_event_for_its_first_byte(bench: Bench) -> None:
    record = bench.open()
    begin_record(record)
    record.take_response_head(200, [(b"content-type", b"application/json")])
    bench.pass_us(40)
    record.take_response_bytes(b"{}")
    record.end()

    end = bench.events()[-1]
    assert [type(event) for event in bench.events()] == [Begin, End]
    assert isinstance(end, End)
    assert (end.first_byte_after_us, end.is_stream, end.chunks) == (40, False, 0)


def test_a_refusal_is_a_whole_request(bench: Bench) -> None:
    record = bench.open()
    bench.pass_us(5)
    record.refuse(KEY, 401, "unknown_api_key", 120)
    record.end("internal_error")

    begin, end = bench.events()
    assert isinstance(begin, Begin)
    assert isinstance(end, End)
    assert (begin.key_id, begin.route_id, begin.target_url) == ("key_1", None, None)
    assert (end.status, end.error, end.response_size, end.gateway_us) == (401, "unknown_api_key", 120, 5)


def test_begin_tells_which_of_a_rotated_keys_secrets_was_presented(bench: Bench) -> None:
    previous = ApiKey("key_1", "sha256:1", source_path="team", is_previous=True)
    begin_record(bench.open(), key=previous)
    bench.open().refuse(previous, 401, "expired_api_key", 120)
    begin_record(bench.open())
    bench.open().refuse(None, 401, "unknown_api_key", 120)

    begins = [event for event in bench.events() if isinstance(event, Begin)]
    assert [begin.is_previous for begin in begins] == [True, True, False, False]


@settings(max_examples=30)
@given(st.lists(st.sampled_from(["end", "error", "byte", "refuse"]), min_size=1, max_size=6))
def test_whatever_is_called_there_is_one_end(
    tmp_path_factory: pytest.TempPathFactory, calls: list[str]
) -> None:
    bench = Bench(tmp_path_factory.mktemp("journal"))
    record = bench.open()
    begin_record(record)
    actions: dict[str, Callable[[], object]] = {
        "end": record.end,
        "error": lambda: record.end("client_abort"),
        "byte": lambda: record.take_response_bytes(b"x"),
        "refuse": record.end,
    }
    for call in [*calls, "end"]:
        actions[call]()

    assert sum(isinstance(event, End) for event in bench.events()) == 1
    assert record.ended


def test_a_request_that_fails_before_it_is_decided_on_has_a_row_too(bench: Bench) -> None:
    record = bench.open()
    record.end("internal_error")
    record.end()

    begin, end = bench.events()
    assert isinstance(begin, Begin)
    assert isinstance(end, End)
    assert (begin.path, begin.key_id, begin.sequence, end.error) == ("/v1/chat", None, 1, "internal_error")


def test_durations_do_not_follow_a_clock_that_is_set_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trail = AuditTrail(JournalWriter(tmp_path, "w"), POLICY)
    record = trail.open(RequestHead("GET", b"/", b"", ()), BEGAN_US)
    begin_record(record)
    record.take_response_head(200, STREAM)
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    record.take_response_bytes(b"x")
    record.end()

    _, first, end = list_segments(tmp_path)[0].read(0, 1 << 20)[0]
    assert isinstance(first, FirstByte)
    assert isinstance(end, End)
    assert (first.began_us, end.began_us) == (BEGAN_US, BEGAN_US)
    assert 0 <= first.after_us <= end.after_us < 60_000_000


def test_without_a_journal_nothing_is_written_and_nothing_fails() -> None:
    trail = AuditTrail(None, POLICY)
    record = trail.open(RequestHead("GET", b"/", b"", ()), BEGAN_US)
    begin_record(record)
    record.end()

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
    record = bench.open(headers=headers, query=b"api_key=" + CANARY)
    begin_record(record, forward(b"/v1/chat?api_key=" + CANARY + b"&n=1", injected))
    record.take_response_head(200, [(b"set-cookie", CANARY), (b"set-cookie", CANARY), *STREAM])
    record.take_response_bytes(b"x")
    record.end("upstream_truncated")
    bench.open(headers=headers, query=b"key=" + CANARY).refuse(None, 401, "unknown_api_key", 1)
    bench.open(headers=headers, query=b"key=" + CANARY).end("internal_error")

    assert CANARY not in bench.bytes()
    assert bench.bytes().count(MASK) >= 2 * len(headers)
    assert b"*/*" in bench.bytes()


def test_a_credential_is_masked_in_the_target_the_path_and_the_agent_too(bench: Bench) -> None:
    secret = b"CANARY-that-is-long-enough"
    headers = [(b"x-api-key", secret), (b"user-agent", b"app/" + secret)]
    record = bench.open(path=b"/v1/" + secret, headers=headers)
    begin_record(record, forward(b"/v1/" + secret))
    record.note_target(record.write_target(forward(b"/v1/" + secret), "http://other:8000"))
    record.end()
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
    record = bench.open(path=b"/v1/admin/export", headers=headers)
    begin_record(record, forward(b"/v1/admin/export"))
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
    record = trail.open(RequestHead("POST", b"/", b"", headers), BEGAN_US)
    body = b"".join(pieces)
    for size in [*sizes, len(body)]:
        record.take_request_bytes(body[:size])
        body = body[size:]
    kept = record._build_end(None).request_body or b""
    assert len(kept) <= room
    left = kept.replace(MASK, b"").lstrip(b"x")
    assert MASK.startswith(left), kept


def test_configured_names_are_masked_besides(tmp_path: Path) -> None:
    bench = Bench(tmp_path, build_audit_policy(AuditSettings(redact_headers=("X-Company-Token",))))
    begin_record(bench.open(headers=[(b"x-company-token", CANARY)]))

    assert CANARY not in bench.bytes()


def test_headers_and_bodies_are_left_out_when_they_are_not_wanted(tmp_path: Path) -> None:
    bench = Bench(tmp_path, build_audit_policy(AuditSettings(include_headers=False, include_body=False)))
    record = bench.open(headers=[(b"x-note", CANARY)])
    begin_record(record)
    record.take_request_bytes(CANARY)
    record.take_response_head(200, [(b"x-note", CANARY)])
    record.take_response_bytes(CANARY)
    record.end()

    end = bench.events()[-1]
    assert CANARY not in bench.bytes()
    assert isinstance(end, End)
    assert (end.request_size, end.response_size, end.request_body) == (len(CANARY), len(CANARY), None)


def test_what_a_row_has_no_room_for_is_cut(bench: Bench) -> None:
    record = bench.open(
        method="X" * 100, path=b"/" + b"p" * 9_000, headers=[(b"user-agent", b"\xe9" * 9_000)]
    )
    begin_record(record, forward(b"/" + b"t" * 9_000 + b"?key=" + CANARY))

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
    record = bench.open()
    begin_record(record)
    for chunk in chunks:
        record.take_request_bytes(chunk)
        record.take_response_bytes(chunk)
    record.end()

    end, whole = bench.events()[-1], b"".join(chunks)
    assert isinstance(end, End)
    assert (end.request_size, end.response_size) == (len(whole), len(whole))
    assert (end.request_body or b"", end.response_body or b"") == (whole[:8], whole[:8])


# What a head says is written down once.


class Prepared(NamedTuple):
    """What the gateway knows of an answer that has come before."""

    headers: str | None
    headers_rest: str | None
    content_type: bytes | None


LENGTHS = st.integers(0, 10**18 - 1)
NAMES = st.sampled_from([b"accept", b"x-api-key", b"cookie", b"user-agent", b"x-content-length", b"referer"])
VALUES = st.sampled_from(
    [b"*/*", CANARY, b'["content-length","5"]', b"content-length", b"\xff\x00", b"5", LONG]
)


@settings(max_examples=150)
@given(
    st.lists(st.tuples(NAMES, VALUES), max_size=6),
    st.integers(0, 6),
    LENGTHS,
    LENGTHS,
    st.sampled_from([POLICY, build_audit_policy(AuditSettings(include_headers=False))]),
    st.booleans(),
)
def test_a_recognised_head_says_what_the_same_head_says_when_it_is_read(
    tmp_path_factory: pytest.TempPathFactory,
    pairs: list[tuple[bytes, bytes]],
    place: int,
    first: int,
    second: int,
    policy: AuditPolicy,
    is_refused: bool,
) -> None:
    bench = Bench(tmp_path_factory.mktemp("journal"), policy)

    def write_head(length: int) -> RequestHead:
        headers = [*pairs[:place], (b"content-length", b"%d" % length), *pairs[place:]]
        return RequestHead("POST", b"/v1/chat", b"key=" + CANARY, headers, "10.0.0.1")

    def finish(record: Record) -> Begin:
        record.refuse(None, 401, "unknown_api_key", 1) if is_refused else begin_record(record)
        return bench.begins()[-1]

    known = bench.trail.open(write_head(first), BEGAN_US)
    finish(known)
    read = finish(bench.trail.open(write_head(second), BEGAN_US))
    recognised = finish(bench.trail.open(write_head(first), BEGAN_US, known.texts, str(second)))
    assert (recognised.headers, recognised.path, recognised.user_agent) == (
        read.headers,
        read.path,
        read.user_agent,
    )
    assert recognised.target_url == read.target_url


def test_the_beginnings_of_equal_heads_share_their_block_whatever_their_lengths(bench: Bench) -> None:
    for length in (b"1", b"22"):
        begin_record(bench.open(headers=[(b"content-length", length), (b"accept", b"*/*")]))
    (segment,) = list_segments(bench.directory)
    first, second = segment.read(0, 1 << 20).events
    assert isinstance(first, BriefBegin)
    assert isinstance(second, BriefBegin)
    assert (first.head, first.length, second.length) == (second.head, "1", "22")
    assert decode_head(first.head).headers_rest.startswith('"]')
    assert [begin.headers for begin in bench.begins()] == [
        '[["content-length","1"],["accept","*/*"]]',
        '[["content-length","22"],["accept","*/*"]]',
    ]


@pytest.mark.parametrize("has_length", [False, True])
def test_nobody_who_is_refused_fills_the_disk(bench: Bench, has_length: bool) -> None:
    """Issue 11 h."""
    headers = [
        (b"x-junk", b"\xff" * 4000),
        *([(b"content-length", b"5")] if has_length else []),
        (b"y", b"z" * 9000),
    ]
    for key in (None, KEY):
        bench.open(headers=headers).refuse(key, 401, "unknown_api_key", 1)
    begin_record(bench.open(headers=headers))
    *refused, forwarded = [begin.headers or "" for begin in bench.begins()]
    assert all(len(each) <= REFUSED_HEADERS_BYTES_MAX + 100 for each in refused)
    assert REFUSED_HEADERS_BYTES_MAX + 100 < len(forwarded) <= POLICY.headers_bytes_max + 100


# Answers, whole and taken back.


@pytest.mark.parametrize("length", [True, False])
@pytest.mark.parametrize("body", [b"", b"answer", b"an answer of some length"])
def test_a_whole_answer_is_noted_as_one_that_comes_in_pieces(
    tmp_path: Path, body: bytes, length: bool
) -> None:
    answers = [(b"content-type", b"text/plain"), (b"set-cookie", CANARY)]
    answers += [(b"content-length", b"%d" % len(body))] if length else []
    ends = []
    for name in ("pieces", "whole"):
        bench = Bench(tmp_path / name)
        record = bench.open(headers=[(b"x-api-key", CANARY)])
        begin_record(record)
        record.gateway_us = 2000
        bench.pass_us(5000)
        if name == "pieces":
            record.take_response_head(201, answers)
            if body:
                record.take_response_bytes(body)
        else:
            prepared = Prepared(*record.split_response_headers(answers), b"text/plain")
            told = record.take_whole(201, prepared, body)
            timing = b"server-timing: gateway;dur=2.000, upstream;dur=3.000\r\n"
            assert told == b"x-request-id: %b\r\n%b" % (record.request_id.encode(), timing)
        record.end()
        assert bench.trail.tapped_bytes == 0
        ends.append(bench.ends()[-1])
        assert CANARY not in bench.bytes()
    in_pieces, whole = (
        (end.status, end.first_byte_after_us, end.response_size, end.response_body, end.chunks, end.headers)
        for end in ends
    )
    assert whole == in_pieces


@pytest.mark.parametrize("is_whole", [False, True])
def test_an_answer_that_is_taken_back_leaves_nothing(bench: Bench, is_whole: bool) -> None:
    record = bench.open()
    begin_record(record)
    answers = [(b"content-type", b"text/plain"), (b"x-of-backend", b"1")]
    if is_whole:
        record.take_whole(200, Prepared(*record.split_response_headers(answers), b"text/plain"), b"answer")
    else:
        record.take_response_head(200, answers)
        record.take_response_bytes(b"answer")
    record.forget_response()
    record.status = 500
    record.end("internal_error")
    (end,) = bench.ends()
    assert (end.status, end.headers, end.response_body, end.response_size, end.chunks) == (
        500,
        None,
        None,
        0,
        0,
    )
    assert (end.first_byte_after_us, bench.trail.tapped_bytes) == (None, 0)


@pytest.mark.parametrize("has_begun", [False, True])
def test_where_writing_it_down_fails_there_is_a_row_all_the_same(bench: Bench, has_begun: bool) -> None:
    record = bench.open(path=CANARY, headers=[(b"x-api-key", CANARY)])
    if has_begun:
        begin_record(record)
    record.status = 500
    record.end_barely("internal_error")
    record.end("client_abort")
    assert bench.kinds() == [Begin, End]
    assert (bench.ends()[0].status, bench.ends()[0].error) == (500, "internal_error")
    assert bench.sequences() == [1]


def test_a_trusted_proxys_id_is_the_requests_own(bench: Bench) -> None:
    record = bench.open()
    record.given_id = "from-the-proxy"
    begin_record(record)
    (segment,) = list_segments(bench.directory)
    (event,) = segment.read(0, 1 << 20).events
    assert isinstance(event, BriefBegin)
    assert (record.request_id, event.request_id) == ("from-the-proxy", "from-the-proxy")
