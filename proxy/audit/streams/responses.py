"""Streams of OpenAI's Responses API: the response of the last event, or what the others make of it.

Shapes follow https://platform.openai.com/docs/api-reference/responses-streaming.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from proxy.audit.streams.fragments import Entries, Fields, Room

_LAST = frozenset({"response.completed", "response.incomplete", "response.failed", "response.cancelled"})
_ITEMS = frozenset({"response.output_item.added", "response.output_item.done"})
_CONTENT, _SUMMARY = ("content", "content_index"), ("summary", "summary_index")
# Parts of an item: the list they stand in, and what the event calls their index there.
_PARTS: Mapping[str, tuple[str, str]] = {
    "response.content_part.added": _CONTENT,
    "response.content_part.done": _CONTENT,
    "response.reasoning_summary_part.added": _SUMMARY,
    "response.reasoning_summary_part.done": _SUMMARY,
}
# Text of a part: the list and its index, the field of the part, and the part's type.
_TEXTS: Mapping[str, tuple[tuple[str, str], str, str]] = {
    "response.output_text.delta": (_CONTENT, "text", "output_text"),
    "response.refusal.delta": (_CONTENT, "refusal", "refusal"),
    "response.reasoning_text.delta": (_CONTENT, "text", "reasoning_text"),
    "response.reasoning_summary_text.delta": (_SUMMARY, "text", "summary_text"),
}
# Text of an item itself.
_INPUTS: Mapping[str, str] = {
    "response.function_call_arguments.delta": "arguments",
    "response.mcp_call_arguments.delta": "arguments",
    "response.custom_tool_call_input.delta": "input",
    "response.code_interpreter_call_code.delta": "code",
}
_GROWING = frozenset({"text", "refusal", "arguments", "input", "code"})


class Response:
    """One response that grows with its events, until one brings it whole."""

    def __init__(self, room: Room) -> None:
        self.is_complete = False
        self._room = room
        self._fields = Fields(room)
        self._output = Entries(room)

    @staticmethod
    def recognizes(kind: str, event: Mapping[str, Any]) -> bool:
        """Tell whether an event is one of such a stream."""
        return kind.startswith("response.") and (
            type(event.get("response")) is dict or "output_index" in event
        )

    def add(self, kind: str, event: Mapping[str, Any]) -> bool:
        """Add an event; tell whether it has been understood."""
        if not kind.startswith("response."):
            return False
        if type(event.get("response")) is dict:
            self._take_snapshot(event["response"], is_last=kind in _LAST)
        elif kind in _ITEMS or kind in _PARTS or kind in _TEXTS or kind in _INPUTS:
            return self._add_output(kind, event)
        # What else there is says how far a tool has come, or repeats what the deltas have said.
        return True

    def build(self) -> dict[str, Any]:
        """Return the response: its output as its last event has it, or as it has come so far."""
        response = self._fields.build()
        output = self._output.build()
        if output and not (self.is_complete and _has_items(response)):
            response["output"] = output
        return response

    def _take_snapshot(self, response: Mapping[str, Any], *, is_last: bool) -> None:
        fields = Fields(self._room) if is_last else self._fields
        fields.put_all(response)
        self._fields = fields
        self.is_complete |= is_last

    def _add_output(self, kind: str, event: Mapping[str, Any]) -> bool:
        item = self._output.open(event.get("output_index"))
        growing = frozenset[str]() if kind.endswith(".done") else _GROWING
        if kind in _ITEMS:
            return _put(item, event.get("item"), growing)
        if kind in _PARTS:
            return _put(_open_part(item, event, _PARTS[kind]), event.get("part"), growing)
        delta = event.get("delta")
        if not isinstance(delta, str):
            return False
        if kind in _INPUTS:
            item.append(_INPUTS[kind], delta)
            return True
        place, field, part_type = _TEXTS[kind]
        part = _open_part(item, event, place)
        part.keep("type", part_type)
        part.append(field, delta)
        if type(event.get("logprobs")) is list and event["logprobs"]:
            part.extend("logprobs", event["logprobs"])
        return True


def _open_part(item: Fields, event: Mapping[str, Any], place: tuple[str, str]) -> Fields:
    name, index_name = place
    return item.open(name, Entries).open(event.get(index_name))


def _put(fields: Fields, value: object, growing: frozenset[str]) -> bool:
    if not isinstance(value, dict):
        return False
    fields.put_all(value, growing)
    return True


def _has_items(response: Mapping[str, Any]) -> bool:
    output = response.get("output")
    return isinstance(output, msgspec.Raw) and bytes(output) != b"[]"
