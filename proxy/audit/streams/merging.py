"""Recorded streams of language models as one readable response: the entry to `sse` and the dialects. Pure.

What comes out is the JSON object that the request would have got without streaming, and, only if there is
something to say, these fields beside its own:

- `stream_incomplete: true`: this is not all of the stream. It was cut, by the network or by the bound on
  recorded bodies, or it ended before its last event, or some of it was beyond a bound of this package;
- `stream_errors`: the error events, in their order;
- `stream_unmerged`: the text of events, up to a length, that nobody understood, such as invalid JSON.

A stream is cut at most once, at its end; events of any kind before that are read whatever came between.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any, Protocol

import msgspec

from proxy.audit.streams.completions import Completion
from proxy.audit.streams.event_json import encode, freeze, read_object
from proxy.audit.streams.fragments import Room, RoomError
from proxy.audit.streams.messages import Message
from proxy.audit.streams.native import NativeReply
from proxy.audit.streams.responses import Response
from proxy.audit.streams.sse import EventReader

SNIFFED_EVENTS_MAX = 16  # within these one must be of a known dialect
NOTES_MAX = 100  # of errors and of events that were not understood, each
UNMERGED_CHARACTERS_MAX = 2_000  # of each
_SLICE_BYTES = 64 * 1024  # how much is read at once: events are made into objects slice by slice
_DONE = "[DONE]"
_SILENT = frozenset({"ping"})


class Dialect(Protocol):
    """One response that grows with the events of its stream."""

    def __init__(self, room: Room) -> None: ...

    @staticmethod
    def recognizes(kind: str, event: Mapping[str, Any], /) -> bool:
        """Tell whether an event is one of this dialect's."""

    @property
    def is_complete(self) -> bool:
        """Whether the events so far are all that a response needs."""

    def add(self, kind: str, event: Mapping[str, Any], /) -> bool:
        """Add an event; tell whether all of it has been understood. Raises `RoomError`."""

    def build(self) -> dict[str, Any]:
        """Return the response."""


_DIALECTS: tuple[type[Dialect], ...] = (Completion, Message, Response, NativeReply)


def merge_stream(content_type: bytes, body: bytes, *, is_cut: bool) -> str | None:
    """Return a streamed response as one JSON object, or None if it is of no known dialect.

    `body` is without content coding; `is_cut` says that it is not all of the stream. Takes time and memory in
    proportion to the body, and never raises, whatever is in it.
    """
    feed = _FEEDS.get(content_type.partition(b";")[0].strip().lower())
    if feed is None:
        return None
    transcript = Transcript()
    feed(transcript, body, is_cut)
    merged = transcript.build(is_cut=is_cut)
    return None if merged is None else encode(merged).decode()


class Transcript:
    """What has been understood of a stream so far."""

    def __init__(self) -> None:
        self.is_incomplete = False
        self.is_foreign = False  # no dialect knows its first events
        self._dialect: Dialect | None = None
        self._is_done = False
        self._sniffed = 0
        self._errors: list[object] = []
        self._unmerged: list[str] = []

    def add(self, name: str, data: str) -> None:
        """Take an event: its name, where the framing has names, and its data without blanks around it."""
        if data == _DONE:
            self._is_done = True
        if self.is_foreign or not data or data == _DONE:
            return
        event = read_object(data)
        if event is None:
            self._set_aside(data, is_error=name == "error")
            return
        kind = event["type"] if type(event.get("type")) is str else name
        if kind in _SILENT:
            return
        if _is_error(kind, event):
            self._note(self._errors, freeze(_error_of(event)))
            if "choices" not in event:
                return
            event.pop("error", None)
        if not self._merge(kind, event):
            self._set_aside(data, is_error=False)

    def add_unfinished(self, name: str, data: str, *, is_cut: bool) -> None:
        """Take the event that the stream ended in: if it was not cut, or after all of its data."""
        if not is_cut or data == _DONE or read_object(data) is not None:
            self.add(name, data)

    def build(self, *, is_cut: bool) -> dict[str, Any] | None:
        """Return all that was understood, with marks; None if that is nothing."""
        if self._dialect is not None:
            merged, is_complete = self._dialect.build(), self._dialect.is_complete
        elif not self._unmerged and any(isinstance(error, msgspec.Raw) for error in self._errors):
            merged, is_complete = {}, False
        else:
            return None
        if self._errors:
            merged["stream_errors"] = self._errors
        if self._unmerged:
            merged["stream_unmerged"] = self._unmerged
        if is_cut or self.is_incomplete or not (is_complete or self._is_done):
            merged["stream_incomplete"] = True
        return merged

    def _merge(self, kind: str, event: Mapping[str, Any]) -> bool:
        try:
            if self._dialect is None:
                self._dialect = _find_dialect(kind, event)
            return self._dialect is not None and self._dialect.add(kind, event)
        except RoomError:
            self.is_incomplete = True
            return True

    def _set_aside(self, data: str, *, is_error: bool) -> None:
        self._note(self._errors if is_error else self._unmerged, data[:UNMERGED_CHARACTERS_MAX])
        self.is_incomplete |= len(data) > UNMERGED_CHARACTERS_MAX
        if self._dialect is None:
            self._sniffed += 1
            self.is_foreign = self._sniffed >= SNIFFED_EVENTS_MAX

    def _note(self, notes: list[Any], note: object) -> None:
        if len(notes) < NOTES_MAX:
            notes.append(note)
        else:
            self.is_incomplete = True


def _find_dialect(kind: str, event: Mapping[str, Any]) -> Dialect | None:
    for dialect in _DIALECTS:
        if dialect.recognizes(kind, event):
            return dialect(Room())
    return None


def _is_error(kind: str, event: Mapping[str, Any]) -> bool:
    # vLLM's older error events have the object `error` and its fields at the top.
    return bool(kind == "error" or event.get("error") or event.get("object") == "error")


def _error_of(event: Mapping[str, Any]) -> object:
    """Return the error event; of a chunk that has an error beside its choices, that part of it."""
    return {"error": event.get("error")} if "choices" in event else event


def _feed_events(transcript: Transcript, body: bytes, is_cut: bool) -> None:
    reader = EventReader()
    for start in range(0, len(body), _SLICE_BYTES):
        for event in reader.feed(body[start : start + _SLICE_BYTES]):
            transcript.add(event.type, event.data.strip())
        if transcript.is_foreign:
            return
    last = reader.unfinished()
    if last is not None:
        transcript.add_unfinished(last.type, last.data.strip(), is_cut=is_cut)
    transcript.is_incomplete |= reader.dropped > 0


def _feed_lines(transcript: Transcript, body: bytes, is_cut: bool) -> None:
    for line in BytesIO(body):
        data = line.decode("utf-8", "replace").strip()
        if line.endswith(b"\n"):
            transcript.add("", data)
        else:
            transcript.add_unfinished("", data, is_cut=is_cut)
        if transcript.is_foreign:
            return


_FEEDS: Mapping[bytes, Callable[[Transcript, bytes, bool], None]] = {
    b"text/event-stream": _feed_events,
    b"application/x-ndjson": _feed_lines,
    b"application/jsonl": _feed_lines,
    b"application/stream+json": _feed_lines,
}
