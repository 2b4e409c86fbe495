"""Replies of language models: what they say is found in each API's form, and nothing odd breaks it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastgate_cli.commands.log_replies import Block, Reply, Turn, read_reply

NAMES = st.sampled_from(
    [
        "choices",
        "message",
        "content",
        "text",
        "role",
        "tool_calls",
        "function",
        "name",
        "arguments",
        "type",
        "output",
        "summary",
        "usage",
        "model",
        "done",
        "response",
        "stop",
        "object",
        "stream_errors",
        "stream_incomplete",
        "thinking",
        "input",
        "finish_reason",
    ]
)
WORDS = st.sampled_from(["message", "response", "tool_use", "function_call", "reasoning", "text", "x"])
ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=6),
    max_leaves=30,
)


def read(value: Any) -> Reply:
    reply = read_reply(json.dumps(value))
    assert reply is not None
    return reply


def test_a_chat_completion() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Rome"}'}}
    message = {"role": "assistant", "content": "Hi", "reasoning_content": "Hm", "tool_calls": [call]}
    reply = read(
        {
            "model": "qwen3",
            "choices": [
                {"index": 0, "message": message, "finish_reason": "tool_calls"},
                {"index": 1, "message": {"role": "assistant", "refusal": "No"}, "finish_reason": "stop"},
            ],
            "usage": {
                "prompt_tokens": 3,
                "prompt_tokens_details": {"cached_tokens": 2, "audio_tokens": 0},
                "total_tokens": 9,
            },
        }
    )
    assert reply.turns == (
        Turn(
            "assistant",
            "tool_calls",
            (Block("reasoning", "Hm"), Block("text", "Hi"), Block("call", '{"city":"Rome"}', "weather")),
        ),
        Turn("assistant", "stop", (Block("refusal", "No"),)),
    )
    assert reply.model == "qwen3"
    assert reply.usage == {"prompt_tokens": 3, "prompt_tokens_details.cached_tokens": 2, "total_tokens": 9}
    assert (reply.errors, reply.is_cut) == ((), False)


def test_a_merged_stream_that_was_cut_with_an_error_in_it() -> None:
    error = {"error": {"message": "out of memory"}}
    reply = read(
        {
            "choices": [{"message": {"content": "Hal"}}],
            "stream_errors": [error, "odd"],
            "stream_incomplete": True,
        }
    )
    assert reply.turns == (Turn("assistant", "", (Block("text", "Hal"),)),)
    assert reply.errors == (json.dumps(error), "odd")
    assert reply.is_cut


def test_a_message_of_anthropic() -> None:
    content = [
        {"type": "thinking", "thinking": "Hm"},
        {"type": "text", "text": "Hi"},
        {"type": "tool_use", "id": "t", "name": "weather", "input": {"city": "Rome"}},
    ]
    reply = read({"type": "message", "role": "assistant", "content": content, "stop_reason": "tool_use"})
    blocks = (Block("reasoning", "Hm"), Block("text", "Hi"), Block("call", '{"city": "Rome"}', "weather"))
    assert reply.turns == (Turn("assistant", "tool_use", blocks),)


def test_a_response_of_openai() -> None:
    output = [
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm"}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hi"}]},
        {"type": "function_call", "name": "weather", "arguments": "{}", "status": "completed"},
    ]
    reply = read({"object": "response", "model": "gpt", "output": output})
    assert [block for turn in reply.turns for block in turn.blocks] == [
        Block("reasoning", "Hm"),
        Block("text", "Hi"),
        Block("call", "{}", "weather"),
    ]


@pytest.mark.parametrize(
    "value",
    [
        {"model": "m", "message": {"role": "assistant", "content": "Hi"}, "done": True, "eval_count": 4},
        {"model": "m", "response": "Hi", "done": True, "eval_count": 4},
        {"model": "m", "choices": [{"text": "Hi"}], "usage": {"eval_count": 4}},
        {"model": "m", "content": "Hi", "stop": True, "eval_count": 4},
    ],
    ids=["ollama chat", "ollama generate", "completion", "llama.cpp"],
)
def test_native_apis_and_plain_completions(value: dict[str, Any]) -> None:
    reply = read(value)
    assert [block for turn in reply.turns for block in turn.blocks] == [Block("text", "Hi")]
    assert (reply.model, reply.usage) == ("m", {"eval_count": 4})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "plain",
        "[]",
        '"choices"',
        "{}",
        '{"choices": []}',
        '{"choices": [{"message": {"content": null}}]}',
        '{"data": [{"embedding": [0.1]}], "usage": {"total_tokens": 3}}',
        '{"error": {"message": "no"}}',
        '{"choices": [{"message": {"content": "cut[cut at 9 of 90 bytes]',
        "9" * 10_000,
        "[" * 100_000,
        '{"type": "message", "content": ' + '[{"content": ' * 480 + "[]" + "}]" * 480 + "}",
    ],
    ids=range(13),
)
def test_what_says_nothing_is_no_reply(text: str) -> None:
    assert read_reply(text) is None


@given(st.dictionaries(NAMES, ODD, max_size=6))
def test_nothing_that_a_backend_answers_breaks_it(value: dict[str, Any]) -> None:
    reply = read_reply(json.dumps(value))
    if reply is not None:
        assert any(turn.blocks for turn in reply.turns)
        assert all(isinstance(block.text, str) for turn in reply.turns for block in turn.blocks)
        assert all(type(count) is int for count in reply.usage.values())
