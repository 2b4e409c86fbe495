"""The native streams of Ollama and llama.cpp, each with its text in one piece."""

from __future__ import annotations

from typing import Any

import pytest

from tests.proxy.audit.streams import transcripts
from tests.proxy.audit.streams.transcripts import NDJSON, lines, merge

OLLAMA = {"model": "llama3.2", "created_at": "2026-01-01T00:00:00.1Z"}
END = {"done": True, "done_reason": "stop", "total_duration": 4883583458, "eval_count": 282}


def test_an_ollama_chat_has_its_message_whole_and_the_counters_of_the_last_line() -> None:
    message = {"role": "assistant", "content": "Grüß dich 👋", "thinking": "Hmm."}

    assert merge(transcripts.OLLAMA_CHAT, NDJSON) == OLLAMA | {"message": message} | END


def test_ollama_tool_calls_come_whole_and_are_one_list() -> None:
    calls = merge(transcripts.OLLAMA_TOOLS, NDJSON)["message"]["tool_calls"]

    assert [call["function"] for call in calls] == [
        {"name": "a", "arguments": {"x": 1}},
        {"name": "b", "arguments": {"y": "é"}},
    ]


def test_an_ollama_generation_has_its_response_whole() -> None:
    assert merge(transcripts.OLLAMA_GENERATE, NDJSON) == OLLAMA | END | {
        "response": "The sky",
        "context": [1, 2, 3],
    }


def test_llama_cpp_has_its_content_whole() -> None:
    assert merge(transcripts.LLAMA_CPP) == {
        "index": 0,
        "content": "AB",
        "tokens": [65, 66],
        "stop": True,
        "id_slot": 0,
        "tokens_predicted": 2,
    }


def test_a_reply_without_its_last_line_is_incomplete() -> None:
    merged = merge(lines({"response": "The", "done": False}), NDJSON)

    assert merged == {"response": "The", "done": False, "stream_incomplete": True}


def test_an_error_in_the_middle_is_kept() -> None:
    merged = merge(lines({"response": "The", "done": False}, {"error": "out of memory"}), NDJSON)

    assert merged["response"] == "The"
    assert merged["stream_errors"] == [{"error": "out of memory"}]


@pytest.mark.parametrize(
    "line",
    [
        {"status": "pulling manifest"},
        {"done": "no", "response": "x"},
        {"done": True, "message": "x"},
        {"a": 1},
    ],
)
def test_other_lines_are_not_taken_for_a_reply(line: dict[str, Any]) -> None:
    assert merge(lines(line), NDJSON) is None
    merged = merge(transcripts.OLLAMA_CHAT + lines(line), NDJSON)
    assert len(merged.pop("stream_unmerged")) == 1
    assert merged == merge(transcripts.OLLAMA_CHAT, NDJSON)
