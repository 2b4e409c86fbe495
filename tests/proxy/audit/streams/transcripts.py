"""Streams as servers send them, shortened, and what they merge to. Field order and oddities are theirs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from proxy.audit.streams.merging import merge_stream

SSE = b"text/event-stream; charset=utf-8"
NDJSON = b"application/x-ndjson"
DONE = b"data: [DONE]\n\n"
Object = dict[str, Any]
_USAGE: Object = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}


def merge(body: bytes, content_type: bytes = SSE, *, is_cut: bool = False) -> Any:
    """Return what a stream merges to, read; None if it is of no known dialect."""
    merged = merge_stream(content_type, body, is_cut=is_cut)
    return None if merged is None else json.loads(merged)


def data(*events: Object) -> bytes:
    """Return events as servers of OpenAI's dialect frame them."""
    return b"".join(b"data: " + _dump(event) + b"\n\n" for event in events)


def named(*events: Object) -> bytes:
    """Return events as Anthropic and OpenAI's Responses API frame them."""
    return b"".join(b"event: " + event["type"].encode() + b"\n" + data(event) for event in events)


def lines(*events: Object) -> bytes:
    """Return events as Ollama frames them."""
    return b"".join(_dump(event) + b"\n" for event in events)


def _dump(event: Object) -> bytes:
    return json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()


def chunk(*choices: Object, **fields: Any) -> Object:
    """Return a chat completion chunk."""
    head = {"id": "chatcmpl-9", "object": "chat.completion.chunk", "created": 1767225600, "model": "m-1"}
    return head | {"choices": list(choices)} | fields


def choice(index: int = 0, /, finish_reason: str | None = None, **delta: Any) -> Object:
    """Return a choice of a chunk."""
    return {"index": index, "delta": delta, "finish_reason": finish_reason}


def call(index: int | None, arguments: str, **fields: Any) -> Object:
    """Return a piece of a tool call; with an `id` and a `name` it begins one."""
    function = {"name": fields.pop("name"), "arguments": arguments} if "name" in fields else None
    return {"index": index, **fields, "function": function or {"arguments": arguments}}


OPENAI = (
    data(
        chunk(choice(role="assistant", content="", refusal=None), service_tier="default", usage=None),
        chunk(choice(content="Der "), usage=None, obfuscation="aB3"),
        chunk(choice(content="Himmel 🌌"), usage=None, obfuscation="x"),
        chunk(choice(content=' ist\n"blau"'), usage=None),
        chunk(choice(finish_reason="stop"), usage=None),
        chunk(usage={"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}),
    )
    + DONE
)
OPENAI_CHOICES = (
    data(
        chunk(choice(1, role="assistant", content="")),
        chunk(choice(0, role="assistant", content="")),
        chunk(choice(1, content="eins"), choice(0, content="nu")),
        chunk(choice(0, content="ll")),
        chunk(choice(1, finish_reason="length")),
        chunk(choice(0, finish_reason="stop")),
    )
    + DONE
)
OPENAI_LOGPROBS = (
    data(
        chunk(choice(role="assistant", content="") | {"logprobs": None}),
        chunk(choice(content="Hi") | {"logprobs": {"content": [{"token": "Hi", "logprob": -0.10}]}}),
        chunk(choice(content="!") | {"logprobs": {"content": [{"token": "!", "logprob": -2e-05}]}}),
        chunk(choice(finish_reason="stop") | {"logprobs": None}),
    )
    + DONE
)
OPENAI_REFUSAL = (
    data(
        chunk(choice(role="assistant", content=None, refusal="")),
        chunk(choice(refusal="I can't ")),
        chunk(choice(refusal="do that.")),
        chunk(choice(finish_reason="stop")),
    )
    + DONE
)
OPENAI_FUNCTION = (
    data(
        chunk(choice(role="assistant", content=None, function_call={"name": "look", "arguments": ""})),
        chunk(choice(function_call={"arguments": '{"at":'})),
        chunk(choice(function_call={"arguments": "1}"})),
        chunk(choice(finish_reason="function_call")),
    )
    + DONE
)
OPENAI_AUDIO = (
    data(
        chunk(choice(role="assistant", audio={"id": "audio_1", "transcript": "Good "})),
        chunk(choice(audio={"transcript": "day"})),
        chunk(choice(audio={"data": "UklG"})),
        chunk(choice(audio={"data": "Rg=="})),
        chunk(choice(audio={"expires_at": 1767229200})),
        chunk(choice(finish_reason="stop")),
    )
    + DONE
)
VLLM_REASONING = (
    data(
        chunk(choice(role="assistant", content=""), prompt_token_ids=None),
        chunk(choice(reasoning="First, ", reasoning_content="First, ") | {"token_ids": [1]}),
        chunk(choice(reasoning="think.", reasoning_content="think.") | {"token_ids": [2, 3]}),
        chunk(choice(content="\n\n42") | {"token_ids": [4]}),
        chunk(choice(content="", finish_reason="stop") | {"stop_reason": None, "token_ids": None}),
    )
    + DONE
)
VLLM_USAGE = (
    data(
        chunk(choice(role="assistant", content=""), usage=_USAGE | {"completion_tokens": 0}),
        chunk(choice(content="a"), usage=_USAGE | {"completion_tokens": 1}),
        chunk(choice(content="b", finish_reason="stop"), usage=_USAGE | {"completion_tokens": 2}),
        chunk(usage=_USAGE | {"completion_tokens": 2}),
    )
    + DONE
)
VLLM_TOOLS = (
    data(
        chunk(choice(role="assistant", content="")),
        chunk(choice(tool_calls=[call(0, "", id="call_a", type="function", name="get_weather")])),
        chunk(choice(tool_calls=[call(0, '{"city": "Zü')])),
        chunk(choice(tool_calls=[call(0, 'rich"}')])),
        chunk(choice(tool_calls=[call(1, "", id="call_b", type="function", name="get_time")])),
        chunk(choice(tool_calls=[call(1, '{"zone"'), call(0, "")])),
        chunk(choice(tool_calls=[call(1, ': "CET"}')])),
        chunk(choice(finish_reason="tool_calls") | {"stop_reason": 128008}),
    )
    + DONE
)
DEEPSEEK = (
    b": keep-alive\n\n"
    + data(
        chunk(choice(role="assistant", content=None, reasoning_content=""), system_fingerprint="fp_x"),
        chunk(choice(content=None, reasoning_content="嗯"), system_fingerprint="fp_x"),
        chunk(choice(content=None, reasoning_content="。好"), system_fingerprint="fp_x"),
    )
    + b": keep-alive\n\n"
    + data(
        chunk(choice(content="你", reasoning_content=None), system_fingerprint="fp_x"),
        chunk(choice(content="好", reasoning_content=None), system_fingerprint="fp_x"),
        chunk(choice(content="", finish_reason="stop"), usage=_USAGE | {"prompt_cache_hit_tokens": 3}),
    )
    + DONE
)
_AZURE_EMPTY: Object = {"choices": [], "created": 0, "id": "", "model": "", "object": ""}
_AZURE_FILTER = {"hate": {"filtered": False, "severity": "safe"}}
AZURE = data(
    _AZURE_EMPTY | {"prompt_filter_results": [{"prompt_index": 0, "content_filter_results": _AZURE_FILTER}]},
    chunk(choice(role="assistant", content="") | {"content_filter_results": {}}),
    chunk(choice(content="Fine") | {"content_filter_results": _AZURE_FILTER}),
    chunk(choice(finish_reason="stop") | {"content_filter_results": {}}),
    _AZURE_EMPTY
    | {"choices": [{"content_filter_offsets": {"check_offset": 4}, "finish_reason": None, "index": 0}]},
)
LEGACY = (
    data(
        chunk(
            {"index": 0, "text": "Once", "logprobs": None, "finish_reason": None}, object="text_completion"
        ),
        chunk(
            {"index": 0, "text": " upon", "logprobs": None, "finish_reason": None}, object="text_completion"
        ),
        chunk(
            {
                "index": 0,
                "text": "",
                "logprobs": {"tokens": ["."], "token_logprobs": [-1.5], "text_offset": [9]},
                "finish_reason": "length",
            },
            object="text_completion",
        ),
    )
    + DONE
)


def _message_start(**usage: Any) -> Object:
    message: Object = {
        "id": "msg_01",
        "type": "message",
        "role": "assistant",
        "model": "claude-x",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 25, "cache_read_input_tokens": 7, "output_tokens": 1} | usage,
    }
    return {"type": "message_start", "message": message}


def _block_start(index: int, **block: Any) -> Object:
    return {"type": "content_block_start", "index": index, "content_block": block}


def _block_delta(index: int, kind: str, **delta: Any) -> Object:
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **delta}}


def _block_stop(index: int) -> Object:
    return {"type": "content_block_stop", "index": index}


def _message_end(stop_reason: str, output_tokens: int) -> Iterator[Object]:
    delta = {"stop_reason": stop_reason, "stop_sequence": None}
    yield {"type": "message_delta", "delta": delta, "usage": {"output_tokens": output_tokens}}
    yield {"type": "message_stop"}


ANTHROPIC_TEXT = named(
    _message_start(),
    _block_start(0, type="text", text=""),
    {"type": "ping"},
    _block_delta(0, "text_delta", text="Hello"),
    _block_delta(0, "text_delta", text=" wörld 🌍"),
    _block_stop(0),
    *_message_end("end_turn", 15),
)
ANTHROPIC_THINKING = named(
    _message_start(),
    _block_start(0, type="thinking", thinking="", signature=""),
    _block_delta(0, "thinking_delta", thinking="27 * 453"),
    _block_delta(0, "thinking_delta", thinking=" = 12231"),
    _block_delta(0, "signature_delta", signature="EqQBCgIYAg=="),
    _block_stop(0),
    _block_start(1, type="redacted_thinking", data="EmwKAhgB"),
    _block_stop(1),
    _block_start(2, type="text", text=""),
    _block_delta(2, "text_delta", text="12231"),
    _block_stop(2),
    *_message_end("end_turn", 40),
)
ANTHROPIC_TOOLS = named(
    _message_start(),
    _block_start(0, type="text", text=""),
    _block_delta(0, "text_delta", text="I'll look."),
    _block_stop(0),
    _block_start(1, type="tool_use", id="toolu_1", name="get_weather", input={}),
    _block_delta(1, "input_json_delta", partial_json=""),
    _block_delta(1, "input_json_delta", partial_json='{"location": "San'),
    _block_delta(1, "input_json_delta", partial_json=' Francisco", "id": 12345678901234567890'),
    _block_delta(1, "input_json_delta", partial_json="}"),
    _block_stop(1),
    _block_start(2, type="tool_use", id="toolu_2", name="now", input={}),
    _block_delta(2, "input_json_delta", partial_json=""),
    _block_stop(2),
    *_message_end("tool_use", 89),
)
ANTHROPIC_CITATIONS = named(
    _message_start(),
    _block_start(0, type="text", text="", citations=[]),
    _block_delta(0, "citations_delta", citation={"type": "char_location", "cited_text": "grass"}),
    _block_delta(0, "text_delta", text="Green."),
    _block_delta(0, "citations_delta", citation={"type": "char_location", "cited_text": "sky"}),
    _block_stop(0),
    *_message_end("end_turn", 3),
)

_RESPONSE: Object = {
    "id": "resp_1",
    "object": "response",
    "status": "in_progress",
    "output": [],
    "error": None,
}
_ITEM: Object = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "status": "in_progress",
    "content": [],
}
_PART: Object = {"type": "output_text", "annotations": [], "text": ""}


def _output(kind: str, **fields: Any) -> Object:
    return {"type": f"response.{kind}", "item_id": "msg_1", "output_index": 0, **fields}


RESPONSES_OPEN = named(
    {"type": "response.created", "sequence_number": 0, "response": _RESPONSE},
    {"type": "response.in_progress", "sequence_number": 1, "response": _RESPONSE},
    _output("output_item.added", item=_ITEM),
    _output("content_part.added", content_index=0, part=_PART),
    _output("output_text.delta", content_index=0, delta="Hi ", logprobs=[]),
    _output("output_text.delta", content_index=0, delta="you 🙂", logprobs=[], obfuscation="Zz"),
)
_PART_DONE = _PART | {"text": "Hi you 🙂"}
_ITEM_DONE = _ITEM | {"status": "completed", "content": [_PART_DONE]}
RESPONSE_DONE: Object = _RESPONSE | {
    "status": "completed",
    "output": [_ITEM_DONE],
    "usage": {"total_tokens": 5},
}
RESPONSES = RESPONSES_OPEN + named(
    _output("output_text.done", content_index=0, text="Hi you 🙂", logprobs=[]),
    _output("content_part.done", content_index=0, part=_PART_DONE),
    _output("output_item.done", item=_ITEM_DONE),
    {"type": "response.completed", "sequence_number": 9, "response": RESPONSE_DONE},
)


def _ollama(**fields: Any) -> Object:
    return {"model": "llama3.2", "created_at": "2026-01-01T00:00:00.1Z", **fields}


def _ollama_message(content: str, **fields: Any) -> Object:
    return _ollama(message={"role": "assistant", "content": content, **fields}, done=False)


_OLLAMA_END: Object = {"done": True, "done_reason": "stop", "total_duration": 4883583458, "eval_count": 282}
OLLAMA_CHAT = lines(
    _ollama_message("", thinking="Hm"),
    _ollama_message("", thinking="m."),
    _ollama_message("Grüß"),
    _ollama_message(" dich 👋"),
    _ollama(message={"role": "assistant", "content": ""}, **_OLLAMA_END),
)
OLLAMA_TOOLS = lines(
    _ollama_message("", tool_calls=[{"function": {"name": "a", "arguments": {"x": 1}}}]),
    _ollama_message("", tool_calls=[{"function": {"name": "b", "arguments": {"y": "é"}}}]),
    _ollama(message={"role": "assistant", "content": ""}, **_OLLAMA_END),
)
OLLAMA_GENERATE = lines(
    _ollama(response="The", done=False),
    _ollama(response=" sky", done=False),
    _ollama(response="", context=[1, 2, 3], **_OLLAMA_END),
)
LLAMA_CPP = data(
    {"index": 0, "content": "A", "tokens": [65], "stop": False, "id_slot": 0},
    {"index": 0, "content": "B", "tokens": [66], "stop": False, "id_slot": 0},
    {"index": 0, "content": "", "tokens": [], "stop": True, "id_slot": 0, "tokens_predicted": 2},
)

ALL: dict[str, tuple[bytes, bytes]] = {
    name: (NDJSON if name.startswith("OLLAMA") else SSE, body)
    for name, body in list(globals().items())
    if name.isupper() and isinstance(body, bytes) and name not in ("SSE", "NDJSON", "DONE", "RESPONSES_OPEN")
}
