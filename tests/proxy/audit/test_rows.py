"""Events to rows: the same row however the events are spread over batches, and bodies as readable text."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.audit import rows as rows_module
from proxy.audit.bodies import BodyWriter
from proxy.audit.events import AuditEvent, Begin, BriefBegin, End, FirstByte, Head, encode_head
from proxy.audit.rows import KnownHeads, add_events
from proxy.store.database import Database, open_database
from proxy.store.facts import WordBook, fact_of
from proxy.store.logs import get_log
from proxy.store.models import ApiKeyRow
from proxy.store.recording import BEGIN_COLUMNS, END_COLUMNS, Batch, write_batch

BEGAN_US = 1_769_817_600_000_000
WRITER = "worker-1"
HEAD = encode_head(Head("GET", "/", "::1"))


def make_begin(ulid: str, sequence: int = 1, **fields: Any) -> Begin:
    return Begin(ulid, sequence, BEGAN_US + sequence, "POST", "/v1/chat", "::1", **fields)


def make_end(ulid: str, sequence: int = 1, **fields: Any) -> End:
    return End(ulid, BEGAN_US + sequence, 5_400, 200, **fields)


def build(*events: AuditEvent) -> Batch:
    batch = Batch()
    add_events(batch, events, writer_id=WRITER, created_us=BEGAN_US, bodies=BodyWriter())
    return batch


# With the words in place of their numbers, which depend on who came first.
FACTS = """
    SELECT place, k.word, s.word, r.word, m.word, p.word, i.word, t.word, e.word, status, is_stream, took_ms,
        ttfb_ms, gateway_us, request_size, response_size, id
    FROM log_facts
    LEFT JOIN log_words k ON k.n = key_n LEFT JOIN log_words s ON s.n = source_n
    LEFT JOIN log_words r ON r.n = route_n LEFT JOIN log_words m ON m.n = method_n
    LEFT JOIN log_words p ON p.n = path_n LEFT JOIN log_words i ON i.n = ip_n
    LEFT JOIN log_words t ON t.n = text_n LEFT JOIN log_words e ON e.n = error_n
    ORDER BY place
"""


def read_rows(database: Database) -> list[tuple[object, ...]]:
    statements = ("SELECT * FROM audit_logs ORDER BY id", FACTS, "SELECT * FROM journal_writers")
    return [tuple(row) for each in statements for row in database.connection().execute(each)]


def test_the_backend_that_answered_is_in_the_row_however_late_it_is_known(tmp_path: Path) -> None:
    begin = make_begin("u", target_url="http://dead/v1/chat", user_agent="curl/8")
    end = make_end("u", target_url="http://alive/v1/chat")
    rows = []
    ways: list[list[list[AuditEvent]]] = [[[begin, end]], [[begin], [end]]]
    for number, batches in enumerate(ways):
        with open_database(tmp_path / f"{number}.db", create=True) as database:
            for events in batches:
                write_batch(database, build(*events), {}, WordBook())
            assert get_log(database, "log_u")["target_url"] == "http://alive/v1/chat"
            rows.append(read_rows(database))
    assert rows[0] == rows[1]


def test_the_facts_of_a_request_are_those_of_its_row(tmp_path: Path) -> None:
    begin = make_begin("u", 7, key_id="key_1", route_id="rt_1", target_url="http://b/", user_agent="curl/8")
    end = make_end("u", 7, first_byte_after_us=1_700, gateway_us=345, error="client_abort")
    with open_database(tmp_path / "f.db", create=True) as database:
        write_batch(database, build(begin, end), {}, WordBook())
        (recorded,) = database.connection().execute(FACTS).fetchall()
        row = get_log(database, "log_u")
        fact = fact_of(row, 7)

    place, texts, figures = fact
    *first, path, ip, target, agent, error = texts
    merged = (*first, path, ip, f"{path}\n{target}\n{agent}", error)
    assert tuple(recorded) == (place, *merged, *figures)
    assert place == (BEGAN_US + 7) * 1024 + 7


@pytest.mark.parametrize(("error", "is_incomplete"), [("client_closed", False), ("client_abort", True)])
def test_a_stream_that_is_closed_behind_its_last_event_is_whole(error: str, is_incomplete: bool) -> None:
    stream = b'data: {"object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'
    stream += b"data: [DONE]\n\n"
    end = make_end(
        "u",
        response_body=stream,
        response_size=len(stream),
        response_type="text/event-stream",
        is_stream=True,
        error=error,
    )
    batch = build(make_begin("u"), end)
    columns = dict(zip(BEGIN_COLUMNS + END_COLUMNS, batch.inserts[0], strict=True))
    assert ("stream_incomplete" in str(columns["response_body"])) is is_incomplete
    assert columns["error_message"] == error


def shorten(begin: Begin, length: str | None = None) -> BriefBegin:
    """Return the same beginning as a worker writes it, its headers cut where they say `length`."""
    headers, _, rest = (begin.headers or "").partition(length or "\0")
    head = Head(
        *(begin.method, begin.path, begin.ip_address, begin.user_agent, begin.key_id, begin.source_path),
        *(begin.route_id, begin.target_url, None if begin.headers is None else headers, rest),
        is_previous=begin.is_previous,
    )
    return BriefBegin(begin.ulid, begin.sequence, begin.began_us, encode_head(head), length)


@pytest.mark.parametrize(
    ("fields", "length"),
    [
        ({}, None),
        ({"headers": '[["accept","*/*"]]'}, None),
        ({"headers": '[["content-length","0012"],["accept","*/*"]]', "user_agent": "curl/8"}, "0012"),
        ({"key_id": "key_1", "route_id": "rt_1", "source_path": "s", "target_url": "http://b/"}, None),
        ({"key_id": "key_1", "is_previous": True}, None),
    ],
)
@pytest.mark.parametrize("ends", [[], [make_end("u")], [make_end("u", error="client_abort")]])
def test_a_head_means_the_same_whichever_way_it_is_written(
    tmp_path: Path, fields: dict[str, Any], length: str | None, ends: list[AuditEvent]
) -> None:
    begin = make_begin("u", **fields)
    spelled_out = record(tmp_path / "spelled.db", [[begin, *ends]])
    brief = record(tmp_path / "brief.db", [[shorten(begin, length), *ends]])
    assert brief == spelled_out
    previous = [build(event).previous_uses for event in (begin, shorten(begin, length))]
    assert previous[0] == previous[1]


def test_requests_with_many_heads_are_rows_whatever_is_remembered_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows_module, "HEADS_MAX", 3)
    begins = [make_begin(f"u{n:03}", n, user_agent=f"agent {n % 7 if n > 40 else 0}") for n in range(1, 101)]
    ends: list[AuditEvent] = [make_end(begin.ulid, begin.sequence) for begin in begins]
    brief = record(tmp_path / "brief.db", [[*map(shorten, begins), *ends]])
    spelled_out = record(tmp_path / "spelled.db", [[event] for event in (*begins, *ends)])
    assert brief == spelled_out


def test_a_head_that_nobody_understands_costs_its_own_request_only() -> None:
    events: list[AuditEvent] = [
        BriefBegin("bad", 1, BEGAN_US, b"\xc1"),
        make_end("bad"),
        make_begin("u", 2),
        make_end("u", 2),
    ]
    batch, heads = Batch(), KnownHeads()
    assert (
        add_events(batch, events, writer_id=WRITER, created_us=BEGAN_US, bodies=BodyWriter(), heads=heads)
        == 1
    )
    assert batch.whole[0].rows[0] == "log_u"
    assert (batch.writers[WRITER].count, batch.writers[WRITER].last, dict(heads)) == (1, 2, {})


def test_requests_of_two_writers_in_one_microsecond_are_all_there(tmp_path: Path) -> None:
    with open_database(tmp_path / "f.db", create=True) as database:
        for writer in "ab":
            begins = [BriefBegin(f"{writer}{n}", 1, BEGAN_US, HEAD) for n in range(3)]
            ends = [End(begin.ulid, BEGAN_US, 1, 200) for begin in begins]
            write_batch(database, build(*begins, *ends), {}, WordBook())
        found = database.connection().execute("SELECT id FROM log_facts").fetchall()
    assert sorted(name for (name,) in found) == [f"log_{writer}{n}" for writer in "ab" for n in range(3)]


def body_of(body: bytes, size: int | None = None, error: str | None = None) -> object:
    size = len(body) if size is None else size
    end = make_end("u", response_body=body, response_size=size, error=error, is_response_cut=size > len(body))
    batch = build(make_begin("u"), end)
    assert len(batch.inserts) == 1
    columns = dict(zip(BEGIN_COLUMNS + END_COLUMNS, batch.inserts[0], strict=True))
    return columns["response_body"]


def test_a_row_has_every_column_of_a_request(tmp_path: Path) -> None:
    begin = make_begin(
        "u",
        user_agent="curl/8",
        key_id="key_1",
        source_path="team",
        route_id="rt_1",
        target_url="http://backend/v1/chat",
        headers='[["accept","café"],["accept","b"]]',
    )
    end = make_end(
        "u",
        first_byte_after_us=1_200,
        gateway_us=345,
        request_size=10,
        response_size=5,
        is_stream=True,
        chunks=3,
        headers='[["content-type","text/event-stream"]]',
        request_body=b'{"a": "b"}',
        response_body="é: 1".encode(),
    )
    with open_database(tmp_path / "f.db", create=True) as database:
        write_batch(database, build(begin, FirstByte("u", BEGAN_US + 1, 1_200), end), {}, WordBook())
        row = get_log(database, "log_u")

    times = [row.pop(name).isoformat() for name in ("request_time", "first_response_time", "response_time")]
    assert times == [
        "2026-01-31T08:00:00.000001+08:00",
        "2026-01-31T08:00:00.001201+08:00",
        "2026-01-31T08:00:00.005401+08:00",
    ]
    assert row.pop("created_at").isoformat() == "2026-01-31T08:00:00+08:00"
    assert row == {
        "id": "log_u",
        "request_id": "req_u",
        "api_key": "key_1",
        "source_path": "team",
        "method": "POST",
        "path": "/v1/chat",
        "target_url": "http://backend/v1/chat",
        "status_code": 200,
        "response_time_ms": 5,
        "request_size": 10,
        "response_size": 5,
        "user_agent": "curl/8",
        "ip_address": "::1",
        "is_stream": True,
        "stream_chunks": 3,
        "error_message": None,
        "request_headers": [["accept", "café"], ["accept", "b"]],
        "request_body": '{"a": "b"}',
        "response_headers": [["content-type", "text/event-stream"]],
        "response_body": "é: 1",
        "route_id": "rt_1",
        "gateway_ms": 0.345,
        "writer_id": WRITER,
        "sequence": 1,
    }


LIVES = st.lists(st.sampled_from(["b", "be", "bf", "bfe", "refused", "failed"]), max_size=6)


def make_lives(kinds: list[str]) -> list[list[AuditEvent]]:
    lives: list[list[AuditEvent]] = []
    for number, kind in enumerate(kinds, start=1):
        ulid = f"u{number}"
        refused = kind == "refused"
        life: list[AuditEvent] = [
            make_begin(ulid, number, key_id="key_1", route_id=None if refused else "rt_1")
        ]
        if kind in ("bf", "bfe"):
            life.append(FirstByte(ulid, BEGAN_US + number, 1_000))
        if kind in ("be", "bfe", "refused", "failed"):
            error = None if kind in ("be", "bfe") else kind
            life.append(make_end(ulid, number, error=error, is_stream=kind == "bfe"))
        lives.append(life)
    return lives


def interleave(lives: list[list[AuditEvent]], picks: list[int]) -> list[AuditEvent]:
    queues = [list(life) for life in lives]
    events: list[AuditEvent] = []
    position = 0
    while any(queues):
        waiting = [queue for queue in queues if queue]
        pick = picks[position % len(picks)] if picks else 0
        events.append(waiting[pick % len(waiting)].pop(0))
        position += 1
    return events


def record(path: Path, batches: list[list[AuditEvent]]) -> tuple[object, object]:
    with open_database(path, create=True) as database:
        with database.transaction():
            ApiKeyRow.insert(key_id="key_1", key_value="digest", source_path="s").execute(database.peewee)
        for events in batches:
            write_batch(database, build(*events), {}, WordBook())
        usage = database.connection().execute("SELECT usage_count, last_used_at FROM api_keys").fetchone()
        return read_rows(database), usage


@settings(max_examples=25)
@given(LIVES, st.lists(st.integers(0, 9), max_size=20), st.sets(st.integers(0, 18)))
def test_any_split_over_batches_gives_the_same_rows(
    tmp_path_factory: pytest.TempPathFactory, kinds: list[str], picks: list[int], cuts: set[int]
) -> None:
    folder = tmp_path_factory.mktemp("rows")
    events = interleave(make_lives(kinds), picks)
    bounds = [0, *sorted(cut for cut in cuts if 0 < cut < len(events)), len(events)]
    batches = [events[start:end] for start, end in pairwise(bounds)]

    at_once = record(folder / "whole.db", [events])
    in_parts = record(folder / "parts.db", batches)

    assert in_parts == at_once


def test_a_request_in_flight_is_a_row_without_an_end(tmp_path: Path) -> None:
    with open_database(tmp_path / "f.db", create=True) as database:
        write_batch(database, build(make_begin("u"), FirstByte("u", BEGAN_US + 1, 700)), {}, WordBook())
        row = get_log(database, "log_u")

    assert (row["status_code"], row["response_time"], row["error_message"]) == (None, None, None)
    assert row["is_stream"] is True
    assert row["first_response_time"] > row["request_time"]


def test_only_requests_that_were_forwarded_count_as_uses_of_a_key() -> None:
    batch = build(
        make_begin("a", 1, key_id="key_1", route_id="rt_1"),
        make_begin("b", 2, key_id="key_1", route_id="rt_1"),
        make_begin("refused", 3, key_id="key_1"),
        make_begin("nobody", 4),
    )

    assert {key: (use.count, use.last_us) for key, use in batch.usage.items()} == {"key_1": (2, BEGAN_US + 2)}


def test_whoever_presents_a_previous_secret_is_noted_let_through_or_not() -> None:
    batch = build(
        make_begin("a", 1, key_id="key_1", route_id="rt_1", is_previous=True),
        make_begin("refused", 3, key_id="key_1", is_previous=True),
        make_begin("now", 4, key_id="key_1", route_id="rt_1"),
        make_begin("other", 2, key_id="key_2", is_previous=True),
    )

    assert batch.previous_uses == {"key_1": (BEGAN_US + 3, "::1"), "key_2": (BEGAN_US + 2, "::1")}
    assert batch.usage["key_1"].count == 2


@pytest.mark.parametrize(
    ("body", "size", "text"),
    [
        (b"", 0, None),
        (b"plain", 5, "plain"),
        ("日本".encode(), 6, "日本"),
        ("日本".encode()[:4], 6, "日[cut at 4 of 6 bytes]"),
        (b"plain", 9, "plain[cut at 5 of 9 bytes]"),
        (b"\xff\xfe", 2, "[binary, 2 bytes]"),
        (b"\xff\xfe", 900, "[binary, 900 bytes]"),
        (b"a\x00b", 3, "[binary, 3 bytes]"),
        (b"a\xc3", 2, "[binary, 2 bytes]"),
    ],
)
def test_a_body_is_text_or_marked(body: bytes, size: int, text: str | None) -> None:
    assert body_of(body, size) == text


def test_a_stream_broken_off_inside_a_character_is_still_text() -> None:
    assert body_of("日本".encode()[:4], error="client_abort") == "日"


@settings(max_examples=200)
@given(st.text(st.characters(codec="utf-8", exclude_characters="\0")), st.integers(1, 50))
def test_text_cut_anywhere_is_never_called_binary(text: str, room: int) -> None:
    body = text.encode()
    kept = body_of(body[:room], len(body))

    assert kept is None or not str(kept).startswith("[binary")


@settings(max_examples=200)
@given(st.binary(max_size=50), st.integers(0, 100))
def test_any_body_is_something_a_database_takes(data: bytes, more: int) -> None:
    kept = body_of(data, len(data) + more)
    assert kept is None or (isinstance(kept, str) and "\0" not in kept)
