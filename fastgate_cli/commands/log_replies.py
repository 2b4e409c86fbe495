"""Replies of language models as people read them: who said what, which tools were called, what it cost. Pure.

It reads the objects that the APIs of OpenAI, Anthropic and Ollama answer with, streamed and merged ones too.
They come from a backend, which may have put anything into them: what is not as expected is passed over.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["text", "reasoning", "refusal", "call"]
_ENDS = ("finish_reason", "stop_reason", "done_reason", "status")
_COUNTS_OF_OLLAMA = ("prompt_eval_count", "eval_count")


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of what was said. A call has the `name` of its tool, and its arguments as text."""

    kind: Kind
    text: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Turn:
    """What one choice, or one item, of a reply says, and why it ends."""

    role: str
    end: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply. `usage` are counts by name; `errors` came in its stream; `is_cut` if it is not all of that."""

    model: str
    turns: tuple[Turn, ...]
    usage: dict[str, int] = field(default_factory=dict)
    errors: tuple[str, ...] = ()
    is_cut: bool = False


def read_reply(text: str) -> Reply | None:
    """Return the reply that a response body is; None if it is none, or says nothing."""
    try:
        value = json.loads(text)
        return _read(value) if isinstance(value, dict) else None
    except (ValueError, RecursionError):
        return None


def _read(value: dict[str, Any]) -> Reply | None:
    turns = next((turns for read in _READERS if (turns := tuple(read(value)))), ())
    if not any(turn.blocks for turn in turns):
        return None
    return Reply(
        model=_text(value.get("model")),
        turns=turns,
        usage=dict(_count_usage(value)),
        errors=tuple(_spell(error) for error in _list(value.get("stream_errors"))),
        is_cut=value.get("stream_incomplete") is True,
    )


def _read_choices(value: dict[str, Any]) -> Iterator[Turn]:
    for choice in map(_dict, _list(value.get("choices"))):
        message = _dict(choice.get("message"))
        blocks = tuple(_read_message(message)) or tuple(_say("text", choice.get("text")))
        yield Turn(_text(message.get("role")) or "assistant", _end_of(choice), blocks)


def _read_anthropic(value: dict[str, Any]) -> Iterator[Turn]:
    if value.get("type") == "message" and isinstance(value.get("content"), list):
        yield Turn(_text(value.get("role")) or "assistant", _end_of(value), tuple(_read_message(value)))


def _read_responses(value: dict[str, Any]) -> Iterator[Turn]:
    if value.get("object") != "response":
        return
    for item in map(_dict, _list(value.get("output"))):
        if blocks := tuple(_read_item(item)):
            yield Turn(_text(item.get("role")) or "assistant", _end_of(item), blocks)


def _read_native(value: dict[str, Any]) -> Iterator[Turn]:
    message = _dict(value.get("message"))
    if isinstance(value.get("done"), bool):
        said = _read_message(message) if message else _say("text", value.get("response"))
        yield Turn(_text(message.get("role")) or "assistant", _end_of(value), tuple(said))
    elif isinstance(value.get("stop"), bool):
        yield Turn("assistant", "", tuple(_say("text", value.get("content"))))


_READERS: tuple[Callable[[dict[str, Any]], Iterator[Turn]], ...] = (
    _read_choices,
    _read_anthropic,
    _read_responses,
    _read_native,
)


def _read_message(message: dict[str, Any]) -> Iterator[Block]:
    """Yield what a message says, in the order in which a model comes to it."""
    for name in ("reasoning_content", "reasoning", "thinking"):
        yield from _say("reasoning", message.get(name))
    content = message.get("content")
    if isinstance(content, list):
        for part in content:
            yield from _read_item(part) if isinstance(part, dict) else _say("text", part)
    else:
        yield from _say("text", content)
    yield from _say("refusal", message.get("refusal"))
    calls = [*_list(message.get("tool_calls")), message.get("function_call")]
    for call in map(_dict, calls):
        called = _dict(call.get("function")) or _dict(call.get("custom")) or call
        yield from _call(called.get("name"), called.get("arguments", called.get("input")))


def _read_item(item: dict[str, Any]) -> Iterator[Block]:
    """Yield what a part of a message, or an item of a response, says."""
    kind = _text(item.get("type"))
    if kind == "reasoning":
        for part in map(_dict, (*_list(item.get("summary")), *_list(item.get("content")))):
            yield from _say("reasoning", part.get("text"))
    elif isinstance(item.get("content"), list):
        yield from _read_message(item)
    elif "name" in item and (kind.endswith("_use") or kind.endswith("_call")):
        yield from _call(item.get("name"), item.get("arguments", item.get("input")))
    elif kind == "refusal":
        yield from _say("refusal", item.get("refusal"))
    elif kind == "thinking":
        yield from _say("reasoning", item.get("thinking"))
    else:
        yield from _say("text", item.get("text"))


def _say(kind: Kind, text: object) -> Iterator[Block]:
    if isinstance(text, str) and text:
        yield Block(kind, text)


def _call(name: object, arguments: object) -> Iterator[Block]:
    if isinstance(name, str) and name:
        text = arguments if isinstance(arguments, str) else "" if arguments is None else _spell(arguments)
        yield Block("call", text, name)


def _end_of(fields: dict[str, Any]) -> str:
    return next((_text(fields[name]) for name in _ENDS if _text(fields.get(name))), "")


def _count_usage(value: dict[str, Any]) -> Iterator[tuple[str, int]]:
    counts = _dict(value.get("usage")) or {name: value.get(name) for name in _COUNTS_OF_OLLAMA}
    for name, count in counts.items():
        if type(count) is int:
            yield name, count
        for detail, number in _dict(count).items():
            if type(number) is int and number:
                yield f"{name}.{detail}", number


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _spell(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
