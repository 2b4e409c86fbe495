"""A request in flight, and how it becomes events.

The relay tells an `Exchange` what passes; it writes `Begin`, `FirstByte` and `End` to its trail, and it ends
exactly once, whatever happens. It waits for one thing, that the journal has the beginning.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.audit.events import Begin, End, FirstByte, request_id
from proxy.audit.redact import redact_query
from proxy.policy.decide import Decision, Forward
from proxy.policy.model import HeaderPairs, RequestHead

if TYPE_CHECKING:
    from proxy.audit.trail import AuditTrail

TAPS_BYTES_MAX = 64 * 1024 * 1024  # of all bodies that are being kept at a time
_STREAM_TYPES = (
    b"text/event-stream",
    b"application/x-ndjson",
    b"application/jsonl",
    b"application/stream+json",
)


class Exchange:
    """One request in flight: what has passed so far, and whether it has ended."""

    __slots__ = (
        "_began_us",
        "_begun",
        "_credentials",
        "_head",
        "_presented",
        "_request_room",
        "_request_tap",
        "_response_headers",
        "_response_room",
        "_response_tap",
        "_response_type",
        "_started_ns",
        "_target_url",
        "_trail",
        "answered",
        "chunks",
        "ended",
        "first_byte_us",
        "gateway_us",
        "ip_address",
        "is_stream",
        "request_size",
        "response_size",
        "route_id",
        "status",
        "ulid",
    )

    def __init__(self, trail: AuditTrail, head: RequestHead, ulid: str, began_us: int) -> None:
        self.ulid = ulid
        self.status: int | None = None
        self.request_size = 0
        self.response_size = 0
        self.chunks = 0
        self.gateway_us = 0
        self.answered = False  # the head of a response has gone to the client
        self.ended = False
        self.ip_address = head.peer  # or, behind a proxy that is trusted, of the client that it names
        self.route_id: str | None = None  # of the route that serves it
        self.first_byte_us: int | None = None
        self.is_stream = False
        self._trail = trail
        self._head = head
        self._began_us = began_us
        self._begun = False
        self._started_ns = trail.monotonic_ns()
        self._response_headers: HeaderPairs | None = None
        self._response_type: bytes | None = None
        self._target_url: str | None = None
        self._presented = trail.scribe.find_presented(head.headers, head.query)
        self._credentials = trail.scribe.pick_credentials(self._presented, head.headers)
        room = trail.policy.body_bytes_max
        # How much more is to be kept of each body, and a little beyond, so that no secret is cut in two.
        self._request_room = self._response_room = (
            room + trail.scribe.find_margin(self._presented) if room else 0
        )
        self._request_tap: bytearray | None = None
        self._response_tap: bytearray | None = None

    @property
    def request_id(self) -> str:
        """Return the id that is shown to the client and sent to the backend."""
        return request_id(self.ulid)

    def elapsed_us(self) -> int:
        """Return microseconds since the request came, by the monotonic clock."""
        return (self._trail.monotonic_ns() - self._started_ns) // 1000

    async def begin(self, decision: Decision, origin: str | None = None) -> None:
        """Write `Begin`; only after this may a byte go upstream. Raises `JournalError` if it must not.

        `origin` is the backend that is asked first, if it is not the route's own.
        """
        if isinstance(decision, Forward):
            self.route_id = decision.compiled.route.route_id
        begin = self._build_begin(decision, origin)
        self._begun = True  # also if the task is cancelled while it waits
        await self._trail.commit(begin)

    def note_origin(self, decision: Forward, origin: str) -> None:
        """Note that another backend than the one that `begin` was told of has answered."""
        self._target_url = self._trail.scribe.write_text(_target_url(decision, origin), self._credentials)

    def refuse(self, decision: Decision, status: int, reason: str, response_size: int) -> None:
        """Write `Begin` and `End` in one go, for a request that the gateway answers itself."""
        self.status = status
        self.response_size = response_size
        self.gateway_us = self.elapsed_us()
        self.end(reason, decision)

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

    def take_response_bytes(self, data: bytes) -> None:
        """Count, and keep a bounded copy of, body bytes on their way to the client."""
        if self.first_byte_us is None:
            self.first_byte_us = self.elapsed_us()
            if self.is_stream:
                # A plain response ends a moment later, and `End` says when its first byte came.
                self._trail.write(FirstByte(self.ulid, self._began_us, self.first_byte_us))
        self.chunks += 1
        self.response_size += len(data)
        if self._response_room > 0:
            self._response_tap = self._keep(self._response_tap, data[: self._response_room])
            self._response_room -= len(data)

    def forget_response(self) -> None:
        """Take back what the backend has said: nothing of it has gone to the client."""
        self.status = self.first_byte_us = self._response_headers = self._response_type = None
        self.is_stream = False
        self.chunks = self.response_size = 0
        self._give_back(self._response_tap)
        self._response_tap = None

    def abandon(self) -> None:
        """Forget a request that `begin` could not write down, and that is therefore refused."""
        self.ended = True
        self._give_back(self._request_tap)
        self._request_tap = None

    def end(self, error: str | None = None, decision: Decision | None = None) -> None:
        """Write `End`, the first time it is called; later calls change nothing.

        A request that failed before it was decided on has no `Begin` yet, and gets one now.
        """
        if not self.ended:
            end = self._build_end(error)
            begin = () if self._begun else (self._build_begin(decision),)
            self.ended = True
            self._trail.write(*begin, end)

    def end_barely(self, error: str) -> None:
        """End with nothing but what cannot fail: where writing the rest down has met a bug."""
        self.ended = True
        head, status = self._head, self.status
        end = End(self.ulid, self._began_us, self.elapsed_us(), status, error, is_stream=self.is_stream)
        if self._begun:
            self._trail.write(end)
            return
        sequence = self._trail.next_sequence()
        begin = Begin(self.ulid, sequence, self._began_us, head.method[:10], "", self.ip_address)
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

    def _take_body(self, tap: bytearray | None, size: int, bytes_max: int) -> bytes | None:
        if tap is None:
            return None
        self._give_back(tap)
        return self._trail.scribe.write_body(tap, bytes_max, self._presented, is_cut=len(tap) < size)

    def _take_response_body(self, tap: bytearray | None, bytes_max: int) -> bytes | None:
        body = self._take_body(tap, self.response_size, bytes_max)
        if body and self._presented and self.is_stream and self._trail.policy.merges_streams:
            return self._trail.scribe.mask_spread(body, self._response_type or b"", self._presented)
        return body

    def _build_begin(self, decision: Decision | None, origin: str | None = None) -> Begin:
        head, trail = self._head, self._trail
        scribe = trail.scribe
        key = decision.key if decision else None
        route_id = target_url = user_agent = None
        if isinstance(decision, Forward):
            route_id = decision.compiled.route.route_id
            target_url = scribe.write_text(_target_url(decision, origin), self._credentials)
        for name, value in head.headers:
            if name == b"user-agent":
                user_agent = scribe.write_text(value, self._credentials)
                break
        path = scribe.write_text(head.path, self._credentials)
        is_shown = trail.policy.include_headers
        headers = scribe.write_headers(head.headers, self._presented) if is_shown else None
        return Begin(
            self.ulid,
            trail.next_sequence(),  # last of all: a number that is taken has to be written
            self._began_us,
            head.method[:10],
            path,
            self.ip_address,
            user_agent,
            key.key_id if key else None,
            key.source_path if key else None,
            route_id,
            target_url,
            headers,
            key.is_previous if key else False,
        )

    def _build_end(self, error: str | None) -> End:
        policy, headers, is_stream = self._trail.policy, self._response_headers, self.is_stream
        request_body, self._request_tap = self._request_tap, None
        response_body, self._response_tap = self._response_tap, None
        scribe = self._trail.scribe
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
            scribe.write_headers(headers, self._presented) if headers and policy.include_headers else None,
            self._take_body(request_body, self.request_size, policy.body_bytes_max),
            self._take_response_body(response_body, response_bytes_max),
            self._response_type.decode("latin-1") if response_body and self._response_type else None,
            # Masking changes lengths: afterwards nobody could tell.
            request_body is not None and self.request_size > min(len(request_body), policy.body_bytes_max),
            response_body is not None and self.response_size > min(len(response_body), response_bytes_max),
            self._target_url,
        )


def _target_url(forward: Forward, origin: str | None) -> bytes:
    target = forward.target
    if b"?" in target:
        path, question, query = target.partition(b"?")
        target = path + question + redact_query(query)
    return (origin or forward.compiled.origin).encode() + target
