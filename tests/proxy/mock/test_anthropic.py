"""The Anthropic dialect: what the real SDK makes of it, and the exact events."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import pytest
from anthropic.types import MessageParam
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import InvalidInputError
from proxy.mock import EventStream
from proxy.mock.anthropic import create_message, encode_error

ASK: list[MessageParam] = [{"role": "user", "content": "Why is the sky blue?"}]
CLOSING = "This calm answer comes from the FastGate mock, and the same question always gets it."
ANSWER = f'You said: "Why is the sky blue?". {CLOSING}'


@pytest.fixture(scope="module")
def client(mock_url: str) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=mock_url, api_key="unused", max_retries=0) as sdk:
        yield sdk


def _encode(**fields: object) -> bytes:
    return json.dumps({"model": "m", "max_tokens": 99, "messages": ASK, **fields}).encode()


def _events(body: bytes) -> list[tuple[str, Any]]:
    answer = create_message(body)
    assert isinstance(answer, EventStream)
    events = []
    for event in [*answer.opening, *answer.tokens, *answer.closing]:
        name, data, *rest = event.decode().split("\n")
        assert rest == ["", ""]
        events.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return events


def test_sdk_reads_a_plain_message(client: anthropic.Anthropic) -> None:
    message = client.messages.create(model="any-model", max_tokens=99, messages=ASK)
    assert message.model == "any-model"
    assert message.id.startswith("msg_")
    assert [block.text for block in message.content if block.type == "text"] == [ANSWER]
    assert message.stop_reason == "end_turn"
    assert message.usage.output_tokens == len(ANSWER.split())


def test_sdk_reads_a_streamed_message(client: anthropic.Anthropic) -> None:
    with client.messages.stream(model="m", max_tokens=99, messages=ASK) as stream:
        pieces = list(stream.text_stream)
        message = stream.get_final_message()
    assert "".join(pieces) == ANSWER
    assert len(pieces) == len(ANSWER.split())
    assert message.stop_reason == "end_turn"
    assert message.usage.output_tokens == len(ANSWER.split())


def test_sdk_sees_events_in_the_documented_order(client: anthropic.Anthropic) -> None:
    stream = client.messages.create(model="m", max_tokens=2, messages=ASK, stream=True)
    assert [event.type for event in stream] == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]


def test_the_wire_has_a_ping_after_the_block_starts() -> None:
    assert [name for name, _ in _events(_encode(stream=True))][:4] == [
        "message_start",
        "content_block_start",
        "ping",
        "content_block_delta",
    ]


def test_sdk_sees_truncation(client: anthropic.Anthropic) -> None:
    message = client.messages.create(model="m", max_tokens=3, messages=ASK)
    assert [block.text for block in message.content if block.type == "text"] == ['You said: "Why']
    assert message.stop_reason == "max_tokens"
    with client.messages.stream(model="m", max_tokens=3, messages=ASK) as stream:
        assert stream.get_final_message().stop_reason == "max_tokens"


def test_sdk_sends_content_as_blocks(client: anthropic.Anthropic) -> None:
    blocks: list[MessageParam] = [
        {"role": "user", "content": [{"type": "text", "text": "Why is the sky blue?"}]}
    ]
    message = client.messages.create(model="m", max_tokens=99, messages=blocks)
    assert [block.text for block in message.content if block.type == "text"] == [ANSWER]


def test_sdk_raises_its_own_errors(client: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.BadRequestError) as refused:
        client.messages.create(model="m", max_tokens=0, messages=ASK)
    assert refused.value.body == {
        "type": "error",
        "error": {
            "type": "invalid_request_error",
            "message": json.loads(refused.value.response.text)["error"]["message"],
        },
    }
    with pytest.raises(anthropic.BadRequestError):
        client.messages.create(model="m", max_tokens=9, messages=[])
    with pytest.raises(anthropic.NotFoundError):
        client.messages.count_tokens(model="m", messages=ASK)


@pytest.mark.parametrize(
    "fields",
    [
        {"max_tokens": None},
        {"max_tokens": 0},
        {"max_tokens": 1.5},
        {"messages": []},
        {"messages": {"role": "user"}},
        {"model": None},
        {"stream": 1},
    ],
)
def test_bad_fields_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(InvalidInputError):
        create_message(_encode(**fields))


def test_max_tokens_is_required() -> None:
    with pytest.raises(InvalidInputError, match="max_tokens"):
        create_message(json.dumps({"model": "m", "messages": ASK}).encode())


@given(prompt=st.text(), model=st.text(), tokens_max=st.integers(1, 40))
def test_a_stream_says_what_the_plain_answer_says(prompt: str, model: str, tokens_max: int) -> None:
    turns = [{"role": "user", "content": prompt}]
    fields = {"model": model, "messages": turns, "max_tokens": tokens_max}
    events = _events(_encode(**fields, stream=True))
    plain = create_message(_encode(**fields))
    assert isinstance(plain, bytes)
    whole = json.loads(plain)
    texts = [data["delta"]["text"] for name, data in events if name == "content_block_delta"]
    assert "".join(texts) == whole["content"][0]["text"]
    assert all(data["type"] == name for name, data in events)
    stop = dict(events)["message_delta"]
    assert stop["delta"]["stop_reason"] == whole["stop_reason"]
    assert stop["usage"]["output_tokens"] == whole["usage"]["output_tokens"]


@given(st.binary())
def test_any_bytes_are_answered_or_refused(body: bytes) -> None:
    with pytest.raises(InvalidInputError):
        create_message(body)


def test_error_types_follow_the_status() -> None:
    kinds = {
        status: json.loads(encode_error(status, "x"))["error"]["type"] for status in (400, 404, 413, 500)
    }
    assert kinds == {
        400: "invalid_request_error",
        404: "not_found_error",
        413: "request_too_large",
        500: "api_error",
    }
