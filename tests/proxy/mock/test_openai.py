"""The OpenAI dialect: what the real SDK makes of it, and the exact events."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionMessageParam

from proxy.errors import InvalidInputError
from proxy.mock import EventStream
from proxy.mock.openai import complete_chat, encode_error

ASK: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Why is the sky blue?"}]
CLOSING = "This calm answer comes from the FastGate mock, and the same question always gets it."
ANSWER = f'You said: "Why is the sky blue?". {CLOSING}'


@pytest.fixture(scope="module")
def client(mock_url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{mock_url}/v1", api_key="unused", max_retries=0) as sdk:
        yield sdk


def _encode(**fields: object) -> bytes:
    return json.dumps({"model": "m", "messages": ASK, **fields}).encode()


def _events(body: bytes) -> list[Any]:
    answer = complete_chat(body)
    assert isinstance(answer, EventStream)
    events = [*answer.opening, *answer.tokens, *answer.closing]
    assert events.pop() == b"data: [DONE]\n\n"
    assert all(event.startswith(b"data: ") and event.endswith(b"\n\n") for event in events)
    return [json.loads(event.removeprefix(b"data: ")) for event in events]


def test_sdk_reads_a_plain_completion(client: openai.OpenAI) -> None:
    completion = client.chat.completions.create(model="any/model", messages=ASK)
    assert completion.model == "any/model"
    assert completion.id.startswith("chatcmpl-")
    assert completion.choices[0].message.content == ANSWER
    assert completion.choices[0].message.role == "assistant"
    assert completion.choices[0].finish_reason == "stop"
    assert completion.usage is not None
    assert completion.usage.completion_tokens == len(ANSWER.split())
    assert completion.usage.total_tokens == completion.usage.prompt_tokens + len(ANSWER.split())


def test_sdk_reads_a_streamed_completion(client: openai.OpenAI) -> None:
    chunks = list(client.chat.completions.create(model="m", messages=ASK, stream=True))
    deltas = [chunk.choices[0].delta for chunk in chunks]
    assert [delta.role for delta in deltas] == ["assistant", *[None] * (len(chunks) - 1)]
    assert "".join(delta.content or "" for delta in deltas) == ANSWER
    assert len(chunks) == len(ANSWER.split()) + 2
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [*[None] * (len(chunks) - 1), "stop"]
    assert len({chunk.id for chunk in chunks}) == 1


def test_sdk_reads_usage_of_a_stream(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model="m", messages=ASK, stream=True, stream_options={"include_usage": True}
    )
    *others, last = list(stream)
    assert last.choices == []
    assert last.usage is not None
    assert last.usage.completion_tokens == len(ANSWER.split())
    assert all(chunk.usage is None for chunk in others)


def test_sdk_sees_truncation(client: openai.OpenAI) -> None:
    completion = client.chat.completions.create(model="m", messages=ASK, max_tokens=3)
    assert completion.choices[0].message.content == 'You said: "Why'
    assert completion.choices[0].finish_reason == "length"
    stream = client.chat.completions.create(model="m", messages=ASK, max_completion_tokens=3, stream=True)
    chunks = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == 'You said: "Why'
    assert chunks[-1].choices[0].finish_reason == "length"


def test_sdk_sends_content_as_parts(client: openai.OpenAI) -> None:
    parts: list[ChatCompletionMessageParam] = [
        {"role": "user", "content": [{"type": "text", "text": "Why is the sky blue?"}]}
    ]
    completion = client.chat.completions.create(model="m", messages=parts)
    assert completion.choices[0].message.content == ANSWER


def test_sdk_lists_and_gets_models(client: openai.OpenAI) -> None:
    (model,) = client.models.list()
    assert client.models.retrieve(model.id) == model
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("no/such/model")


def test_sdk_raises_bad_request(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(model="m", messages=ASK, n=2)
    assert refused.value.type == "invalid_request_error"
    assert "$.n" in refused.value.message
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model="m", messages=[])


@pytest.mark.parametrize(
    "fields",
    [
        {"messages": None},
        {"messages": "hello"},
        {"messages": [{"content": "no role"}]},
        {"messages": [{"role": "user", "content": 7}]},
        {"model": 7},
        {"max_tokens": 0},
        {"max_tokens": "ten"},
        {"stream": "yes"},
        {"n": 0},
    ],
)
def test_bad_fields_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(InvalidInputError):
        complete_chat(_encode(**fields))


def test_null_fields_mean_their_defaults() -> None:
    assert complete_chat(_encode(stream=None, n=None, max_tokens=None, stream_options=None))


def test_each_event_reaches_the_wire_in_its_own_chunk(mock_url: str) -> None:
    body = _encode(stream=True)
    answer = complete_chat(body)
    assert isinstance(answer, EventStream)
    events = [*answer.opening, *answer.tokens, *answer.closing]
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
    with socket.create_connection(("127.0.0.1", int(mock_url.rsplit(":", 1)[1])), timeout=5) as connection:
        connection.sendall(head % len(body) + body)
        received = b"".join(iter(lambda: connection.recv(65536), b""))
    headers, _, chunks = received.partition(b"\r\n\r\n")
    assert b"content-type: text/event-stream" in headers
    assert chunks == b"".join(b"%x\r\n%b\r\n" % (len(event), event) for event in events) + b"0\r\n\r\n"


@given(prompt=st.text(), model=st.text(), usage=st.booleans(), tokens_max=st.integers(1, 40))
def test_a_stream_says_what_the_plain_answer_says(
    prompt: str, model: str, usage: bool, tokens_max: int
) -> None:
    turns = [{"role": "user", "content": prompt}]
    fields = {"model": model, "messages": turns, "max_tokens": tokens_max}
    body = _encode(**fields, stream=True, stream_options={"include_usage": usage})
    chunks = _events(body)
    plain = complete_chat(_encode(**fields))
    assert isinstance(plain, bytes)
    whole = json.loads(plain)
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    assert (
        "".join(choice["delta"].get("content", "") for choice in choices)
        == (whole["choices"][0]["message"]["content"])
    )
    assert choices[-1]["finish_reason"] == whole["choices"][0]["finish_reason"]
    assert {chunk["model"] for chunk in chunks} == {model}
    assert chunks[-1].get("usage") == (whole["usage"] if usage else None)


@given(st.binary())
def test_any_bytes_are_answered_or_refused(body: bytes) -> None:
    with pytest.raises(InvalidInputError):
        complete_chat(body)


@given(st.recursive(st.none() | st.integers() | st.text(), lambda some: st.lists(some, max_size=3)))
def test_any_messages_are_answered_or_refused(messages: object) -> None:
    with pytest.raises(InvalidInputError):
        complete_chat(_encode(messages=messages))


def test_server_errors_have_their_own_type() -> None:
    assert json.loads(encode_error(500, "broken"))["error"]["type"] == "server_error"
