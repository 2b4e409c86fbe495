"""The Anthropic dialect of the mock: request bytes in, response bytes or events out. Never any I/O.

Shapes follow https://docs.anthropic.com/en/api/messages and its `streaming` page, fields in their order.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import msgspec

from proxy.mock import EventStream, Message, Reply, compose_reply, decode_request

_ERROR_TYPES: Mapping[int, str] = {404: "not_found_error", 413: "request_too_large"}
_DELTA_HEAD = (
    b"event: content_block_delta\n"
    b'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":'
)
_DELTA_TAIL = b"}}\n\n"


class MessagesRequest(msgspec.Struct):
    """The fields of a messages request that the mock looks at; it ignores the others."""

    model: str
    max_tokens: Annotated[int, msgspec.Meta(ge=1)]
    messages: Annotated[list[Message], msgspec.Meta(min_length=1)]
    stream: bool | None = None


_DECODER = msgspec.json.Decoder(MessagesRequest)


def create_message(body: bytes) -> bytes | EventStream:
    """Return a message as one JSON body, or as events if the request says `"stream": true`.

    Raises InvalidInputError for a body that is not a messages request.
    """
    asked = decode_request(_DECODER, body)
    reply = compose_reply(body, asked.messages, asked.max_tokens)
    return _build_events(asked, reply) if asked.stream else _build_message(asked, reply)


def encode_error(status: int, message: str) -> bytes:
    """Return an error body in Anthropic's shape."""
    kind = _ERROR_TYPES.get(status, "invalid_request_error" if status < 500 else "api_error")
    return msgspec.json.encode({"type": "error", "error": {"type": kind, "message": message}})


def _build_message(asked: MessagesRequest, reply: Reply) -> bytes:
    content = [{"type": "text", "text": reply.text}]
    usage = {"input_tokens": reply.input_tokens, "output_tokens": len(reply.tokens)}
    return msgspec.json.encode(_describe_message(asked, reply, content, _find_stop_reason(reply), usage))


def _build_events(asked: MessagesRequest, reply: Reply) -> EventStream:
    usage = {"input_tokens": reply.input_tokens, "output_tokens": 1}
    block = {"type": "text", "text": ""}
    stop = {"stop_reason": _find_stop_reason(reply), "stop_sequence": None}
    encode = msgspec.json.encode
    return EventStream(
        opening=(
            _encode_event("message_start", message=_describe_message(asked, reply, [], None, usage)),
            _encode_event("content_block_start", index=0, content_block=block),
            _encode_event("ping"),
        ),
        tokens=tuple([_DELTA_HEAD + encode(token) + _DELTA_TAIL for token in reply.tokens]),
        closing=(
            _encode_event("content_block_stop", index=0),
            _encode_event("message_delta", delta=stop, usage={"output_tokens": len(reply.tokens)}),
            _encode_event("message_stop"),
        ),
    )


def _describe_message(
    asked: MessagesRequest,
    reply: Reply,
    content: list[dict[str, str]],
    stop_reason: str | None,
    usage: dict[str, int],
) -> dict[str, object]:
    return {
        "id": f"msg_{reply.digest}",
        "type": "message",
        "role": "assistant",
        "model": asked.model,
        "content": content,
        "stop_reason": stop_reason,
        "stop_sequence": None,
        "usage": usage,
    }


def _encode_event(kind: str, **fields: object) -> bytes:
    return f"event: {kind}\ndata: ".encode() + msgspec.json.encode({"type": kind, **fields}) + b"\n\n"


def _find_stop_reason(reply: Reply) -> str:
    return "max_tokens" if reply.is_truncated else "end_turn"
