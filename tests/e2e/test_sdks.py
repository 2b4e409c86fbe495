"""The real OpenAI and Anthropic SDKs get from the gateway what they get from the backend directly."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import anthropic
import openai
import pytest

from tests.e2e.processes import Stack

QUESTION = "What is a gateway for?"


def openai_client(url: str, key: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=20)


def anthropic_client(url: str, key: str) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=url, api_key=key, max_retries=0, timeout=20)


def ask_openai(url: str, key: str, question: str) -> Any:
    answer = openai_client(url, key).chat.completions.create(
        model="mock", messages=[{"role": "user", "content": question}]
    )
    return answer.model_dump()


def stream_openai(url: str, key: str, question: str) -> Any:
    chunks = openai_client(url, key).chat.completions.create(
        model="mock",
        messages=[{"role": "user", "content": question}],
        stream=True,
        stream_options={"include_usage": True},
    )
    return [chunk.model_dump() for chunk in chunks]


def ask_anthropic(url: str, key: str, question: str) -> Any:
    answer = anthropic_client(url, key).messages.create(
        model="mock", max_tokens=64, messages=[{"role": "user", "content": question}]
    )
    return answer.model_dump()


def stream_anthropic(url: str, key: str, question: str) -> Any:
    with anthropic_client(url, key).messages.stream(
        model="mock", max_tokens=64, messages=[{"role": "user", "content": question}]
    ) as stream:
        text = "".join(stream.text_stream)
        return text, stream.get_final_message().model_dump()


ASKING: dict[str, Callable[[str, str, str], Any]] = {
    "openai-plain": ask_openai,
    "openai-streamed": stream_openai,
    "anthropic-plain": ask_anthropic,
    "anthropic-streamed": stream_anthropic,
}


@pytest.mark.parametrize("ask", ASKING.values(), ids=ASKING)
def test_an_sdk_gets_what_it_gets_from_the_backend(stack: Stack, ask: Callable[[str, str, str], Any]) -> None:
    assert ask(stack.gateway.url, stack.key, QUESTION) == ask(stack.mock.url, "any", QUESTION)


@pytest.mark.parametrize("ask", ASKING.values(), ids=ASKING)
def test_ten_at_once_each_get_their_own_answer(stack: Stack, ask: Callable[[str, str, str], Any]) -> None:
    questions = [f"question number {number}" for number in range(10)]
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda question: ask(stack.gateway.url, stack.key, question), questions))
    for question, answer in zip(questions, answers, strict=True):
        assert answer == ask(stack.mock.url, "any", question)


def test_models_are_listed(stack: Stack) -> None:
    through = openai_client(stack.gateway.url, stack.key).models.list().model_dump()
    assert through == openai_client(stack.mock.url, "any").models.list().model_dump()


@pytest.mark.parametrize("key", ["fg_wrong", "fg_ÄÖÜ".encode().hex(), "x" * 5000])
def test_a_wrong_key_is_an_authentication_error_in_both_sdks(stack: Stack, key: str) -> None:
    with pytest.raises(openai.AuthenticationError) as refused:
        ask_openai(stack.gateway.url, key, QUESTION)
    assert refused.value.code == "invalid_api_key"
    with pytest.raises(anthropic.AuthenticationError):
        ask_anthropic(stack.gateway.url, key, QUESTION)


def test_the_rows_agree_with_what_was_sent(stack: Stack) -> None:
    client = openai_client(stack.gateway.url, stack.key)
    messages: Any = [{"role": "user", "content": "What does the row say?"}]
    plain = client.chat.completions.with_raw_response.create(model="mock", messages=messages)
    streamed = client.chat.completions.with_raw_response.create(model="mock", messages=messages, stream=True)
    events = streamed.http_response.read().count(b"data: ")
    for response, chunks in ((plain, 0), (streamed, events)):
        request_id = response.headers["x-request-id"]
        row = stack.fastgate.wait_for_row(request_id)
        assert row["status_code"] == 200
        assert row["error_message"] is None
        assert row["method"] == "POST"
        assert row["path"] == "/v1/chat/completions"
        assert row["target_url"] == f"{stack.mock.url}/v1/chat/completions"
        assert row["api_key"] == stack.key_id
        assert row["source_path"] == "tests"
        assert row["ip_address"] == "127.0.0.1"
        assert row["user_agent"].startswith("OpenAI/Python")
        assert row["request_size"] == int(response.http_response.request.headers["content-length"])
        assert row["response_size"] == response.http_response.num_bytes_downloaded
        assert row["is_stream"] is (chunks > 0)
        assert row["stream_chunks"] == chunks
        times = [
            datetime.fromisoformat(row[name])
            for name in ("request_time", "first_response_time", "response_time")
        ]
        assert times == sorted(times)
        assert stack.key not in str(row)
        assert ["authorization", "Bearer [redacted]"] in row["request_headers"]
