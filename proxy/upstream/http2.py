"""One HTTP/2 connection to a backend (RFC 9113): frames in and out by h2, one exchange at a time.

What has come of an answer is told by the rules that hold for HTTP/1.1 (answers.py), and bounded as there.
Nothing is multiplexed: a stream that a slow client does not read would use up the window of all others, and a
connection is used again only after an exchange that was whole on both sides. h2 alone, and not httpx: that
sends the whole body before it reads an answer (RFC 9113 section 8.1 lets one come before), takes an answer
for broken that follows a GOAWAY, as nginx sends one every 1,000 requests, and looks at no field of an answer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import cast

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    DataReceived,
    Event,
    InformationalResponseReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
)
from h2.exceptions import InvalidBodyLengthError, ProtocolError
from h2.settings import SettingCodes, Settings

from proxy.errors import UpstreamError
from proxy.upstream.answers import HEAD_BYTES_MAX, KnownAnswer, check_answer
from proxy.upstream.base import INTERIM_ANSWERS_MAX, NEVER, UNSENT_BYTES_MAX, BaseConnection
from proxy.upstream.faults import BROKE_OFF, NO_HTTP2, TRUNCATED, InvalidAnswerError
from proxy.upstream.ports import Answered
from proxy.upstream.request import CHUNKED, OutgoingRequest, RequestTemplate

WINDOW_BYTES = 1 << 20  # that a backend may send before any of it is taken
_FRAME_HEAD_BYTES = 9  # RFC 9113 section 4.1: length, type, flags, stream
_GOAWAY = 7
_FRAME_BYTES_MAX = 16 * 1024
_WITHOUT_BODY = frozenset((204, 304))
_NOT_HTTP2 = "not valid HTTP/2"


class Http2Connection(BaseConnection):
    """A connection that speaks HTTP/2, with TLS or, known beforehand, without."""

    def __init__(
        self, scheme: str, on_end: Callable[[Http2Connection], object] = lambda _connection: None
    ) -> None:
        super().__init__(on_end)
        self._scheme = scheme.encode()
        self._h2 = _build_state()
        self._unread = bytearray()  # the beginning of a frame
        self._stream = 0
        self._has_started = False
        # Of the body, what the backend has no room for.
        self._unsent: deque[memoryview] = deque()
        self._unsent_bytes = 0
        self._is_whole = self._is_held_back = False

    # What a sending does with it.

    def send(
        self, answered: Answered, request: OutgoingRequest, template: RequestTemplate, timeout_seconds: float
    ) -> None:
        """Begin an exchange: send a request's head with what there is of its body, perhaps all of it."""
        self._answered = answered
        self._timeout_seconds = timeout_seconds
        self._unsent = deque(memoryview(piece) for piece in request.pieces if piece)
        self._unsent_bytes = request.size
        self._is_whole, self._is_sent = request.is_whole, False
        self._interim_answers = self._overhead_bytes = 0
        self._has_head = self._is_head_told = self._is_complete = self._is_held_back = False
        self._has_started = True
        try:
            self._stream = self._h2.get_next_available_stream_id()
            self._is_sent = self._is_whole and not self._unsent
            fields = [*_list_fields(self._scheme, template, request)]
            self._h2.send_headers(self._stream, fields, end_stream=self._is_sent)
        except ProtocolError:  # a head that HTTP/2 has no form of, or no stream left
            self._is_unsent = True
            self._break_off(BROKE_OFF.build_error())
            return
        self._send_unsent()

    def send_body(self, data: bytes) -> None:
        """Send a piece of the body, or keep it until the backend has room."""
        if self._answered is None or not data:
            return
        self._unsent.append(memoryview(data))
        self._unsent_bytes += len(data)
        self._send_unsent()
        if self._unsent_bytes >= UNSENT_BYTES_MAX and not self._is_held_back and self._answered is not None:
            self._is_held_back = True
            self._answered.exchange.hold_body_back()

    def end_body(self) -> None:
        """The body is whole."""
        self._is_whole = True
        if self._answered is not None:
            self._send_unsent()

    def note_whole(self, known: KnownAnswer) -> None:
        """Never called: heads of HTTP/2 are compressed, and none is known by its bytes."""
        raise NotImplementedError

    def close(self) -> None:
        """Close at once, whatever is under way, and tell nobody."""
        self._unsent.clear()
        super().close()

    # What the event loop tells it.

    def data_received(self, data: bytes) -> None:
        answered = self._answered
        try:
            self._take(data)
        except Exception as error:  # noqa: BLE001
            # The outermost boundary: a bug in what is told costs the one exchange.
            self.close()
            if answered is not None:
                answered.exchange.crash(error)

    def pause_writing(self) -> None:
        self._is_full = True
        self._expect()

    def resume_writing(self) -> None:
        self._is_full = False
        if self._answered is not None:
            self._send_unsent()

    # The request's body.

    def _send_unsent(self) -> None:
        """Send as much of the body as the backend has room for, and its end."""
        has_moved = self.deadline == NEVER
        while self._unsent and not self._is_full and (room := self._find_room()) > 0:
            piece = self._unsent.popleft()
            if len(piece) > room:
                self._unsent.appendleft(piece[room:])
                piece = piece[:room]
            self._unsent_bytes -= len(piece)
            self._overhead_bytes, has_moved = 0, True
            self._h2.send_data(self._stream, piece)
            self._write()
        if self._is_whole and not self._unsent and not self._is_sent:
            self._is_sent = has_moved = True
            self._h2.end_stream(self._stream)
        self._write()
        if has_moved:
            self._expect()
        if self._is_held_back and self._unsent_bytes < UNSENT_BYTES_MAX and self._answered is not None:
            self._is_held_back = False
            self._answered.exchange.go_on_with_body()

    def _find_room(self) -> int:
        return min(self._h2.local_flow_control_window(self._stream), self._h2.max_outbound_frame_size)

    def _write(self) -> None:
        # Nothing before the first request: a server that has not chosen HTTP/2 gets none of it.
        if self._has_started and self._transport is not None and (data := self._h2.data_to_send()):
            self._transport.write(data)

    # From frames to an answer.

    def _take(self, data: bytes) -> None:
        if not self._has_head and not self._unread and data.startswith(b"HTTP/1."):
            self._is_unsent = True
            self._break_off(NO_HTTP2.build_error())
            return
        self._overhead_bytes += len(data)
        try:
            for frame in self._cut(data):
                for event in self._h2.receive_data(frame):
                    self._take_event(event)
        except InvalidBodyLengthError:  # it ends short of what its head states, or goes on
            self._fault = (TRUNCATED if self._has_head else BROKE_OFF).build_error()
        except (ProtocolError, ValueError):  # ValueError: of a field that h2 reads without looking at it
            self._fault = self._fault or InvalidAnswerError(_NOT_HTTP2)
        except UpstreamError as fault:
            self._fault = fault
        if self._overhead_bytes > HEAD_BYTES_MAX and not self._is_complete:
            self._fault = self._fault or InvalidAnswerError("too much beside the body")
        if self._answered is not None:
            self._tell(self._answered)
        elif self._fault is not None or not self._may_be_reused or self._overhead_bytes > HEAD_BYTES_MAX:
            self.close()
        else:
            self._write()

    def _cut(self, data: bytes) -> Iterator[bytes]:
        """Yield the frames that have come, but for GOAWAY, after which h2 would take no more."""
        unread = self._unread
        unread += data
        at = 0
        while at + _FRAME_HEAD_BYTES <= len(unread):
            size = int.from_bytes(unread[at : at + 3], "big")
            if size > _FRAME_BYTES_MAX:
                raise InvalidAnswerError(_NOT_HTTP2)
            end = at + _FRAME_HEAD_BYTES + size
            if end > len(unread):
                break
            frame, at = bytes(unread[at:end]), end
            if frame[3] == _GOAWAY:
                self._take_farewell(frame[_FRAME_HEAD_BYTES:])
            else:
                yield frame
        del unread[:at]

    def _take_farewell(self, payload: bytes) -> None:
        """Take a GOAWAY: what the backend says to have seen it may still answer (RFC 9113 section 6.8)."""
        self._may_be_reused = False
        last = int.from_bytes(payload[:4], "big") & 0x7FFFFFFF
        if len(payload) < 8 or (self._answered is not None and last < self._stream):
            self._is_unsent = len(payload) >= 8
            raise BROKE_OFF.build_error()

    def _take_event(self, event: Event) -> None:
        if isinstance(event, DataReceived):
            self._take_data(event)
        elif isinstance(event, ResponseReceived):
            self._take_head(event.headers)
        elif isinstance(event, InformationalResponseReceived):
            self._interim_answers += 1
            if self._interim_answers > INTERIM_ANSWERS_MAX:
                raise InvalidAnswerError("unexpected interim answer")
            self._expect()
        elif isinstance(event, StreamEnded):
            if self._has_head:
                self._is_complete = True
        elif isinstance(event, StreamReset) and not self._is_complete:
            # RFC 9113 sections 8.7 and 7: it says that nothing was done with the request.
            wants_old = event.error_code == ErrorCodes.HTTP_1_1_REQUIRED
            self._is_unsent = wants_old or event.error_code == ErrorCodes.REFUSED_STREAM
            raise (NO_HTTP2 if wants_old else TRUNCATED if self._has_head else BROKE_OFF).build_error()

    def _take_head(self, fields: object) -> None:
        pairs = [(bytes(name), bytes(value)) for name, value in cast("list[tuple[bytes, bytes]]", fields)]
        digits = next((value for name, value in pairs if name == b":status"), b"")
        if len(digits) != 3 or not digits.isdigit():
            raise InvalidAnswerError("bad status")
        self.status, self.headers = int(digits), [pair for pair in pairs if pair[0][:1] != b":"]
        check_answer(self.status, self.headers, version="2")
        self._has_head = True
        self._expect()

    def _take_data(self, event: DataReceived) -> None:
        if event.data:
            self._overhead_bytes = 0
            if self.status not in _WITHOUT_BODY:
                self._pieces.append(event.data)
            self._expect()
        self._h2.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id or 0)

    def _go_on(self) -> None:
        # What is no piece of an answer, such as a ping, gives the backend no more time.
        self._send_unsent()

    def _tell_end(self, answered: Answered) -> None:
        self._write()
        super()._tell_end(answered)

    def _break_off(self, error: UpstreamError | None) -> None:
        self._write()  # why
        super()._break_off(error)

    def _is_untouched(self) -> bool:
        return not self._has_head and self._interim_answers == 0

    def _expect(self) -> None:
        if self._unsent and not self._is_paused:
            self.deadline = self._loop.time() + self._timeout_seconds
        else:
            super()._expect()


def _build_state() -> H2Connection:
    state = H2Connection(
        H2Configuration(client_side=True, header_encoding=None, validate_inbound_headers=True)
    )
    state.local_settings = Settings(
        client=True,
        initial_values={
            SettingCodes.ENABLE_PUSH: 0,
            SettingCodes.INITIAL_WINDOW_SIZE: WINDOW_BYTES,
            SettingCodes.MAX_HEADER_LIST_SIZE: HEAD_BYTES_MAX,
        },
    )
    state.initiate_connection()
    state.increment_flow_control_window(WINDOW_BYTES)
    return state


def _list_fields(
    scheme: bytes, template: RequestTemplate, request: OutgoingRequest
) -> Iterator[tuple[bytes, bytes]]:
    host = next((value for name, value in template.headers if name == b"host"), b"")
    yield b":method", template.method.encode()
    yield b":authority", host
    yield b":scheme", scheme
    yield b":path", template.target
    for name, value in template.headers:
        if name != b"host":
            yield name, request.request_id if name == b"x-request-id" else value
    if request.length is not None and request.length != CHUNKED:
        yield b"content-length", b"%d" % request.length
