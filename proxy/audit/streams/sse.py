"""An incremental reader of server-sent events: bytes in, as they come, events out.

It follows "Interpreting an event stream" of the WHATWG HTML standard: lines end in CR, LF or CRLF, wherever
the bytes were cut; one byte order mark may come first; `data` lines are joined with LF; a line that starts
with a colon is a comment; an event without data is none. Bytes that are not UTF-8 become U+FFFD.

It knows nothing of what events mean, does no I/O, and holds one event at a time, of a bounded size.
"""

from __future__ import annotations

import codecs

import msgspec

EVENT_BYTES_MAX = 4 * 1024 * 1024  # of the lines of one event, comments aside
_RETRY_DIGITS_MAX = 15  # 30,000 years, in milliseconds
_MARK = codecs.BOM_UTF8
_COLON = b":"


class ServerSentEvent(msgspec.Struct, frozen=True):
    """One event. `type` is `message` unless an `event` field named another."""

    type: str
    data: str
    last_event_id: str = ""


class EventReader:
    """Reads one stream. What comes out does not depend on how the bytes were cut into pieces.

    An event of more than `event_bytes_max` bytes is left out and counted in `dropped`; the next one is read
    again. `last_event_id` and `retry_ms` are what a client would reconnect with.
    """

    def __init__(self, event_bytes_max: int = EVENT_BYTES_MAX) -> None:
        self.dropped = 0
        self.last_event_id = ""
        self.retry_ms: int | None = None
        self._event_bytes_max = event_bytes_max
        self._is_started = False
        self._follows_cr = False  # the LF of a CRLF may be the next byte
        self._is_dropping = False
        self._line = bytearray()  # the start of a line whose end has not come
        self._size = 0
        self._type = b""
        self._data = bytearray()  # each line of it with an LF; lists of many short lines take much more

    def feed(self, data: bytes) -> list[ServerSentEvent]:
        """Take the next bytes, any number of them; return the events that they finish."""
        if not self._is_started:
            data = self._skip_mark(data)
        if self._follows_cr and data:
            data = data.removeprefix(b"\n")
            self._follows_cr = False
        if not data:
            return []
        lines = data.splitlines()  # of bytes: at CR, LF and CRLF, nowhere else
        is_ended = data.endswith((b"\r", b"\n"))
        self._follows_cr = data.endswith(b"\r")
        rest = b"" if is_ended else lines.pop()
        if lines and self._line:
            lines[0] = bytes(self._line) + lines[0]
            self._line.clear()
        events: list[ServerSentEvent] = []
        for line in lines:
            if line:
                self._take_line(line)
            else:
                self._finish_event(events)
        self._hold(rest)
        return events

    def unfinished(self) -> ServerSentEvent | None:
        """Return the event that the bytes so far have begun and not finished, if it has data.

        A browser would drop it. It is what is left of a stream that was cut, perhaps in the middle of a line.
        """
        if self._is_dropping:
            return None
        name, value = _split_field(bytes(self._line))
        is_amid_data = name == b"data"
        if not self._data and not is_amid_data:
            return None
        # The cut may have gone through a character: what is there of it is not an error.
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        text = decoder.decode(self._data + value) if is_amid_data else decoder.decode(self._data)[:-1]
        return ServerSentEvent(_decode(self._type) or "message", text, self.last_event_id)

    def _skip_mark(self, data: bytes) -> bytes:
        """Return what follows the byte order mark, or nothing while there may be more of one to come."""
        head = bytes(self._line) + data
        if len(head) < len(_MARK) and _MARK.startswith(head):
            self._line[:] = head
            return b""
        self._line.clear()
        self._is_started = True
        return head.removeprefix(_MARK)

    def _hold(self, rest: bytes) -> None:
        line = self._line
        line += rest
        if self._size + len(line) > self._event_bytes_max and not line.startswith(_COLON):
            self._drop_event()
        if self._is_dropping or line.startswith(_COLON):
            # Nothing will be read from it: that it is not blank, and whether it is a comment, is enough.
            del line[1:]

    def _take_line(self, line: bytes) -> None:
        if self._is_dropping or line.startswith(_COLON):
            return
        self._size += len(line)
        if self._size > self._event_bytes_max:
            self._drop_event()
            return
        name, value = _split_field(line)
        if name == b"data":
            self._data += value + b"\n"
        elif name == b"event":
            self._type = value
        elif name == b"id":
            if b"\x00" not in value:
                self.last_event_id = _decode(value)
        elif name == b"retry" and value.isdigit() and len(value) <= _RETRY_DIGITS_MAX:
            self.retry_ms = int(value)

    def _finish_event(self, events: list[ServerSentEvent]) -> None:
        if self._data:
            data = _decode(self._data)[:-1]
            events.append(ServerSentEvent(_decode(self._type) or "message", data, self.last_event_id))
        self._clear_event()
        self._is_dropping = False

    def _drop_event(self) -> None:
        if not self._is_dropping:
            self._is_dropping = True
            self.dropped += 1
            self._clear_event()

    def _clear_event(self) -> None:
        self._size = 0
        self._type = b""
        self._data.clear()


def _split_field(line: bytes) -> tuple[bytes, bytes]:
    """Return the name and value of a field; a line without a colon is a name."""
    name, _, value = line.partition(_COLON)
    return name, value.removeprefix(b" ")


def _decode(value: bytes | bytearray) -> str:
    return value.decode("utf-8", "replace")
