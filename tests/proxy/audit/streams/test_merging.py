"""Recorded streams: cut anywhere, framed anyhow, broken or hostile, they read as what there is of them."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.audit.streams.fragments import PARTS_MAX
from proxy.audit.streams.merging import (
    NOTES_MAX,
    SNIFFED_EVENTS_MAX,
    UNMERGED_CHARACTERS_MAX,
    Transcript,
    merge_stream,
)
from proxy.audit.streams.sse import EVENT_BYTES_MAX
from tests.proxy.audit.streams import transcripts
from tests.proxy.audit.streams.transcripts import (
    ALL,
    DONE,
    NDJSON,
    SSE,
    call,
    choice,
    chunk,
    data,
    lines,
    merge,
    named,
)

# They have another value before the end, not less of the same.
CHANGING = ("status", "stop_reason", "input", "created_at")


def assert_begins(cut: Any, whole: Any) -> None:
    """Check that what a cut response has is in the whole one, of texts the beginnings."""
    if isinstance(cut, dict):
        for name in cut.keys() - {"stream_incomplete", *CHANGING}:
            assert_begins(cut[name], whole[name])
    elif isinstance(cut, list):
        assert len(cut) <= len(whole)
        for ours, theirs in zip(cut, whole, strict=False):
            assert_begins(ours, theirs)
    elif isinstance(cut, str):
        assert whole.startswith(cut)


@pytest.mark.parametrize("name", ALL)
def test_a_stream_cut_at_any_byte_is_the_beginning_of_the_whole_and_marked(name: str) -> None:
    content_type, body = ALL[name]
    whole = merge(body, content_type)
    assert not any(field.startswith("stream_") for field in whole)
    seen = 0
    for end in range(len(body)):
        cut = merge(body[:end], content_type, is_cut=True)
        if cut is not None:
            seen += 1
            assert cut["stream_incomplete"] is True
            assert not {"stream_unmerged", "stream_errors"} & cut.keys()
            assert_begins(cut, whole)
    assert seen > len(body) / 4


@pytest.mark.parametrize("name", [name for name, (content_type, _) in ALL.items() if content_type == SSE])
def test_how_the_events_are_framed_makes_no_difference(name: str) -> None:
    body = ALL[name][1]
    whole = merge(body)

    assert merge(body.replace(b"\n", b"\r\n"), b"Text/Event-Stream") == whole
    assert merge(body.replace(b"\n", b"\r")) == whole
    assert merge(b"\xef\xbb\xbf" + body.replace(b"data: ", b": note\nid: 1\ndata:")) == whole
    assert merge(body.replace(b',"', b',\ndata: "')) == whole
    assert merge(body.removesuffix(b"\n")) == whole
    assert merge(body.removesuffix(b"\n\n")) == whole
    assert merge(b": ping\n\ndata:\n\nevent: ping\ndata: {}\n\n" + body) == whole


@pytest.mark.parametrize("name", [name for name, (content_type, _) in ALL.items() if content_type == NDJSON])
@pytest.mark.parametrize("content_type", [b"application/jsonl", b"application/stream+json; charset=utf-8"])
def test_lines_are_read_under_any_of_their_names(name: str, content_type: bytes) -> None:
    body = ALL[name][1]

    assert merge(body.replace(b"\n", b"\r\n\r\n"), content_type) == merge(body, NDJSON)
    assert merge(body.removesuffix(b"\n"), content_type) == merge(body, NDJSON)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (b"application/json", transcripts.OPENAI),
        (b"", transcripts.OPENAI),
        (b"text/event-stream-not", transcripts.OPENAI),
        (SSE, b""),
        (SSE, DONE),
        (SSE, b"data: tick\n\ndata: tock\n\n"),
        (SSE, data({"price": 7})),
        (SSE, data({"choices": ["yes", "no"]})),
        (SSE, data({"type": "response.odd"}, {"type": "message_start"}, {"type": "error_free"})),
        (SSE, b"event: error\ndata: it broke\n\n"),
        (NDJSON, b"1\n[]\nnull\n"),
        (NDJSON, b"\n\n"),
    ],
)
def test_what_is_of_no_known_dialect_is_none(content_type: bytes, body: bytes) -> None:
    assert merge_stream(content_type, body, is_cut=False) is None


def test_text_is_written_as_people_read_it() -> None:
    text = merge_stream(SSE, data(chunk(choice(content="Zürich 你好 👋 "))), is_cut=True)

    assert text is not None
    assert "Zürich 你好 👋 " in text


def test_a_stream_without_its_end_is_incomplete_and_one_with_it_is_not() -> None:
    first, last = chunk(choice(content="a")), chunk(choice(finish_reason="stop"))

    assert merge(data(first))["stream_incomplete"] is True
    assert "stream_incomplete" not in merge(data(first) + DONE)
    assert "stream_incomplete" not in merge(data(first, last))
    assert merge(data(first, last) + DONE, is_cut=True)["stream_incomplete"] is True
    assert merge(data(first, chunk(choice(1, content="b")), last))["stream_incomplete"] is True


ERROR = {"error": {"message": "boom", "type": "server_error", "code": 500}}
OLD_ERROR = {"object": "error", "message": "boom", "code": 400}
BEGUN = data(chunk(choice(content="a")))


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        (BEGUN + data(ERROR), [ERROR]),
        (BEGUN + data(ERROR, ERROR | {"id": 2}) + DONE, [ERROR, ERROR | {"id": 2}]),
        (data(chunk(choice(content="a"), **ERROR)), [ERROR]),
        (BEGUN + b"event: error\ndata: boom\n\n", ["boom"]),
        (BEGUN + b"event: error\n" + data({"message": "boom"}), [{"message": "boom"}]),
        (data(OLD_ERROR) + BEGUN, [OLD_ERROR]),
    ],
)
def test_errors_are_kept_in_their_order_beside_what_came(body: bytes, errors: list[Any]) -> None:
    merged = merge(body)

    assert merged["stream_errors"] == errors
    assert merged["choices"][0]["message"]["content"] == "a"
    assert "error" not in merged


def test_an_error_of_anthropic_ends_a_message() -> None:
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    body = transcripts.ANTHROPIC_TEXT

    merged = merge(body[: body.index(b"event: content_block_stop")] + named(error))

    assert merged["content"] == [{"type": "text", "text": "Hello wörld 🌍"}]
    assert (merged["stream_errors"], merged["stream_incomplete"]) == ([error], True)


def test_a_stream_of_nothing_but_an_error_is_that_error() -> None:
    assert merge(data(ERROR) + DONE) == {"stream_errors": [ERROR]}
    assert merge(data(ERROR)) == {"stream_errors": [ERROR], "stream_incomplete": True}


def test_an_error_that_is_none_is_a_field() -> None:
    assert merge(data(chunk(choice(content="a"), error=None)) + DONE)["error"] is None


def test_invalid_json_does_not_spoil_the_rest() -> None:
    body = (
        data(chunk(choice(content="a"))) + b'data: {"choices":[\n\n' + data(chunk(choice(content="b"))) + DONE
    )

    merged = merge(body)

    assert merged["choices"][0]["message"]["content"] == "ab"
    assert merged["stream_unmerged"] == ['{"choices":[']
    assert "stream_incomplete" not in merged


def test_what_comes_before_the_first_known_event_is_kept() -> None:
    unknown = data({"hello": 1})

    merged = merge(unknown * (SNIFFED_EVENTS_MAX - 1) + transcripts.OPENAI)

    assert merged.pop("stream_unmerged") == ['{"hello":1}'] * (SNIFFED_EVENTS_MAX - 1)
    assert merged == merge(transcripts.OPENAI)
    assert merge(unknown * SNIFFED_EVENTS_MAX + transcripts.OPENAI) is None


def test_an_event_beyond_the_bound_is_marked_and_the_others_are_merged() -> None:
    large = data(chunk(choice(content="x" * EVENT_BYTES_MAX)))

    merged = merge(data(chunk(choice(content="a"))) + large + data(chunk(choice(content="b"))) + DONE)

    assert merged["choices"][0]["message"]["content"] == "ab"
    assert merged["stream_incomplete"] is True


@pytest.mark.parametrize(("characters", "is_marked"), [(UNMERGED_CHARACTERS_MAX, False), (5_000, True)])
def test_a_text_that_was_shortened_is_marked(characters: int, is_marked: bool) -> None:
    merged = merge(transcripts.OPENAI + b"data: " + b"x" * characters + b"\n\n")

    assert ("stream_incomplete" in merged) == is_marked


def test_notes_are_bounded_in_number_and_length() -> None:
    odd = b"data: " + b"x" * 2 * UNMERGED_CHARACTERS_MAX + b"\n\n"

    merged = merge(transcripts.OPENAI + (odd + data(ERROR)) * (NOTES_MAX + 1))

    assert [len(text) for text in merged["stream_unmerged"]] == [UNMERGED_CHARACTERS_MAX] * NOTES_MAX
    assert merged["stream_errors"] == [ERROR] * NOTES_MAX
    assert merged["stream_incomplete"] is True


def _index_choices() -> bytes:
    return data(*[chunk(*[choice(n + i, content="x") for i in range(500)]) for n in range(0, 100_000, 500)])


def _name_fields() -> bytes:
    deltas: list[Any] = [{f"f{n + i}": 1 for i in range(500)} for n in range(0, 100_000, 500)]
    return data(*[chunk(choice(**delta)) for delta in deltas])


def _keep_values() -> bytes:
    deltas: list[Any] = [{f"v{n}": {"x": [[]] * 20}} for n in range(PARTS_MAX - 1000)]
    return data(*[chunk(choice(**delta)) for delta in deltas])


def _begin_calls() -> bytes:
    calls = [call(0, "", id=f"c{n}", name="f") for n in range(PARTS_MAX + 2_000)]
    return data(*[chunk(choice(tool_calls=[each])) for each in calls])


def _repeat(unit: bytes) -> bytes:
    return data(chunk(choice(content="a"))) + unit * (500_000 // len(unit))


HOSTILE: dict[str, Callable[[], bytes]] = {
    "choices": _index_choices,
    "fields": _name_fields,
    "values": _keep_values,
    "calls": _begin_calls,
    "blocks": lambda: named(
        *[{"type": "content_block_start", "index": n, "content_block": {}} for n in range(PARTS_MAX + 5_000)]
    ),
    "snapshots": lambda: _repeat(named({"type": "response.completed", "response": {"id": "a", "b": []}})),
    "fragments": lambda: _repeat(data(chunk(choice(content="x")))),
    "name fragments": lambda: _repeat(data(chunk(choice(tool_calls=[call(0, "x", id="i", name="n")])))),
    "lists": lambda: _repeat(data(chunk(choice(x=[[]] * 1000)))),
    "texts and lists": lambda: _repeat(data(chunk(choice(content=["a"])), chunk(choice(content="a")))),
    "deep": lambda: _repeat(b'data: {"choices":[{"delta":{"x":' + b"[" * 100 + b"]" * 100 + b"}}]}\n\n"),
    "deep objects": lambda: _repeat(
        b'data: {"choices":[{"delta":' + b'{"function":' * 120 + b"1" + b"}" * 120 + b"}]}\n\n"
    ),
    "too deep": lambda: _repeat(b"data: " + b'{"function":' * 100_000 + b"\n\n"),
    "digits": lambda: _repeat(b'data: {"choices":[{"delta":{"x":' + b"9" * 100_000 + b"}}]}\n\n"),
    "halves": lambda: _repeat(rb'data: {"choices":[{"delta":{"content":"\ud83d"}}]}' + b"\n\n"),
    "garbage": lambda: _repeat(bytes(range(256))),
    "tiny events": lambda: _repeat(b"data:x\n\n"),
    "ends of lines": lambda: _repeat(b"\r"),
    "empty data": lambda: _repeat(b"data\n"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_streams_cost_no_more_than_their_size(name: str) -> None:
    # One that took the square of its length would run into the time limit of the suite.
    body = HOSTILE[name]()
    tracemalloc.start()
    merged = merge_stream(SSE, body, is_cut=True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 8 * len(body) + 1000 * PARTS_MAX
    assert merged is not None
    assert json.loads(merged, parse_int=str)["stream_incomplete"] is True


NAMES = [
    *(
        "choices",
        "delta",
        "message",
        "index",
        "text",
        "content",
        "tool_calls",
        "function",
        "name",
        "arguments",
    ),
    *("id", "type", "object", "usage", "logprobs", "finish_reason", "error", "content_block", "partial_json"),
    *("citation", "citations", "response", "output", "item", "part", "output_index", "content_index", "done"),
    *("stop", "reasoning_details", "audio", "created", "input", "stream_errors", "summary"),
]
WORDS = [
    *(
        "",
        "a",
        "error",
        "ping",
        "message_start",
        "content_block_start",
        "content_block_delta",
        "message_delta",
    ),
    *("message_stop", "response.created", "response.completed", "response.output_item.added", "text_delta"),
    *("response.content_part.done", "response.output_text.delta", "response.function_call_arguments.delta"),
    *("chat.completion.chunk", "assistant", '{"a":1}', "\ud83d"),
]
LEAVES = (
    st.none()
    | st.booleans()
    | st.sampled_from([-1, 0, 1, 0.5, 10**30, float("nan")])
    | st.sampled_from(WORDS)
)
EVENTS = st.dictionaries(
    st.sampled_from(NAMES),
    st.recursive(
        LEAVES,
        lambda some: st.lists(some, max_size=3) | st.dictionaries(st.sampled_from(NAMES), some, max_size=4),
        max_leaves=15,
    ),
    max_size=6,
)
SEEDS = [b"", *(body for _, body in ALL.values())]


@settings(max_examples=300)
@given(
    st.sampled_from(SEEDS),
    st.lists(st.tuples(st.sampled_from(WORDS[:-1]), EVENTS), max_size=8),
    st.booleans(),
)
def test_events_of_any_shape_never_raise(seed: bytes, events: list[tuple[str, Any]], is_cut: bool) -> None:
    framed = [f"event: {name}\ndata: {json.dumps(event)}\n\n".encode() for name, event in events]
    for content_type, body in [
        (SSE, seed + b"".join(framed)),
        (NDJSON, lines(*[{"done": False, "response": ""}]) + seed),
    ]:
        merged = merge_stream(content_type, body, is_cut=is_cut)
        assert merged is None or isinstance(json.loads(merged), dict)


@settings(max_examples=300)
@given(
    st.sampled_from(list(ALL.values())),
    st.lists(st.tuples(st.integers(0, 2000), st.binary(max_size=3)), max_size=6),
)
def test_bytes_damaged_anywhere_never_raise(
    stream: tuple[bytes, bytes], damages: list[tuple[int, bytes]]
) -> None:
    content_type, body = stream[0], bytearray(stream[1])
    for place, damage in damages:
        body[place : place + 2] = damage
    merged = merge_stream(content_type, bytes(body), is_cut=False)

    assert merged is None or isinstance(json.loads(merged), dict)


@pytest.mark.parametrize("name", ALL)
def test_a_transcript_takes_events_one_by_one(name: str) -> None:
    content_type, body = ALL[name]
    transcript = Transcript()
    for line in body.decode().splitlines():
        if line.startswith(("data: ", "{")):
            transcript.add("", line.removeprefix("data: "))

    merged = transcript.build(is_cut=False)

    assert merged is not None
    assert merged.keys() == merge(body, content_type).keys()
