"""One HTTP/1.1 connection to a backend (RFC 9112): bytes in and out, one exchange at a time.

It owns the parser and the socket's transport, and is strict: an answer that can be read in two ways, a head
that does not end, or bytes that nobody asked for end the connection, so that no exchange ever sees bytes of
another. A connection is used again only after an answer that was whole and left nothing behind.

llhttp refuses most of what is malformed by itself; what it lets pass is refused in `on_headers_complete`,
with the rules of answers.py. Interim answers (1xx) and trailers are read over and go nowhere. The names
`on_...` are httptools', which calls them while it parses; the exchange is told afterwards, once a read.
"""

from __future__ import annotations

from collections.abc import Callable

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from proxy.errors import UpstreamError
from proxy.recognised import Recognised
from proxy.upstream.answers import HEAD_BYTES_MAX, UNTIL_END, KnownAnswer, check_answer
from proxy.upstream.base import INTERIM_ANSWERS_MAX, NEVER, BaseConnection
from proxy.upstream.faults import (
    EGRESS_PROXY,
    InvalidAnswerError,
    fill,
)
from proxy.upstream.ports import Answered
from proxy.upstream.request import CHUNKED, LAST_CHUNK, OutgoingRequest, RequestTemplate, frame_chunk

_HTTP = b"HTTP/1."
# Of these no head is remembered: without a body, or meant for the gateway if it comes from an egress proxy.
_NEVER_KNOWN = frozenset((204, 304, 407))
_KEEP_ALIVE = b"keep-alive"


class BackendConnection(BaseConnection):
    """A connection that speaks HTTP/1.1."""

    __slots__ = (
        "_answers",
        "_ends_with_connection",
        "_first",
        "_is_head_request",
        "_parser",
        "_proxy_header",
        "_sends_chunks",
        "_target_prefix",
    )

    def __init__(
        self,
        on_end: Callable[[BackendConnection], object] = lambda _connection: None,
        target_prefix: bytes = b"",
        proxy_header: bytes = b"",
        answers: Recognised[KnownAnswer] | None = None,
    ) -> None:
        super().__init__(on_end)
        # What an egress proxy wants of each request: the backend before the target, and a line of its own.
        self._target_prefix = target_prefix
        self._proxy_header = proxy_header
        self._parser: HttpResponseParser | None = None
        self._answers = answers
        self._first: tuple[bytes, int] | None = None  # read of an answer, and where its head ends
        self._is_head_request = self._ends_with_connection = self._sends_chunks = False

    # What a sending does with it.

    def send(
        self, answered: Answered, request: OutgoingRequest, template: RequestTemplate, timeout_seconds: float
    ) -> None:
        """Begin an exchange: write a request's head with what there is of its body, perhaps all of it."""
        if self._target_prefix:
            template = template.for_proxy(self._target_prefix, self._proxy_header)
        self._answered = answered
        # A parser of its own for each answer: what one leaves behind cannot become part of the next.
        self._parser = None
        self._first = None
        self.headers = []
        self._overhead_bytes = self._interim_answers = 0
        self._timeout_seconds = timeout_seconds
        self._is_head_request, self._is_sent = template.method == "HEAD", request.is_whole
        self._sends_chunks = request.length == CHUNKED
        self._has_head = self._is_head_told = self._is_complete = self._ends_with_connection = False
        self._may_be_reused = True
        if self._transport is not None:
            self._transport.write(request.encode(template))
        if self._is_sent and not self._is_paused:
            self.deadline = self._loop.time() + timeout_seconds

    def send_body(self, data: bytes) -> None:
        """Write a piece of the body."""
        if self._transport is not None and not self.is_closed:
            self._transport.write(frame_chunk(data) if self._sends_chunks else data)

    def end_body(self) -> None:
        """The body is whole."""
        if self._sends_chunks and self._transport is not None and not self.is_closed:
            self._transport.write(LAST_CHUNK)
        self._is_sent = True
        self._expect()

    # What the event loop tells it.

    def data_received(self, data: bytes) -> None:
        answered = self._answered
        if answered is None:
            self._may_be_reused = False
            self.close()
            return
        try:
            if self._parser is None and self._answers is not None and self._take_known(answered, data):
                return
            self._take(answered, data)
        except Exception as error:  # noqa: BLE001
            # The outermost boundary: a bug in what is told costs the one exchange.
            answered.exchange.crash(error)

    def eof_received(self) -> bool:
        if self._has_head and self._ends_with_connection and self._answered is not None:
            self._is_complete = True
            self._may_be_reused = False
            answered, self._answered = self._answered, None
            self._tell_end(answered)
        return False

    def pause_writing(self) -> None:
        self._is_full = True
        self._expect()
        if self._answered is not None:
            self._answered.exchange.hold_body_back()

    def resume_writing(self) -> None:
        self._is_full = False
        self._expect()
        if self._answered is not None:
            self._answered.exchange.go_on_with_body()

    # From bytes to an answer.

    def _take_known(self, answered: Answered, data: bytes) -> bool:
        """Take a whole answer whose head is known; False if this is none, or none that can be told so."""
        end = data.find(b"\r\n\r\n")
        if end <= 0 or not self._is_sent or self._is_head_request or self._answers is None:
            return False
        found = self._answers.find("", data, end)
        if found is None:
            self._first = (data, end)
            return False
        known, length = found
        return len(data) - end - 4 == length and answered.take_whole(known, data[end + 4 :])

    def note_whole(self, known: KnownAnswer) -> None:
        """The exchange is over: its answer was known and whole."""
        self._answered = None
        self._is_complete = True
        self.idle_seconds_max = known.idle_seconds_max
        self.deadline = self.total_deadline = NEVER
        if self._is_paused:
            self.resume()

    def _remember(self, data: bytes, end: int) -> None:
        """Remember the head of an answer that came whole in one read, if it is like others may be."""
        if self._answers is None or self.status in _NEVER_KNOWN or not self._may_be_reused:
            return
        if key := self._answers.wants("", data, end, has_length=True):
            self._answers.remember(key, KnownAnswer(self.status, self.headers, self.idle_seconds_max))

    def _take(self, answered: Answered, data: bytes) -> None:
        if self._parser is None:
            self._parser = HttpResponseParser(self)
        elif self._first is not None:
            self._first = None  # it has not come in one read
        if not self._has_head:
            self._check_beginning(data)
        self._overhead_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            self._fault = self._fault or InvalidAnswerError("not HTTP/1.1")
        if self._overhead_bytes > HEAD_BYTES_MAX and not self._is_complete:
            self._fault = self._fault or InvalidAnswerError("too much beside the body")
        self._tell(answered)

    def _tell_end(self, answered: Answered) -> None:
        if self._first is not None and self._fault is None:
            self._remember(*self._first)
        super()._tell_end(answered)

    def _check_beginning(self, data: bytes) -> None:
        # llhttp takes `ICE/1.1 200` and a NUL in the reason, which nobody else does.
        if self._overhead_bytes == 0 and not data.startswith(_HTTP[: len(data)]):
            self._fault = InvalidAnswerError("not HTTP/1.1")
        elif 0 in data and 0 in data.partition(b"\r\n\r\n")[0]:
            self._fault = InvalidAnswerError("NUL in the head")

    def on_message_begin(self) -> None:
        if self._is_complete:
            self._may_be_reused = False  # a second answer to one request
        else:
            self.headers = []

    def on_header(self, name: bytes, value: bytes) -> None:
        # After the head it is a trailer, which may be dropped (RFC 9110 section 6.5.1).
        if not self._has_head:
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        if self._is_complete or self._fault is not None:
            return
        assert self._parser is not None
        status = self._parser.get_status_code()
        if 100 <= status < 200:
            self._interim_answers += 1
            # 101 would change the protocol, which nobody has asked for (RFC 9110 section 15.2.2).
            if status == 101 or self._interim_answers > INTERIM_ANSWERS_MAX:
                self._fault = InvalidAnswerError("unexpected interim answer")
            return
        try:
            length = check_answer(status, self.headers, version=self._parser.get_http_version())
        except UpstreamError as fault:
            self._fault = fault
            return
        if status == 407 and self._target_prefix:  # RFC 9110 section 15.5.8: only a proxy says so
            self._fault = fill(EGRESS_PROXY, "it answered 407").build_error()
            return
        self._ends_with_connection = length == UNTIL_END
        if length >= 0:
            self._restate_length(b"%d" % length)
        self.status = status
        self._has_head = True
        if not self._parser.should_keep_alive():
            self._may_be_reused = False
        self.idle_seconds_max = self._read_keep_alive()
        if self._is_head_request:
            # The parser would wait for a body that Content-Length only describes.
            self._is_complete = True

    def on_body(self, body: bytes) -> None:
        if self._is_complete or self._fault is not None:
            self._may_be_reused = False
            return
        self._overhead_bytes = 0
        self._pieces.append(body)

    def on_message_complete(self) -> None:
        if self._has_head:
            self._is_complete = True

    def _restate_length(self, digits: bytes) -> None:
        for at, (name, value) in enumerate(self.headers):
            if value != digits and len(name) == 14 and name.lower() == b"content-length":
                self.headers[at] = (name, digits)

    def _read_keep_alive(self) -> float:
        """Return for how many seconds the backend says it keeps an idle connection."""
        for name, value in self.headers:
            if len(name) == 10 and name.lower() == _KEEP_ALIVE:
                for parameter in value.lower().replace(b" ", b"").split(b","):
                    key, _, number = parameter.partition(b"=")
                    if key == b"timeout" and number.isdigit():
                        return int(number[:9])
        return NEVER
