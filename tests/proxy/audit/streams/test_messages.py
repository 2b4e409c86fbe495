"""Anthropic's messages: what their streams merge to, and that its own SDK puts the same together."""

from __future__ import annotations

import json
from typing import Any

import pytest
from anthropic.lib.streaming._messages import accumulate_event
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.mock import EventStream
from proxy.mock.anthropic import create_message
from tests.proxy.audit.streams import transcripts
from tests.proxy.audit.streams.transcripts import merge, named


def test_events_become_the_message() -> None:
    assert merge(transcripts.ANTHROPIC_TEXT) == {
        "id": "msg_01",
        "type": "message",
        "role": "assistant",
        "model": "claude-x",
        "content": [{"type": "text", "text": "Hello wörld 🌍"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 25, "cache_read_input_tokens": 7, "output_tokens": 15},
    }


def test_thinking_keeps_its_signature() -> None:
    assert merge(transcripts.ANTHROPIC_THINKING)["content"] == [
        {"type": "thinking", "thinking": "27 * 453 = 12231", "signature": "EqQBCgIYAg=="},
        {"type": "redacted_thinking", "data": "EmwKAhgB"},
        {"type": "text", "text": "12231"},
    ]


def test_the_input_of_a_tool_is_an_object_again() -> None:
    assert merge(transcripts.ANTHROPIC_TOOLS)["content"] == [
        {"type": "text", "text": "I'll look."},
        {
            "type": "tool_use",
            "id": "toolu_1",
            "name": "get_weather",
            "input": {"location": "San Francisco", "id": 12345678901234567890},
        },
        {"type": "tool_use", "id": "toolu_2", "name": "now", "input": {}},
    ]


@pytest.mark.parametrize("fragments", ['{"location": "San', "[1]", "no json", '{"a":' * 500])
def test_an_input_that_is_no_whole_object_is_kept_as_its_text(fragments: str) -> None:
    start = {"type": "content_block_start", "index": 0, "content_block": {"type": "tool_use", "input": {}}}
    delta = {"type": "input_json_delta", "partial_json": fragments}

    merged = merge(named(start, {"type": "content_block_delta", "index": 0, "delta": delta}))

    assert merged["content"] == [{"type": "tool_use", "input": fragments}]


def test_citations_are_one_list() -> None:
    (block,) = merge(transcripts.ANTHROPIC_CITATIONS)["content"]

    assert block["text"] == "Green."
    assert [citation["cited_text"] for citation in block["citations"]] == ["grass", "sky"]


def test_what_providers_add_to_the_last_events_is_kept() -> None:
    end = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "context_management": {"edits": []}}
    stop = {"type": "message_stop", "amazon-bedrock-invocationMetrics": {"latency": 5}}

    merged = merge(transcripts.ANTHROPIC_TEXT + named(end, stop))

    assert merged["context_management"] == {"edits": []}
    assert merged["amazon-bedrock-invocationMetrics"] == {"latency": 5}


def test_an_event_of_a_kind_nobody_knows_is_kept_as_its_text() -> None:
    odd: list[Any] = [
        {"type": "content_block_odd", "index": 0},
        {"type": "content_block_delta", "index": 0, "delta": None},
        {"type": "content_block_start", "index": 0, "content_block": "x"},
        {"type": "message_start", "message": []},
        {"type": "message_delta"},
    ]

    merged = merge(transcripts.ANTHROPIC_TEXT + named(*odd))

    assert [json.loads(text) for text in merged.pop("stream_unmerged")] == odd
    assert merged == merge(transcripts.ANTHROPIC_TEXT)


@pytest.mark.parametrize("name", [name for name in transcripts.ALL if name.startswith("ANTHROPIC")])
def test_the_anthropic_sdk_puts_the_same_together(name: str) -> None:
    body = transcripts.ALL[name][1]
    snapshot, buffers = None, dict[int, bytes]()
    for line in body.split(b"\n"):
        event: Any = json.loads(line[6:]) if line.startswith(b"data: ") else {"type": "ping"}
        if event["type"] != "ping":
            snapshot = accumulate_event(event=event, current_snapshot=snapshot, json_bufs=buffers)
    assert snapshot is not None

    # The SDK knows of a field more, which these streams do not have.
    assert merge(body) | {"stop_details": None} == snapshot.to_dict(mode="json")


@settings(max_examples=50)
@given(st.text(), st.integers(1, 40))
def test_a_stream_of_the_mock_merges_to_its_plain_answer(prompt: str, tokens_max: int) -> None:
    fields = {"model": "m", "messages": [{"role": "user", "content": prompt}], "max_tokens": tokens_max}
    stream = create_message(json.dumps(fields | {"stream": True}).encode())
    plain = create_message(json.dumps(fields).encode())
    assert isinstance(stream, EventStream)
    assert isinstance(plain, bytes)
    whole = json.loads(plain)

    merged = merge(b"".join([*stream.opening, *stream.tokens, *stream.closing]))

    assert merged | {"id": whole["id"]} == whole  # ids are made from the request's bytes, which differ
