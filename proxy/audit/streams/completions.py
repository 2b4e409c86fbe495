"""Streams of OpenAI's chat completions and of the completions before them, from any server that speaks them.

Chunks become the object that a request without `stream` would have got. Shapes follow
https://platform.openai.com/docs/api-reference (chat/streaming, completions), and what OpenAI, Azure, vLLM,
SGLang, llama.cpp, Ollama, DeepSeek, Mistral, Gemini and OpenRouter are seen to send beyond them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from proxy.audit.streams.fragments import Entries, Fields, Room, add_delta

# The same in every chunk, or empty in some of Azure's: the first that is not empty stands.
_STAMPS = frozenset({"id", "object", "created", "model"})
_PADDING = "obfuscation"  # OpenAI's, of random length, against those who watch the sizes of packets
_CHOICE_FIELDS = frozenset({"delta", "text", "message"})


class Completion:
    """One completion that grows with its chunks."""

    def __init__(self, room: Room) -> None:
        self._fields = Fields(room)

    @staticmethod
    def recognizes(_: str, event: Mapping[str, Any]) -> bool:
        """Tell whether an event is a chunk of such a stream."""
        choices = event.get("choices")
        if type(choices) is not list:
            return False
        if not choices:
            return "object" in event or "id" in event
        return all(type(choice) is dict and _CHOICE_FIELDS & choice.keys() for choice in choices)

    def add(self, _: str, event: Mapping[str, Any]) -> bool:
        """Add a chunk; tell whether all of it has been understood."""
        is_whole = True
        for name, value in event.items():
            if name == "choices":
                is_whole = self._add_choices(value)
            elif name in _STAMPS:
                self._fields.keep(name, value)
            elif name != _PADDING:
                self._fields.put(name, value)
        return is_whole

    @property
    def is_complete(self) -> bool:
        """Whether every choice has its finish reason."""
        choices = self._fields.get("choices")
        reasons = [choice.get("finish_reason") for choice in choices] if isinstance(choices, Entries) else []
        return bool(reasons) and all(reasons)

    def build(self) -> dict[str, Any]:
        """Return the completion."""
        completion = self._fields.build()
        if completion.get("object") == "chat.completion.chunk":
            completion["object"] = "chat.completion"
        return completion

    def _add_choices(self, choices: object) -> bool:
        if type(choices) is not list:
            return choices is None
        entries = self._fields.open("choices", Entries)
        is_whole = True
        for choice in choices:
            is_whole &= type(choice) is dict and _add_choice(entries, choice)
        return is_whole


def _add_choice(choices: Entries, piece: Mapping[str, Any]) -> bool:
    index = piece.get("index")
    choice = choices.open(index)
    choice.keep("index", index if type(index) is int else 0)
    is_whole = index is None or type(index) is int
    for name, value in piece.items():
        if name == "delta" or (name == "message" and "delta" not in piece):
            is_whole &= _add_message(choice, value)
        elif name == "text" and type(value) is str:
            choice.append(name, value)
        elif name == "logprobs" and type(value) is dict:
            add_delta(choice.open(name, Fields), value)
        elif type(value) is list:  # of tokens, say
            choice.extend(name, value)
        elif name not in ("index", "message"):  # Perplexity repeats the whole message in every chunk
            choice.put(name, value)
    return is_whole


def _add_message(choice: Fields, delta: object) -> bool:
    if not isinstance(delta, dict):
        return delta is None
    message = choice.open("message", Fields)
    if type(delta.get("tool_calls")) is not list:
        add_delta(message, delta)
        return True
    add_delta(message, {name: value for name, value in delta.items() if name != "tool_calls"})
    return _add_calls(message.open("tool_calls", Entries), delta["tool_calls"])


def _add_calls(calls: Entries, pieces: list[object]) -> bool:
    is_whole = True
    for piece in pieces:
        if not isinstance(piece, dict):
            is_whole = False
            continue
        index = piece.get("index")
        call = calls.open(index)
        if _is_another(call, piece):
            call = calls.renew(index)
        # A list of calls that was not streamed has no indexes either.
        add_delta(call, {name: value for name, value in piece.items() if name != "index"})
    return is_whole


def _is_another(call: Fields, piece: Mapping[str, Any]) -> bool:
    """Tell whether a piece begins a call of its own: some servers give all calls one index, or none."""
    function, call_id = piece.get("function"), piece.get("id")
    is_beginning = isinstance(function, dict) and function.get("name") and call_id
    return bool(is_beginning and call.get("id") and call.get("id") != call_id)
