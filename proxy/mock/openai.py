"""The OpenAI dialect of the mock: request bytes in, response bytes or events out. Never any I/O.

Shapes follow https://platform.openai.com/docs/api-reference (chat, models), fields in their order.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import msgspec

from proxy.errors import NotFoundError
from proxy.mock import EventStream, Message, Reply, compose_reply, decode_request

MODEL_ID = "fastgate-mock"
_CREATED_SECONDS = 1_767_225_600  # 2026-01-01T00:00:00Z: a constant, or answers would differ
_FINGERPRINT = "fp_fastgate_mock"
_DONE = b"data: [DONE]\n\n"
_OPENING_DELTA = b'{"role":"assistant","content":"","refusal":null}'
_ERROR_TYPES: Mapping[int, tuple[str, str | None]] = {
    404: ("invalid_request_error", "not_found"),
    405: ("invalid_request_error", "method_not_supported"),
    413: ("invalid_request_error", "request_too_large"),
}

PositiveInt = Annotated[int, msgspec.Meta(ge=1)]


class StreamOptions(msgspec.Struct):
    """What a streaming client may ask for besides the text."""

    include_usage: bool | None = None


class ChatRequest(msgspec.Struct):
    """The fields of a chat completion request that the mock looks at; it ignores the others."""

    model: str
    messages: Annotated[list[Message], msgspec.Meta(min_length=1)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: PositiveInt | None = None
    max_completion_tokens: PositiveInt | None = None
    n: Annotated[int, msgspec.Meta(ge=1, le=1)] | None = None

    @property
    def tokens_max(self) -> int | None:
        """The smaller of the limit's two names."""
        limits = (self.max_tokens, self.max_completion_tokens)
        return min((limit for limit in limits if limit is not None), default=None)


_DECODER = msgspec.json.Decoder(ChatRequest)


def complete_chat(body: bytes) -> bytes | EventStream:
    """Return a chat completion as one JSON body, or as events if the request says `"stream": true`.

    Raises InvalidInputError for a body that is not a chat completion request.
    """
    asked = decode_request(_DECODER, body)
    reply = compose_reply(body, asked.messages, asked.tokens_max)
    return _build_events(asked, reply) if asked.stream else _build_completion(asked, reply)


def list_models() -> bytes:
    """Return the list of the one model there is."""
    return msgspec.json.encode({"object": "list", "data": [_describe_model()]})


def get_model(model_id: str) -> bytes:
    """Return the description of a model; raise NotFoundError for any but the one in the list."""
    if model_id != MODEL_ID:
        raise NotFoundError(
            f"the model {model_id[:100]!r} does not exist", hint="GET /v1/models lists those that do"
        )
    return msgspec.json.encode(_describe_model())


def encode_error(status: int, message: str) -> bytes:
    """Return an error body in OpenAI's shape."""
    default = ("invalid_request_error", None) if status < 500 else ("server_error", None)
    kind, code = _ERROR_TYPES.get(status, default)
    return msgspec.json.encode({"error": {"message": message, "type": kind, "param": None, "code": code}})


def _describe_model() -> dict[str, object]:
    return {"id": MODEL_ID, "object": "model", "created": _CREATED_SECONDS, "owned_by": "fastgate"}


def _build_completion(asked: ChatRequest, reply: Reply) -> bytes:
    message: dict[str, object] = {
        "role": "assistant",
        "content": reply.text,
        "refusal": None,
        "annotations": [],
    }
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _find_finish_reason(reply)}
    return msgspec.json.encode(
        _build_head(asked, reply, "chat.completion")
        | {"choices": [choice], "usage": _count_usage(reply), "system_fingerprint": _FINGERPRINT}
    )


def _build_events(asked: ChatRequest, reply: Reply) -> EventStream:
    """Encode what all chunks share once, so that a token costs the encoding of one short string."""
    with_usage = asked.stream_options is not None and bool(asked.stream_options.include_usage)
    shared = _build_head(asked, reply, "chat.completion.chunk") | {"system_fingerprint": _FINGERPRINT}
    start = b"data: " + msgspec.json.encode(shared)[:-1] + b',"choices":['
    head = start + b'{"index":0,"delta":'
    tail = b'}],"usage":null}\n\n' if with_usage else b"}]}\n\n"
    unfinished = b',"logprobs":null,"finish_reason":null' + tail
    finish_reason = msgspec.json.encode(_find_finish_reason(reply))
    last = head + b'{},"logprobs":null,"finish_reason":' + finish_reason + tail
    usage = start + b'],"usage":' + msgspec.json.encode(_count_usage(reply)) + b"}\n\n"
    encode = msgspec.json.encode
    return EventStream(
        opening=(head + _OPENING_DELTA + unfinished,),
        tokens=tuple([head + b'{"content":' + encode(token) + b"}" + unfinished for token in reply.tokens]),
        closing=(last, usage, _DONE) if with_usage else (last, _DONE),
    )


def _build_head(asked: ChatRequest, reply: Reply, kind: str) -> dict[str, object]:
    return {
        "id": f"chatcmpl-{reply.digest}",
        "object": kind,
        "created": _CREATED_SECONDS,
        "model": asked.model,
    }


def _find_finish_reason(reply: Reply) -> str:
    return "length" if reply.is_truncated else "stop"


def _count_usage(reply: Reply) -> dict[str, int]:
    output = len(reply.tokens)
    return {
        "prompt_tokens": reply.input_tokens,
        "completion_tokens": output,
        "total_tokens": reply.input_tokens + output,
    }
