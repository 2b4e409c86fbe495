"""OpenAI's Responses API: the last event's response, or what the events before a cut make of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openai import omit
from openai._models import construct_type
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import ResponseStreamEvent

from tests.proxy.audit.streams import transcripts
from tests.proxy.audit.streams.transcripts import RESPONSE_DONE, RESPONSES_OPEN, merge, named


def event(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": f"response.{kind}", "output_index": 0, **fields}


def test_the_last_event_brings_the_response() -> None:
    assert merge(transcripts.RESPONSES) == RESPONSE_DONE


@pytest.mark.parametrize("kind", ["incomplete", "failed"])
def test_a_response_that_failed_is_the_result_too(kind: str) -> None:
    failed = {"id": "resp_1", "status": kind, "output": [], "error": {"code": "server_error"}}

    merged = merge(
        named(event("created", response={"id": "resp_1", "gone": 1}), event(kind, response=failed))
    )

    assert merged == failed


def test_a_stream_that_was_cut_has_the_text_so_far() -> None:
    merged = merge(RESPONSES_OPEN, is_cut=True)

    assert (merged["id"], merged["status"], merged["stream_incomplete"]) == ("resp_1", "in_progress", True)
    assert merged["output"] == [
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "status": "in_progress",
            "content": [{"type": "output_text", "annotations": [], "text": "Hi you 🙂"}],
        }
    ]


def test_an_item_that_is_done_stands_as_it_was_told() -> None:
    body = transcripts.RESPONSES
    merged = merge(body[: body.index(b"event: response.completed")], is_cut=True)

    assert merged["output"] == RESPONSE_DONE["output"]


def test_reasoning_refusals_and_inputs_grow_in_their_places() -> None:
    merged = merge(
        named(
            event("created", response={"id": "resp_1", "output": []}),
            event("output_item.added", item={"id": "rs_1", "type": "reasoning", "summary": []}),
            event("reasoning_summary_part.added", summary_index=0, part={"type": "summary_text", "text": ""}),
            event("reasoning_summary_text.delta", summary_index=0, delta="First"),
            event("reasoning_summary_text.delta", summary_index=1, delta="Then"),
            event("reasoning_text.delta", content_index=0, delta="raw"),
            event(
                "output_item.added",
                output_index=2,
                item={"type": "function_call", "name": "f", "arguments": ""},
            ),
            event("function_call_arguments.delta", output_index=2, delta='{"a"'),
            event("function_call_arguments.delta", output_index=2, delta=":1}"),
            event("custom_tool_call_input.delta", output_index=3, delta="patch"),
            event("code_interpreter_call_code.delta", output_index=4, delta="1+1"),
            event("refusal.delta", output_index=1, content_index=0, delta="No."),
        ),
        is_cut=True,
    )

    assert merged["output"] == [
        {
            "id": "rs_1",
            "type": "reasoning",
            "summary": [{"type": "summary_text", "text": "First"}, {"type": "summary_text", "text": "Then"}],
            "content": [{"type": "reasoning_text", "text": "raw"}],
        },
        {"content": [{"type": "refusal", "refusal": "No."}]},
        {"type": "function_call", "name": "f", "arguments": '{"a":1}'},
        {"input": "patch"},
        {"code": "1+1"},
    ]


def test_output_that_the_last_event_leaves_out_is_taken_from_the_others() -> None:
    body = transcripts.RESPONSES.split(b"event: response.completed")[0]
    last = RESPONSE_DONE | {"output": []}

    assert merge(body + named(event("completed", response=last))) == RESPONSE_DONE


def test_events_of_tools_and_repetitions_say_nothing_new() -> None:
    body = RESPONSES_OPEN + named(
        event("web_search_call.searching"), event("output_text.done", content_index=0, text="Hi you 🙂")
    )

    assert merge(body) == merge(RESPONSES_OPEN)


def test_an_event_that_makes_no_sense_is_kept_as_its_text() -> None:
    odd: list[Any] = [
        event("output_text.delta", content_index=0, delta=None),
        event("output_item.added", item="x"),
        event("content_part.added", content_index=[], part=1),
    ]

    merged = merge(RESPONSES_OPEN + named(*odd))

    assert [json.loads(text) for text in merged["stream_unmerged"]] == odd
    assert merged["output"][0]["content"][0]["text"] == "Hi you 🙂"


def test_the_openai_sdk_puts_the_same_text_together() -> None:
    state: Any = ResponseStreamState(input_tools=[], text_format=omit)
    accumulated: Any = None
    for line in RESPONSES_OPEN.split(b"\n"):
        if line.startswith(b"data: "):
            event_type: Any = ResponseStreamEvent
            events = state.handle_event(construct_type(type_=event_type, value=json.loads(line[6:])))
            accumulated = getattr(events[-1], "snapshot", accumulated)

    assert merge(RESPONSES_OPEN)["output"][0]["content"][0]["text"] == accumulated == "Hi you 🙂"
