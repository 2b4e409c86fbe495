"""The reader of server-sent events, against the standard's rules and a second, plain implementation."""

from __future__ import annotations

import re
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.audit.streams.sse import EventReader, ServerSentEvent

# What streams are made of, ends of lines and broken characters above all.
PIECES = [
    *(b"\n", b"\r", b"\r\n", b"\n\n", b":", b" ", b"\xef\xbb\xbf", b"\xef\xbb", b"\xe2\x82", b"\xf0\x9f\x98"),
    *(b"data", b"data:", b"data: ", b"event: ", b"id: ", b"id", b"retry: ", b"12", b"\x00", b"x", b"\xff"),
    *(
        "é".encode(),
        "😀".encode(),
        b"\x0b",
        b"\xc2\x85",
        b"\xe2\x80\xa8",
        b"comment",
        b"unknown: ",
        b"[DONE]",
    ),
]
STREAMS = st.lists(st.sampled_from(PIECES), max_size=60).map(b"".join)
ASCII_STREAMS = st.lists(
    st.sampled_from([b"\n", b"\r\n", b"\r", b":", b"data: ", b"id: ", b"abc", b"abcdef", b"event: "]),
    max_size=80,
).map(b"".join)
CUTS = st.lists(st.integers(0, 300), max_size=12)


def read(
    stream: bytes, cuts: list[int] | None = None, **bounds: int
) -> tuple[list[ServerSentEvent], EventReader]:
    """Read a stream, cut at some places into pieces."""
    reader, events, start = EventReader(**bounds), list[ServerSentEvent](), 0
    for cut in [*sorted(cuts or []), len(stream)]:
        events += reader.feed(stream[start:cut])
        start = max(start, cut)
    return events, reader


def read_whole(
    stream: bytes, event_bytes_max: int = 1 << 30
) -> tuple[list[ServerSentEvent], int | None, int]:
    """Do the same the plain way, as the standard tells it: all of the text at once, line by line."""
    lines = re.split("\r\n|\r|\n", stream.decode("utf-8", "replace").removeprefix("\ufeff"))
    events, dropped, retry = list[ServerSentEvent](), 0, None
    data, kind, last_id, size = "", "", "", 0
    for line in lines[:-1]:
        if line == "":
            if data and size <= event_bytes_max:
                events.append(ServerSentEvent(kind or "message", data[:-1], last_id))
            data, kind, size = "", "", 0
            continue
        if line[0] == ":":
            continue
        was_too_large = size > event_bytes_max
        size += len(line)
        if size > event_bytes_max:
            dropped += not was_too_large
            continue
        name, value = line.split(":", 1) if ":" in line else (line, "")
        value = value[1:] if value.startswith(" ") else value
        if name == "data":
            data += value + "\n"
        elif name == "event":
            kind = value
        elif name == "id" and "\0" not in value:
            last_id = value
        elif name == "retry" and re.fullmatch("[0-9]{1,15}", value):
            retry = int(value)
    rest = lines[-1]
    if not rest.startswith(":") and size <= event_bytes_max < size + len(rest):
        dropped += 1
    return events, retry, dropped


@settings(max_examples=500)
@given(STREAMS, CUTS)
def test_any_stream_cut_anywhere_reads_as_a_plain_reader_reads_it_whole(
    stream: bytes, cuts: list[int]
) -> None:
    events, reader = read(stream, cuts)

    assert (events, reader.retry_ms, reader.dropped) == read_whole(stream)
    assert read(stream, list(range(len(stream))))[0] == events


@settings(max_examples=300)
@given(ASCII_STREAMS, CUTS, st.integers(0, 30))
def test_the_bound_drops_the_same_events_wherever_the_stream_is_cut(
    stream: bytes, cuts: list[int], event_bytes_max: int
) -> None:
    events, reader = read(stream, cuts, event_bytes_max=event_bytes_max)

    assert (events, reader.retry_ms, reader.dropped) == read_whole(stream, event_bytes_max)


@settings(max_examples=200)
@given(STREAMS, CUTS)
def test_what_is_unfinished_does_not_depend_on_the_pieces(stream: bytes, cuts: list[int]) -> None:
    assert read(stream, cuts)[1].unfinished() == read(stream)[1].unfinished()


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"data: YHOO\ndata: +2\ndata: 10\n\n", [("message", "YHOO\n+2\n10")]),
        (b": test\n\ndata: first\nid: 1\n\ndata:second\nid\n\ndata:  third\n\n",
         [("message", "first"), ("message", "second"), ("message", " third")]),
        (b"data\n\ndata\ndata\n\ndata:", [("message", ""), ("message", "\n")]),
        (b"data:test\n\ndata: test\n\n", [("message", "test"), ("message", "test")]),
        (b"event: add\ndata: 1\n\ndata: 2\n\n", [("add", "1"), ("message", "2")]),
        (b"event: lost\n\ndata: 1\n\n", [("message", "1")]),
        (b"Data: 1\ndata : 2\n data: 3\ndata: 4\n\n", [("message", "4")]),
        (b"data: a\r\rdata: b\r\n\r\ndata: c\n\r\n", [("message", "a"), ("message", "b"), ("message", "c")]),
        (b"\xef\xbb\xbfdata: marked\n\n", [("message", "marked")]),
        (b"\xef\xbb\xbf\xef\xbb\xbfdata: twice\n\ndata: 2\n\n", [("message", "2")]),
        (b"data: \xff\xe2\x82\n\n", [("message", "\ufffd\ufffd")]),
        (b"data: a\x0bb\xc2\x85c\xe2\x80\xa8d\n\n", [("message", "a\x0bb\x85c\u2028d")]),
    ],
)  # fmt: skip
def test_the_examples_of_the_standard_and_their_like(stream: bytes, expected: list[tuple[str, str]]) -> None:
    events, _ = read(stream)

    assert [(event.type, event.data) for event in events] == expected


def test_an_event_is_there_with_the_byte_that_ends_it() -> None:
    reader = EventReader()

    assert reader.feed(b"data: 1\r\n") == []
    assert [event.data for event in reader.feed(b"\r")] == ["1"]
    assert reader.feed(b"\n") == []
    assert [event.data for event in reader.feed(b"data: 2\n\n")] == ["2"]


def test_a_line_end_of_two_bytes_that_was_cut_is_one() -> None:
    reader = EventReader()

    assert reader.feed(b"data: 1\r") == []
    assert reader.feed(b"\ndata: 2\r\n") == []
    assert [event.data for event in reader.feed(b"\n")] == ["1\n2"]


def test_an_id_stays_until_another_comes() -> None:
    events, reader = read(b"id: 1\ndata: a\n\ndata: b\n\nid: 2\n\nid: 3\x00\ndata: c\n\nid\ndata: d\n\n")

    assert [event.last_event_id for event in events] == ["1", "1", "2", ""]
    assert reader.last_event_id == ""


@pytest.mark.parametrize(
    ("value", "retry_ms"),
    [(b"3000", 3000), (b"007", 7), (b"", None), (b"-1", None), (b"1.5", None), (b"9" * 5000, None)],
)
def test_retry_is_digits_or_nothing(value: bytes, retry_ms: int | None) -> None:
    assert read(b"retry: " + value + b"\n")[1].retry_ms == retry_ms


@pytest.mark.parametrize(
    ("stream", "data"),
    [
        (b"", None),
        (b"data: 1\n\n", None),
        (b"data: 1", "1"),
        (b"data: 1\n", "1"),
        (b"data: 1\ndata: 2", "1\n2"),
        (b"data: 1\nda", "1"),
        (b": data", None),
        (b"event: x\n", None),
        (b"\xef\xbb", None),
        (b"\xef\xbb\xbfdata: 1", "1"),
        (b"data: \xf0\x9f\x98", ""),
        (b"data: \xff", "\ufffd"),
        (b"data: \xf0\x9f\x98\n", "\ufffd"),
    ],
)
def test_what_a_cut_stream_had_begun_can_be_asked_for(stream: bytes, data: str | None) -> None:
    events, reader = read(stream)
    unfinished = reader.unfinished()

    assert (unfinished and unfinished.data) == data
    assert reader.feed(b"") == []
    assert reader.unfinished() == unfinished
    assert all(event.data for event in events)


def test_an_event_that_is_too_large_costs_no_memory_and_the_next_is_read() -> None:
    reader = EventReader(event_bytes_max=1000)
    piece = b"x" * 100_000
    tracemalloc.start()
    for _ in range(100):
        assert reader.feed(b"data: " + piece) == []
    for _ in range(100):
        reader.feed(b"\n:" + piece)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert reader.dropped == 1
    assert reader.unfinished() is None
    assert peak < 10 * len(piece)
    assert [event.data for event in reader.feed(b"\n\ndata: next\n\n")] == ["next"]


def test_a_long_comment_drops_nothing() -> None:
    reader = EventReader(event_bytes_max=10)

    assert reader.feed(b"data: 1\n:" + b"c" * 50) == []
    assert [event.data for event in reader.feed(b"c" * 50 + b"\n\n")] == ["1"]
    assert reader.dropped == 0
