"""Streams of the native APIs of Ollama and llama.cpp: the last line's object, with the text of all of them.

Shapes follow https://docs.ollama.com/api (chat, generate) and llama.cpp's server (completion).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from proxy.audit.streams.fragments import Fields, Room, add_delta

_TEXTS = frozenset({"response", "thinking", "content"})
_LISTS = frozenset({"logprobs", "tokens", "completion_probabilities"})


class NativeReply:
    """One reply that grows with its fragments."""

    def __init__(self, room: Room) -> None:
        self.is_complete = False
        self._fields = Fields(room)

    @staticmethod
    def recognizes(_: str, event: Mapping[str, Any]) -> bool:
        """Tell whether an event is a fragment of such a reply."""
        if type(event.get("done")) is bool:
            return type(event.get("message")) is dict or type(event.get("response")) is str
        return type(event.get("stop")) is bool and type(event.get("content")) is str

    def add(self, _: str, event: Mapping[str, Any]) -> bool:
        """Add a fragment; tell whether it has been understood."""
        if not self.recognizes("", event):
            return False
        self.is_complete = event.get("done") is True or event.get("stop") is True
        for name, value in event.items():
            if name == "message" and type(value) is dict:
                add_delta(self._fields.open(name, Fields), value)
            elif name in _TEXTS and type(value) is str:
                self._fields.append(name, value)
            elif name in _LISTS and type(value) is list:
                self._fields.extend(name, value)
            else:
                self._fields.put(name, value)
        return True

    def build(self) -> dict[str, Any]:
        """Return the reply."""
        return self._fields.build()
