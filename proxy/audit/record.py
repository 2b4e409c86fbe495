"""A request in flight as its row will have it, and how that becomes events.

The gateway's exchange tells a `Record` what passes; it writes `Begin`, `FirstByte` and `End` to its trail,
the last exactly once, whatever happens. What a head says is written down once: a request whose head was
recognised brings its texts along.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from proxy.audit.events import BriefBegin, End, FirstByte, Head, encode_head, request_id
from proxy.audit.masking.names import redact_query
from proxy.audit.masking.spellings import SecretSet
from proxy.audit.masking.text import REFUSED_HEADERS_BYTES_MAX, utf8_size
from proxy.policy.decide import Forward
from proxy.policy.model import ApiKey, HeaderPairs, RequestHead

if TYPE_CHECKING:
    from proxy.audit.masking.text import TextWriter
    from proxy.audit.trail import AuditPolicy, AuditTrail, Waiter

TAPS_BYTES_MAX = 64 * 1024 * 1024  # of all bodies that are being kept at a time
_LENGTH_FIELD = '["content-length","'
_STREAM_TYPES = (
    b"text/event-stream",
    b"application/x-ndjson",
    b"application/jsonl",
    b"application/stream+json",
)


class HeadTexts(NamedTuple):
    """What the head of a request says in its row, masked: the same for every request with the same head.

    `headers` are as the row has them, or None if the trail keeps none; where the head has a Content-Length
    they end before its digits, and `headers_rest` is what follows those. `presented` are secrets of the
    request that are looked for in what is written later, and `credentials` those of them that are looked for
    in short texts, too.
    """

    method: str
    path: str
    user_agent: str | None
    ip_address: str
    headers: str | None
    headers_rest: str | None
    presented: SecretSet
    credentials: SecretSet


class Prepared(Protocol):
    """What is the same in many answers."""

    @property
    def headers(self) -> str | None:
        """The row's headers, up to the digits of the length if `headers_rest` is not None."""

    @property
    def headers_rest(self) -> str | None:
        """What follows those."""

    @property
    def content_type(self) -> bytes | None:
        """The type of the answer."""


class Record:
    """One request's row in the making: what has passed so far, and whether it has ended."""

    __slots__ = (
        "_began_us",
        "_begun",
        "_head",
        "_length",
        "_request_room",
        "_request_tap",
        "_response_headers",
        "_response_room",
        "_response_tap",
        "_response_text",
        "_response_type",
        "_started_ns",
        "_target_url",
        "_trail",
        "chunks",
        "ended",
        "first_byte_us",
        "gateway_us",
        "given_id",
        "ip_address",
        "is_stream",
        "request_size",
        "response_size",
        "route_id",
        "status",
        "texts",
        "ulid",
        "uuid",
    )

    def __init__(
        self,
        trail: AuditTrail,
        head: RequestHead,
        ids: tuple[str, str],
        began_us: int,
        texts: HeadTexts | None = None,
        length: str = "",
    ) -> None:
        self.ulid, self.uuid = ids
        self.given_id: str | None = None  # the request's id, if a trusted proxy has given it one
        self.status: int | None = None
        self.request_size = 0
        self.response_size = 0
        self.chunks = 0
        self.gateway_us = 0
        self.ended = False
        self.ip_address = head.peer  # or, behind a proxy that is trusted, of the client that it names
        self.route_id: str | None = None  # of the route that serves it
        self.first_byte_us: int | None = None
        self.is_stream = False
        self.texts = texts
        self._length = length if texts is not None and texts.headers_rest is not None else ""
        self._trail = trail
        self._head = head
        self._began_us = began_us
        self._begun = False
        self._started_ns = trail.monotonic_ns()
        self._response_headers: HeaderPairs | None = None
        self._response_type: bytes | None = None
        self._response_text: str | None = None  # its headers, if they are written down already
        self._target_url: str | None = None
        # How much more is to be kept of each body, and a little beyond, so that no secret is cut in two.
        self._request_room = self._response_room = 0
        if room := trail.policy.body_bytes_max:
            self._request_room = self._response_room = room + trail.writer.find_margin(
                self.find_texts().presented
            )
        self._request_tap: bytearray | None = None
        self._response_tap: bytearray | None = None

    @property
    def request_id(self) -> str:
        """Return the id that is shown to the client."""
        return self.given_id or request_id(self.ulid)

    def elapsed_us(self) -> int:
        """Return microseconds since the request came, by the monotonic clock."""
        return (self._trail.monotonic_ns() - self._started_ns) // 1000

    def find_texts(self) -> HeadTexts:
        """Return what the head says in the row; it is written now if it has not been."""
        texts = self.texts
        if texts is None:
            head, policy = self._head, self._trail.policy
            texts = self.texts = _write_head(self._trail.writer, head, self.ip_address, policy)
            self._length = _find_length(head.headers) if texts.headers_rest is not None else ""
        return texts

    def begin(self, route_id: str, head: bytes, waiter: Waiter) -> None:
        """Write the beginning; `waiter.recorded` is called when the journal has it, or cannot take it.

        `head` is as `encode_head` returns it. Only after that may a byte go upstream.
        """
        self.route_id = route_id
        begin = self._build_begin(head)
        self._begun = True
        self._trail.commit(begin, waiter)

    def encode_head(
        self, key: ApiKey | None, route_id: str | None = None, target_url: str | None = None
    ) -> bytes:
        """Return what the beginning says besides its numbers: the same for every request with the same head.

        `target_url` is as `write_target` returns it.
        """
        texts = self.find_texts()
        headers, rest = texts.headers, texts.headers_rest or ""
        if route_id is None and headers is not None and utf8_size(headers + rest) > REFUSED_HEADERS_BYTES_MAX:
            # Nobody has let this request in: it may not fill the disk.
            headers, rest = self._write_few_headers(), ""
        return encode_head(
            Head(
                texts.method,
                texts.path,
                texts.ip_address,
                texts.user_agent,
                key.key_id if key else None,
                key.source_path if key else None,
                route_id,
                target_url,
                headers,
                rest,
                key.is_previous if key else False,
            )
        )

    def write_target(self, decision: Forward, origin: str) -> str:
        """Return the URL that a backend is asked for, as the row has it."""
        return self._trail.writer.write_text(_target_url(decision, origin), self.find_texts().credentials)

    def note_target(self, target_url: str) -> None:
        """Note that another backend than the one that `begin` was told of has answered."""
        self._target_url = target_url

    def refuse(self, key: ApiKey | None, status: int, reason: str | None, response_size: int) -> None:
        """Write `Begin` and `End` in one go, for a request that the gateway answers itself."""
        self.status = status
        self.response_size = response_size
        self.gateway_us = self.elapsed_us()
        self.end(reason, key)

    def take_request_bytes(self, data: bytes) -> None:
        """Count, and keep a bounded copy of, body bytes on their way to the backend."""
        self.request_size += len(data)
        if self._request_room > 0:
            self._request_tap = self._keep(self._request_tap, data[: self._request_room])
            self._request_room -= len(data)

    def take_response_head(self, status: int, headers: HeaderPairs) -> None:
        """Note the backend's status and headers, their names in lower case; they are masked when written."""
        self.status = status
        self._response_headers = headers
        for name, value in headers:
            if name == b"content-type":
                self._response_type = value
                self.is_stream = value.lower().startswith(_STREAM_TYPES)
        if self.is_stream and self._response_room:
            policy = self._trail.policy
            self._response_room += policy.stream_bytes_max - policy.body_bytes_max

    def take_response_bytes(self, data: bytes, pieces: int = 1) -> None:
        """Count, and keep a bounded copy of, body bytes on their way to the client, which came in pieces."""
        if self.first_byte_us is None:
            self.first_byte_us = self.elapsed_us()
            if self.is_stream:
                # A plain response ends a moment later, and `End` says when its first byte came.
                self._trail.write(FirstByte(self.ulid, self._began_us, self.first_byte_us))
        self.chunks += pieces
        self.response_size += len(data)
        if self._response_room > 0:
            self._response_tap = self._keep(self._response_tap, data[: self._response_room])
            self._response_room -= len(data)

    @property
    def presents_secrets(self) -> bool:
        """Tell whether the request has secrets of its own, which its answer may repeat."""
        texts = self.texts or self.find_texts()
        return bool(texts.presented)

    def is_stream_type(self, content_type: bytes | None) -> bool:
        """Tell whether an answer of such a type is an event stream."""
        return content_type is not None and content_type.lower().startswith(_STREAM_TYPES)

    def split_response_headers(self, headers: HeaderPairs) -> tuple[str | None, str | None]:
        """Return the row's headers of an answer in two parts, with the digits of its length left out between
        them.
        """
        if not self._trail.policy.include_headers:
            return None, None
        return _split_at_length(self._write_response_headers(headers))

    def take_whole(self, status: int, prepared: Prepared, body: bytes) -> bytes:
        """Note a whole answer like others; return the lines of its head that say which it is, and what it
        took.
        """
        elapsed_us = (self._trail.monotonic_ns() - self._started_ns) // 1000
        self.status, self.response_size = status, len(body)
        self._response_type = prepared.content_type
        if body:
            self.first_byte_us, self.chunks = elapsed_us, 1
            if self._response_room > 0:
                self._response_tap = self._keep(None, body[: self._response_room])
        if prepared.headers is not None and prepared.headers_rest is not None:
            self._response_text = f"{prepared.headers}{len(body)}{prepared.headers_rest}"
        else:
            self._response_text = prepared.headers
        return b"x-request-id: %b\r\nserver-timing: gateway;dur=%.3f, upstream;dur=%.3f\r\n" % (
            (self.given_id or "req_" + self.ulid).encode(),
            self.gateway_us / 1000,
            (elapsed_us - self.gateway_us) / 1000,
        )

    def forget_response(self) -> None:
        """Take back what the backend has said: nothing of it has gone to the client."""
        self.status = self.first_byte_us = self._response_headers = self._response_type = None
        self._response_text = None
        self.is_stream = False
        self.chunks = self.response_size = 0
        self._give_back(self._response_tap)
        self._response_tap = None

    def abandon(self) -> None:
        """Forget a request that could not be written down, and that is therefore refused."""
        self.ended = True
        self._give_back(self._request_tap)
        self._request_tap = None

    def end(self, error: str | None = None, key: ApiKey | None = None) -> None:
        """Write `End`, the first time it is called; later calls change nothing.

        A request that failed before it was decided on has no `Begin` yet, and gets one now.
        """
        if not self.ended:
            end = self._build_end(error)
            begin = () if self._begun else (self._build_begin(self.encode_head(key)),)
            self.ended = True
            has_bodies = end.request_body is not None or end.response_body is not None
            self._trail.write(*begin, end, at_once=has_bodies)

    def end_barely(self, error: str) -> None:
        """End with nothing but what cannot fail: where writing the rest down has met a bug."""
        self.ended = True
        head, status = self._head, self.status
        end = End(self.ulid, self._began_us, self.elapsed_us(), status, error, is_stream=self.is_stream)
        if self._begun:
            self._trail.write(end)
            return
        self._trail.sequence += 1
        block = encode_head(Head(head.method[:10], "", self.ip_address))
        begin = BriefBegin(self.ulid, self._trail.sequence, self._began_us, block)
        self._trail.write(begin, end)

    def _keep(self, tap: bytearray | None, data: bytes) -> bytearray | None:
        """Return a tap with more in it; nothing more is kept if all taps together hold too much."""
        trail = self._trail
        if trail.tapped_bytes + len(data) > TAPS_BYTES_MAX:
            self._request_room = self._response_room = 0
            return tap
        trail.tapped_bytes += len(data)
        if tap is None:
            return bytearray(data)
        tap += data
        return tap

    def _give_back(self, tap: bytearray | None) -> None:
        if tap is not None:
            self._trail.tapped_bytes -= len(tap)

    def _take_body(self, tap: bytearray, size: int, bytes_max: int) -> bytes:
        self._give_back(tap)
        return self._trail.writer.write_body(
            tap, bytes_max, self.find_texts().presented, is_cut=len(tap) < size
        )

    def _take_response_body(self, tap: bytearray, bytes_max: int) -> bytes:
        body = self._take_body(tap, self.response_size, bytes_max)
        presented = self.find_texts().presented
        if body and presented and self.is_stream and self._trail.policy.merges_streams:
            return self._trail.writer.mask_spread(body, self._response_type or b"", presented)
        return body

    def _build_begin(self, head: bytes) -> BriefBegin:
        self._trail.sequence += 1  # a number that is taken has to be written
        return BriefBegin(
            self.ulid, self._trail.sequence, self._began_us, head, self._length or None, self.given_id
        )

    def _write_few_headers(self) -> str:
        """Return the first of the headers, all of them in one text."""
        self._length = ""
        presented = self.find_texts().presented
        return self._trail.writer.write_headers(
            self._head.headers, presented, bytes_max=REFUSED_HEADERS_BYTES_MAX
        )

    def _write_response_headers(self, headers: HeaderPairs) -> str:
        return self._trail.writer.write_headers(
            headers, self.find_texts().presented, bytes_max=self._trail.policy.headers_bytes_max
        )

    def _build_end(self, error: str | None) -> End:
        policy, headers, is_stream = self._trail.policy, self._response_headers, self.is_stream
        request_body, self._request_tap = self._request_tap, None
        response_body, self._response_tap = self._response_tap, None
        response_bytes_max = policy.stream_bytes_max if is_stream else policy.body_bytes_max
        return End(
            self.ulid,
            self._began_us,
            self.elapsed_us(),
            self.status,
            error,
            self.first_byte_us,
            self.gateway_us,
            self.request_size,
            self.response_size,
            is_stream,
            self.chunks if is_stream else 0,
            self._response_text
            or (self._write_response_headers(headers) if headers and policy.include_headers else None),
            self._take_body(request_body, self.request_size, policy.body_bytes_max) if request_body else None,
            self._take_response_body(response_body, response_bytes_max) if response_body else None,
            self._response_type.decode("latin-1") if response_body and self._response_type else None,
            # Masking changes lengths: afterwards nobody could tell.
            request_body is not None and self.request_size > min(len(request_body), policy.body_bytes_max),
            response_body is not None and self.response_size > min(len(response_body), response_bytes_max),
            self._target_url,
        )


def _write_head(writer: TextWriter, head: RequestHead, ip_address: str, policy: AuditPolicy) -> HeadTexts:
    presented = writer.find_presented(head.headers, head.query)
    credentials = writer.pick_credentials(presented, head.headers)
    user_agent = next((value for name, value in head.headers if name == b"user-agent"), None)
    headers = rest = None
    if policy.include_headers:
        text = writer.write_headers(head.headers, presented, bytes_max=policy.headers_bytes_max)
        headers, rest = _split_at_length(text)
    return HeadTexts(
        head.method[:10],
        writer.write_text(head.path, credentials),
        None if user_agent is None else writer.write_text(user_agent, credentials),
        ip_address,
        headers,
        rest,
        presented,
        credentials,
    )


def _split_at_length(headers: str) -> tuple[str, str | None]:
    """Return a text of headers in two parts, with the digits of Content-Length left out between them, if it
    has any.
    """
    before, name, after = headers.partition(_LENGTH_FIELD)
    digits = len(after) - len(after.lstrip("0123456789"))
    return (before + name, after[digits:]) if name and digits else (headers, None)


def _find_length(headers: HeaderPairs) -> str:
    for name, value in headers:
        if name == b"content-length":
            return value.decode("latin-1")
    return ""


def _target_url(forward: Forward, origin: str | None) -> bytes:
    target = forward.target
    if b"?" in target:
        path, question, query = target.partition(b"?")
        target = path + question + redact_query(query)
    return (origin or forward.compiled.origin).encode() + target
