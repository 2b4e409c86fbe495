"""Streams of Anthropic's Messages API: events become the message that a request without `stream` gets.

Shapes follow https://docs.anthropic.com/en/api/messages-streaming.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from proxy.audit.streams.event_json import read_object
from proxy.audit.streams.fragments import Entries, Fields, Room, add_delta

# Which object an event must have to be one of these.
_OBJECT_OF: Mapping[str, str] = {
    "message_start": "message",
    "content_block_start": "content_block",
    "content_block_delta": "delta",
    "message_delta": "delta",
}
_SILENT = frozenset({"content_block_stop"})
_INPUT = "partial_json"
_GROWING = frozenset({"text", "thinking", "signature"})


class Message:
    """One message that grows with its events."""

    def __init__(self, room: Room) -> None:
        self.is_complete = False
        self._fields = Fields(room)

    @staticmethod
    def recognizes(kind: str, event: Mapping[str, Any]) -> bool:
        """Tell whether an event is one of such a stream."""
        return kind in _OBJECT_OF and type(event.get(_OBJECT_OF[kind])) is dict

    def add(self, kind: str, event: Mapping[str, Any]) -> bool:
        """Add an event; tell whether it has been understood."""
        if kind == "message_stop":
            self.is_complete = True
            self._add_rest(event)
            return True
        if not self.recognizes(kind, event):
            return kind in _SILENT
        value = event[_OBJECT_OF[kind]]
        if kind == "message_start":
            self._start(value)
        elif kind == "message_delta":
            self._fields.put_all(value)
            self._add_usage(event.get("usage"))
            self._add_rest(event)
        else:
            block = self._fields.open("content", Entries).open(event.get("index"))
            if kind == "content_block_start":
                block.put_all(value, _GROWING)
            else:
                _add_block_delta(block, value)
        return True

    def build(self) -> dict[str, Any]:
        """Return the message."""
        message = self._fields.build()
        for block in message["content"] if type(message.get("content")) is list else ():
            _read_input(block)
        return message

    def _start(self, message: Mapping[str, Any]) -> None:
        for name, value in message.items():
            if name == "usage":
                self._add_usage(value)
            elif name == "content" and type(value) is list:
                for index, block in enumerate(value):
                    if type(block) is dict:
                        self._fields.open(name, Entries).open(index).put_all(block, _GROWING)
                self._fields.open(name, Entries)
            else:
                self._fields.put(name, value)

    def _add_usage(self, usage: object) -> None:
        """Add counts. They are totals: a later one stands, and one that is not said again stands too."""
        if isinstance(usage, dict):
            self._fields.open("usage", Fields).put_all(usage)

    def _add_rest(self, event: Mapping[str, Any]) -> None:
        """Keep what an event says of the message beside its own fields, such as Bedrock's metrics."""
        for name, value in event.items():
            if name not in ("type", "delta", "usage"):
                self._fields.put(name, value)


def _add_block_delta(block: Fields, delta: Mapping[str, Any]) -> None:
    rest = {name: value for name, value in delta.items() if name not in ("type", "citation")}
    add_delta(block, rest)
    if "citation" in delta:
        block.extend("citations", [delta["citation"]])


def _read_input(block: dict[str, Any]) -> None:
    """Give a block the input that its fragments make: an object, or as much of its text as came."""
    text = block.pop(_INPUT, None)
    if isinstance(text, str) and text:
        value = read_object(text)
        block["input"] = text if value is None else value
