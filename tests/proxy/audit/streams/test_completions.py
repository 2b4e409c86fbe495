"""Chat completions and their ancestors: what each server's stream merges to, and what the SDK makes of it."""

from __future__ import annotations

import json
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletionChunk

from proxy.audit.streams.merging import merge_stream
from proxy.mock import EventStream
from proxy.mock.openai import complete_chat
from tests.proxy.audit.streams import transcripts
from tests.proxy.audit.streams.transcripts import DONE, call, choice, chunk, data, merge


def message_of(body: bytes, index: int = 0) -> Any:
    return merge(body)["choices"][index]["message"]


def test_chunks_become_the_completion() -> None:
    assert merge(transcripts.OPENAI) == {
        "id": "chatcmpl-9",
        "object": "chat.completion",
        "created": 1767225600,
        "model": "m-1",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": 'Der Himmel 🌌 ist\n"blau"', "refusal": None},
                "finish_reason": "stop",
            }
        ],
        "service_tier": "default",
        "usage": {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13},
    }


def test_choices_may_come_interleaved() -> None:
    choices = merge(transcripts.OPENAI_CHOICES)["choices"]

    assert [(one["index"], one["message"]["content"], one["finish_reason"]) for one in choices] == [
        (0, "null", "stop"),
        (1, "eins", "length"),
    ]


def test_log_probabilities_are_one_list_with_their_digits() -> None:
    merged = merge_stream(transcripts.SSE, transcripts.OPENAI_LOGPROBS, is_cut=False)

    assert merged is not None
    assert '"logprobs":{"content":[{"token":"Hi","logprob":-0.1},{"token":"!","logprob":-2e-05}]}' in merged


def test_a_refusal_a_function_call_and_audio_are_put_together() -> None:
    assert message_of(transcripts.OPENAI_REFUSAL)["refusal"] == "I can't do that."
    assert message_of(transcripts.OPENAI_FUNCTION)["function_call"] == {
        "name": "look",
        "arguments": '{"at":1}',
    }
    assert message_of(transcripts.OPENAI_AUDIO)["audio"] == {
        "id": "audio_1",
        "transcript": "Good day",
        "data": "UklGRg==",
        "expires_at": 1767229200,
    }


def test_parallel_tool_calls_get_their_own_fragments() -> None:
    merged = merge(transcripts.VLLM_TOOLS)

    assert merged["choices"][0] == {
        "index": 0,
        "message": {
            "role": "assistant",
            "content": "",
            "tool_calls": [
                {
                    "id": "call_a",
                    "type": "function",
                    "function": {"name": "get_weather", "arguments": '{"city": "Zürich"}'},
                },
                {
                    "id": "call_b",
                    "type": "function",
                    "function": {"name": "get_time", "arguments": '{"zone": "CET"}'},
                },
            ],
        },
        "finish_reason": "tool_calls",
        "stop_reason": 128008,
    }


@pytest.mark.parametrize("indexes", [(0, 0), (None, None)])
def test_calls_that_share_an_index_are_told_apart_by_their_ids(
    indexes: tuple[int | None, int | None],
) -> None:
    pieces = [
        call(index, f'{{"n":{number}}}', id=f"call_{number}", type="function", name=f"f{number}")
        for number, index in enumerate(indexes)
    ]

    calls = message_of(data(*[chunk(choice(tool_calls=[piece])) for piece in pieces]))["tool_calls"]

    assert [one["function"] for one in calls] == [
        {"name": "f0", "arguments": '{"n":0}'},
        {"name": "f1", "arguments": '{"n":1}'},
    ]


def test_a_call_whose_pieces_repeat_its_name_or_change_its_id_is_one() -> None:
    pieces = [
        call(0, '{"a"', id="call_1", type="function", name="f"),
        call(0, ":1", id="call_1", type="function", name="f"),
        call(0, "}", id="call_9"),
    ]

    assert message_of(data(*[chunk(choice(tool_calls=[piece])) for piece in pieces]))["tool_calls"] == [
        {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
    ]


def test_reasoning_stands_beside_the_content() -> None:
    vllm = merge(transcripts.VLLM_REASONING)["choices"][0]
    assert vllm["message"] == {
        "role": "assistant",
        "content": "\n\n42",
        "reasoning": "First, think.",
        "reasoning_content": "First, think.",
    }
    assert vllm["token_ids"] == [1, 2, 3, 4]
    deepseek = merge(transcripts.DEEPSEEK)
    assert deepseek["choices"][0]["message"] == {
        "role": "assistant",
        "content": "你好",
        "reasoning_content": "嗯。好",
    }
    assert (deepseek["system_fingerprint"], deepseek["usage"]) == (
        "fp_x",
        {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7, "prompt_cache_hit_tokens": 3},
    )


def test_of_usage_in_every_chunk_the_last_one_stands() -> None:
    assert merge(transcripts.VLLM_USAGE)["usage"] == {
        "prompt_tokens": 5,
        "completion_tokens": 2,
        "total_tokens": 7,
    }


def test_azure_says_first_what_its_filter_found_and_does_not_end_with_done() -> None:
    merged = merge(transcripts.AZURE)

    assert (merged["id"], merged["object"], merged["created"]) == (
        "chatcmpl-9",
        "chat.completion",
        1767225600,
    )
    assert merged["prompt_filter_results"][0]["prompt_index"] == 0
    assert merged["choices"][0]["message"] == {"role": "assistant", "content": "Fine"}
    assert merged["choices"][0]["content_filter_offsets"] == {"check_offset": 4}
    assert "stream_incomplete" not in merged


def test_legacy_completions_have_text_instead_of_a_message() -> None:
    merged = merge(transcripts.LEGACY)

    assert merged["object"] == "text_completion"
    assert merged["choices"] == [
        {
            "index": 0,
            "text": "Once upon",
            "logprobs": {"tokens": ["."], "token_logprobs": [-1.5], "text_offset": [9]},
            "finish_reason": "length",
        }
    ]


def test_a_completion_that_was_not_streamed_stays_what_it_is() -> None:
    message = {"role": "assistant", "content": "all", "tool_calls": [{"id": "1", "function": {"name": "f"}}]}
    whole = {"id": "1", "object": "chat.completion", "choices": [{"index": 0, "message": message}]}

    assert merge(data(whole) + DONE) == whole


def test_a_message_that_every_chunk_repeats_is_not_taken_for_a_delta() -> None:
    pieces = ["a", "b"]
    chunks = [
        chunk(choice(content=piece) | {"message": {"role": "assistant", "content": "".join(pieces[: n + 1])}})
        for n, piece in enumerate(pieces)
    ]

    assert message_of(data(*chunks)) == {"content": "ab"}


@pytest.mark.parametrize(
    "odd",
    [
        chunk() | {"choices": "none"},
        chunk() | {"choices": {"0": {}}},
        chunk("x", 1, None, []),  # type: ignore[arg-type]
        chunk({"index": 0, "delta": "text"}),
        chunk({"index": "0", "delta": {}}),
        chunk({"index": 0.5, "delta": {}}),
        chunk(choice(tool_calls=["x"])),
        chunk({"index": [], "delta": {}}),
    ],
)
def test_what_is_not_understood_of_a_chunk_is_kept_beside_the_rest(odd: dict[str, Any]) -> None:
    merged = merge(data(chunk(choice(content="a")), odd, chunk(choice(content="b"))) + DONE)

    assert merged["choices"][0]["message"]["content"] == "ab"
    assert [json.loads(text) for text in merged["stream_unmerged"]] == [odd]


@pytest.mark.parametrize("kind", [{}, [1], 0.5, None, "other"])
def test_an_object_of_any_kind_is_kept(kind: object) -> None:
    assert merge(data(chunk(choice(content="a"), object=kind)))["object"] == kind


@pytest.mark.parametrize("index", [-1, 10**30, 2**63])
def test_any_whole_number_is_an_index(index: int) -> None:
    merged = merge(
        data(
            chunk(choice(index, content="a")),
            chunk(choice(0, content="b")),
            chunk(choice(index, content="c")),
        )
    )

    assert {one["index"]: one["message"]["content"] for one in merged["choices"]} == {0: "b", index: "ac"}


# Not those whose second choice comes first, which it cannot read.
SDK_READS = [
    "OPENAI",
    "OPENAI_REFUSAL",
    "OPENAI_FUNCTION",
    "VLLM_TOOLS",
    "DEEPSEEK",
    "VLLM_USAGE",
]


@pytest.mark.parametrize("name", SDK_READS)
def test_the_openai_sdk_puts_the_same_together(name: str) -> None:
    body = transcripts.ALL[name][1]
    state = ChatCompletionStreamState()
    for line in body.split(b"\n"):
        if line.startswith(b"data: {"):
            state.handle_chunk(ChatCompletionChunk.model_validate_json(line[6:]))
    accumulated = state.current_completion_snapshot.to_dict(mode="json", exclude_unset=False)

    merged = merge(body)

    assert merged["id"] == accumulated["id"]
    assert merged.get("usage") == _without_nulls(accumulated.get("usage"))
    ours = {one["index"]: one for one in merged["choices"]}
    for theirs in accumulated["choices"]:  # type: ignore[attr-defined]
        message = _without_nulls(theirs["message"])
        for one in message.get("tool_calls", ()):
            one.pop("index")
            one["function"].pop("parsed_arguments", None)
        assert _without_nulls(ours[theirs["index"]]["message"]) == message
        assert ours[theirs["index"]]["finish_reason"] == theirs["finish_reason"]


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nulls(one) for name, one in value.items() if one is not None}
    return [_without_nulls(one) for one in value] if isinstance(value, list) else value


@settings(max_examples=50)
@given(st.text(), st.integers(1, 40))
def test_a_stream_of_the_mock_merges_to_its_plain_answer(prompt: str, tokens_max: int) -> None:
    fields = {"model": "m", "messages": [{"role": "user", "content": prompt}], "max_tokens": tokens_max}
    options = {"stream": True, "stream_options": {"include_usage": True}}
    stream = complete_chat(json.dumps(fields | options).encode())
    plain = complete_chat(json.dumps(fields).encode())
    assert isinstance(stream, EventStream)
    assert isinstance(plain, bytes)
    whole = json.loads(plain)
    del whole["choices"][0]["message"]["annotations"]

    merged = merge(b"".join([*stream.opening, *stream.tokens, *stream.closing]))

    assert merged | {"id": whole["id"]} == whole  # ids are made from the request's bytes, which differ


@settings(max_examples=100)
@given(st.lists(st.tuples(st.integers(0, 2), st.text(max_size=4), st.booleans()), min_size=1, max_size=12))
def test_text_in_any_pieces_of_any_choices_is_whole(pieces: list[tuple[int, str, bool]]) -> None:
    chunks = [
        chunk(choice(index, **{"tool_calls": [call(0, text)]} if is_call else {"content": text}))
        for index, text, is_call in pieces
    ]

    choices = {one["index"]: one["message"] for one in merge(data(*chunks))["choices"]}

    for index in {piece[0] for piece in pieces}:
        texts = [
            "".join(t for i, t, is_call in pieces if (i, is_call) == (index, kind)) for kind in (False, True)
        ]
        assert choices[index].get("content", "") == texts[0]
        calls = choices[index].get("tool_calls", [{"function": {"arguments": ""}}])
        assert calls[0]["function"]["arguments"] == texts[1]


def test_a_character_that_was_cut_into_its_halves_is_whole_again() -> None:
    body = rb"""data: {"object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"a\ud83d"}}]}

data: {"object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"\ude00b"}}]}

"""

    assert message_of(body)["content"] == "a😀b"


def test_choices_merge_the_same_in_any_order() -> None:
    streams = [[chunk(choice(n, content=f"{n}{piece}")) for piece in "ab"] for n in range(3)]
    contents = {
        tuple(
            one["message"]["content"]
            for one in merge(data(*[part for stream in order for part in stream]))["choices"]
        )
        for order in permutations(streams)
    }

    assert contents == {("0a0b", "1a1b", "2a2b")}
