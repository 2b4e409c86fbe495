"""One request between its client and its backend: a state machine that is called with what has happened.

No coroutine, no queue and no timer: the connections on both sides and the journal call it, and it calls them.
It ends exactly once, in `_end`, whatever happens and in whichever order.

| event | DECIDING | RECORDING | SENDING | ANSWERING |
|---|---|---|---|---|
| `start` | decided: RECORDING, or refused; a rule that needs the body collects it | | | |
| `take_body` | collected for the rule, bounded | kept | sent on | sent on |
| `take_body_end` | decided again | noted | sent on | sent on |
| `fail_body` | 400, 408 | the same | the same, the backend cancelled | no more is sent on |
| `recorded` | | SENDING, or 503 | | |
| `take_head` | | | ANSWERING, sent to the client | |
| `take_answer` | | | | sent to the client |
| `take_whole` | | | the three above and below in one | |
| `take_answer_end` | | | | the end |
| `fail` | | | 502, 504, 503 | client broken off |
| `leave` | the end | the end | backend cancelled, or drained | the same |
| `hold_back`, `go_on` | noted | noted | answer paused, resumed | the same |
| `interrupt` | 503 | 503 | 503, the backend cancelled | client broken off |
| `crash` | 500 | 500 | 500, the backend cancelled | client broken off |

In OVER everything is passed over. A row's `Begin` is in the journal before anything is sent to a backend; an
answer that was cut off breaks the client's connection, and is never ended as if it were whole.
"""

from __future__ import annotations

import asyncio
import logging
from enum import IntEnum
from functools import partial
from typing import TYPE_CHECKING

from proxy.audit.events import request_id
from proxy.audit.record import Record
from proxy.errors import JournalError, UpstreamError, UpstreamInvalidError, UpstreamTruncatedError
from proxy.gateway import replies
from proxy.gateway.heads import KnownHead, RawHead
from proxy.gateway.keepalive import StreamKeepAlive, may_hold_comments
from proxy.gateway.prepared import PreparedAnswer, prepare_answer
from proxy.gateway.replies import Reply
from proxy.http1.faults import Fault
from proxy.http1.handler import ABORTED, TIMED_OUT, Client
from proxy.policy.bodies import too_large_message
from proxy.policy.decide import Answer, Decision, Forward, NeedBody, Refuse
from proxy.policy.forwarded import Forwarded
from proxy.policy.headers import build_response_headers
from proxy.policy.limits import Verdict
from proxy.policy.model import ApiKey, HeaderPairs, RequestHead
from proxy.policy.model_lists import narrow_answer
from proxy.policy.redirects import rewrite_redirects
from proxy.recognised import HeadKey
from proxy.upstream.answers import KnownAnswer
from proxy.upstream.balance import Backend
from proxy.upstream.request import CHUNKED, OutgoingRequest, RequestTemplate, build_template
from proxy.upstream.sending import Sending
from proxy.upstream.upstream import Plan

if TYPE_CHECKING:
    from proxy.gateway.gateway import Gateway

INTERNAL_ERROR, INTERRUPTED, CLOSED = "internal_error", "interrupted", "client_closed"
# A body of which a rule wants to know something is decided on in a thread, if it is longer than this.
THREAD_BYTES_MIN = 64 * 1024
# The pieces of a body are joined until they are this long: a piece of one byte takes the memory of forty.
PIECE_BYTES_MIN = 16 * 1024
# A body that a rule waits for has `proxy.client_timeout` in all, and a second more for so many bytes.
COLLECTING_BYTES_PER_SECOND = 64 * 1024
_INSPECTED, _WHOLE = "proxy.inspect_body_size", "proxy.max_body_size"
# Headers that say something of a body which has been changed.
_OF_BODY = frozenset(
    (b"content-length", b"content-encoding", b"content-md5", b"content-digest", b"digest", b"etag")
)
_EVENT_ENDS = (b"\n\n", b"\r\r", b"\r\n\r\n")
_TAIL_BYTES = 4
_log = logging.getLogger(__name__)


class NoClient:
    """What is left of a client that has left, or has been answered: everything goes nowhere."""

    is_plain = False

    def send_whole(self, head: bytes, body: bytes) -> None:
        """Send nothing."""

    def send_head(self, status: int, headers: HeaderPairs) -> None:
        """Send no head."""

    def send_body(self, data: bytes) -> None:
        """Send no body."""

    def end(self) -> None:
        """End nothing."""

    def break_off(self) -> None:
        """Break nothing off."""

    def forbid_reuse(self) -> None:
        """Forbid nothing."""

    def want_body(self) -> None:
        """Want nothing."""

    def pause(self) -> None:
        """Pause nothing."""

    def resume(self) -> None:
        """Resume nothing."""


NO_CLIENT = NoClient()


class State(IntEnum):
    """Where an exchange is."""

    DECIDING = 0
    RECORDING = 1
    SENDING = 2
    ANSWERING = 3
    OVER = 4


class Exchange:
    """One request in flight. `client` is whoever asks, `record` the row in the making."""

    __slots__ = (
        "_backend",
        "_collect_deadline",
        "_collected",
        "_fault",
        "_forward",
        "_forwarded",
        "_gateway",
        "_head",
        "_head_key",
        "_inspected_bytes",
        "_is_answered",
        "_is_body_stopped",
        "_is_collecting",
        "_is_held_back",
        "_is_released",
        "_is_whole",
        "_keep_alive",
        "_key",
        "_known",
        "_left",
        "_length",
        "_pieces",
        "_plan",
        "_plan_error",
        "_raw",
        "_sending",
        "_sent_id",
        "_status_headers",
        "_tail",
        "_time_us",
        "_verdict",
        "client",
        "record",
        "state",
    )

    def __init__(
        self,
        gateway: Gateway,
        client: Client,
        head: RequestHead,
        record: Record,
        time_us: int,
        length: int | None,
        fault: Fault | None = None,
        raw: RawHead | None = None,
        known: KnownHead | None = None,
    ) -> None:
        self.client: Client = client  # `NO_CLIENT` once nothing may be sent to it any more
        self.record = record
        self.state = State.DECIDING
        self._gateway = gateway
        self._head = head
        self._time_us = time_us
        self._length = length  # of the body in bytes, `CHUNKED`, or None if there is none
        self._fault = fault
        self._raw = raw
        self._known = known
        self._head_key: HeadKey | None = None
        self._key: ApiKey | None = None
        self._forward: Forward | None = None
        self._forwarded: Forwarded | None = None
        self._verdict: Verdict | None = None  # of the limit, for whatever the client is answered
        # The request's body.
        self._pieces: list[bytes] = []  # that are not sent on yet
        self._is_whole = self._is_collecting = self._is_body_stopped = False
        self._collect_deadline = 0.0
        self._inspected_bytes = 0
        # The backend's side.
        self._plan: Plan | None = None
        self._plan_error: UpstreamError | None = None
        self._backend: Backend | None = None
        self._sending: Sending | None = None
        self._sent_id = b""  # by which the backend knows the request
        # The answer.
        self._is_held_back = self._is_answered = self._is_released = False
        self._left: str | None = None  # why the client is gone, while its answer is read all the same
        self._status_headers: tuple[int, HeaderPairs] | None = None  # of one that is sent when it is whole
        self._collected: list[bytes] = []
        self._keep_alive: StreamKeepAlive | None = None
        self._tail: bytes | None = (
            None  # of an event stream: between two events where it is one of their ends
        )

    # From its head to a decision.

    def start(self) -> None:
        """The head has come: decide."""
        gateway = self._gateway
        if self._fault is not None:
            fault = self._fault
            self._refuse(Refuse(fault.status, "bad_request", fault.message, reason=fault.reason))
        elif gateway.counters.in_flight > gateway.bounds.in_flight_max:
            self._turn_away(replies.OVERLOADED)
        elif self._known is not None:
            self._start_known(self._known)
        else:
            self._forwarded = gateway.find_forwarded(self._head, self.record)
            cors = gateway.cors
            if cors is not None and (answer := cors.answer_preflight(self._head)) is not None:
                self._answer_itself(204, answer)
            else:
                gateway.heads.decided += 1
                self._take_decision(self._decide(None))

    def _start_known(self, known: KnownHead) -> None:
        self._forwarded = known.forwarded
        if known.forward is None:
            self._collect(known.key)
        elif self._admit(known.key):
            self._go_on(known.forward)

    def _decide(self, body: bytes | None) -> Decision:
        gateway = self._gateway
        return gateway.decide(self._head, self._time_us, self.record.uuid, body, self._forwarded)

    def _take_decision(self, decision: Decision) -> None:
        if isinstance(decision, Refuse):
            self._refuse(decision)
            return
        if isinstance(decision, Answer):
            self._key = decision.key
            self._answer_itself(decision.status, decision.headers)
            return
        self._head_key = self._find_head_key()
        if isinstance(decision, NeedBody):
            self._collect(decision.key)
        elif self._admit(decision.key):
            self._go_on(decision)
        self._raw = None

    def _find_head_key(self) -> HeadKey | None:
        """Return under what this head is to be remembered, if it is."""
        if self._raw is None or self._known is not None or self.record.given_id is not None:
            return None
        return self._gateway.heads.choose_key(self._raw, self._head)

    def _admit(self, key: ApiKey) -> bool:
        """Count the request against its key's limit, once; refuse it if that is used up."""
        self._key = key
        limits = self._gateway.limits
        verdict = limits.admit(key) if limits is not None else None
        if verdict is None:
            return True
        self._verdict = verdict
        if not verdict.is_admitted:
            self._turn_away(replies.RATE_LIMITED)
        return verdict.is_admitted

    def _collect(self, key: ApiKey) -> None:
        """Wait for a body that a rule needs. The limit is asked before: a refused body has cost its key."""
        if not self._admit(key):
            return
        gateway = self._gateway
        if self._head_key is not None:
            self._remember(None, None)
        length = self._length
        if length is not None and length > gateway.bounds.inspected_bytes_max:
            self._turn_away(self._too_large(gateway.bounds.inspected_bytes_max, _INSPECTED, length))
            return
        self._is_collecting = True
        self._collect_deadline = gateway.loop.time() + gateway.bounds.client_timeout_seconds
        if self._is_whole or length is None:
            self._decide_with_body()
        else:
            self.client.want_body()

    def _too_large(self, bytes_max: int, setting: str, size: int | None = None) -> Reply:
        return Reply(413, "body_too_large", too_large_message(bytes_max, setting, size))

    def _collect_piece(self, data: bytes) -> None:
        gateway = self._gateway
        self.record.take_request_bytes(data)
        size = self.record.request_size
        if size > gateway.bounds.inspected_bytes_max:
            self._turn_away(self._too_large(gateway.bounds.inspected_bytes_max, _INSPECTED))
            return
        if not gateway.reserve_memory(len(data)):
            self._turn_away(replies.OVERLOADED)
            return
        self._inspected_bytes += len(data)
        _add_piece(self._pieces, data)
        if gateway.loop.time() > self._collect_deadline + size / COLLECTING_BYTES_PER_SECOND:
            self.client.forbid_reuse()
            self.fail_body(TIMED_OUT)

    def _decide_with_body(self) -> None:
        self._is_collecting = False
        body = b"".join(self._pieces)
        self._pieces = [body] if body else []
        if len(body) <= THREAD_BYTES_MIN:
            self._take_decision_with_body(self._decide(body))
            return
        # Others are served meanwhile.
        deciding = self._gateway.loop.run_in_executor(None, partial(self._decide, body))
        deciding.add_done_callback(self._take_late_decision)

    def _take_late_decision(self, deciding: asyncio.Future[Decision]) -> None:
        if self.state is not State.DECIDING:
            return
        try:
            self._take_decision_with_body(deciding.result())
        except Exception as error:  # noqa: BLE001
            # The outermost boundary of a callback.
            self.crash(error)

    def _take_decision_with_body(self, decision: Decision) -> None:
        if isinstance(decision, Refuse):
            self._refuse(decision)
            return
        assert isinstance(decision, Forward)
        if decision.body is not None:
            self._pieces = [decision.body] if decision.body else []
            self._length = len(decision.body) if decision.body or self._length is not None else None
        elif self._length == CHUNKED:
            self._length = sum(map(len, self._pieces))
        self._is_whole = True
        self._go_on(decision, with_body=True)

    def _go_on(self, forward: Forward, *, with_body: bool = False) -> None:
        """Record a request that is to be forwarded; `recorded` is next."""
        gateway, record, known = self._gateway, self.record, self._known
        if self._length is not None and not with_body and self._length > gateway.bounds.body_bytes_max:
            self._turn_away(self._too_large(gateway.bounds.body_bytes_max, _WHOLE, self._length))
            return
        self._forward = forward
        route_id, origin = forward.compiled.route.route_id, forward.compiled.origin
        written = known.record_head if known is not None else None
        try:
            plan = self._plan = gateway.upstream.find_plan(forward.compiled)
        except UpstreamError as error:  # of a route that cannot be served as it is
            self._plan_error = error
        else:
            backend = self._backend = gateway.upstream.choose(plan)
            if len(plan.group.backends) > 1:
                origin, written = backend.origin, None
        if written is None:
            written = record.encode_head(forward.key, route_id, record.write_target(forward, origin))
        if self._head_key is not None and not with_body:
            self._remember(forward, written)
        self.state = State.RECORDING
        record.begin(route_id, written, self)

    def _remember(self, forward: Forward | None, record_head: bytes | None) -> None:
        head, raw, key = self._head, self._raw, self._key
        assert self._head_key is not None
        assert raw is not None
        assert key is not None
        template = build_template(head.method, forward.target, forward.headers) if forward else None
        known = KnownHead(
            head,
            key,
            forward,
            self._forwarded,
            template,
            self.record.find_texts(),
            record_head,
            raw.snapshot,
            raw.mask,
        )
        self._gateway.heads.remember(self._head_key, known)
        self._head_key = None
        self._known = known if forward is not None else None

    # The request's body.

    def take_body(self, data: bytes) -> None:
        """A piece of the body has come."""
        if self._is_collecting:
            self._collect_piece(data)
            return
        state = self.state
        if state is State.OVER or self._is_body_stopped:
            return
        self.record.take_request_bytes(data)
        if self.record.request_size > self._gateway.bounds.body_bytes_max:
            self._fail(self._too_large(self._gateway.bounds.body_bytes_max, _WHOLE))
        elif state is State.SENDING or state is State.ANSWERING:
            assert self._sending is not None
            self._sending.send_body(data)
        else:
            _add_piece(self._pieces, data)

    def take_body_end(self) -> None:
        """The body is whole."""
        self._is_whole = True
        if self._is_collecting:
            self._decide_with_body()
        elif self._sending is not None and not self._is_body_stopped:
            self._sending.end_body()

    def fail_body(self, reason: str) -> None:
        """The body will never be whole, but the client can still be answered."""
        if self.state is State.ANSWERING:
            self._is_body_stopped = True
        elif self.state is not State.OVER:
            self._fail(replies.BODY_REPLIES[reason], reason)

    def hold_body_back(self) -> None:
        """The backend takes no more of the body for now."""
        if self.state is not State.OVER and not self._is_whole:
            self.client.pause()

    def go_on_with_body(self) -> None:
        """It takes more."""
        if self.state is not State.OVER and not self._is_whole:
            self.client.resume()

    # The journal.

    def recorded(self, error: JournalError | None) -> None:
        """The journal has the beginning, so that the request may be sent; or, with an error, it
        must not be.
        """
        if self.state is not State.RECORDING:
            return
        try:
            if error is not None:
                self.record.abandon()
                self._answer(replies.NOT_RECORDED)
                self._end(replies.NOT_RECORDED.code)
            else:
                self._send()
        except Exception as failure:  # noqa: BLE001
            # The outermost boundary of what the trail calls.
            self.crash(failure)

    def _send(self) -> None:
        record, forward, known = self.record, self._forward, self._known
        assert forward is not None
        self.state = State.SENDING
        record.gateway_us = record.elapsed_us()
        if self._plan is None or self._backend is None:
            assert self._plan_error is not None
            self.fail(self._plan_error)
            return
        template: RequestTemplate | None = known.template if known is not None else None
        if template is None:
            template = build_template(self._head.method, forward.target, forward.headers)
        self._sent_id = self._gateway.name_for_backend(record)
        pieces, self._pieces = self._pieces, []
        request = OutgoingRequest(
            template,
            self._sent_id,
            self._length,
            pieces,
            is_whole=self._is_whole or self._length is None,
        )
        route = forward.compiled.route
        timeout = route.timeout_seconds
        if timeout is None:
            timeout = self._gateway.bounds.timeout_seconds
        self._sending = self._gateway.upstream.open(self._plan, self._backend, request, self, timeout)
        if not request.is_whole:
            self.client.want_body()
        if self._is_held_back:
            self._sending.pause()
        self._sending.start()

    # The answer.

    def take_head(self, status: int, headers: HeaderPairs) -> None:
        """The head of the answer has come."""
        if self.state is not State.SENDING:
            return
        self.state = State.ANSWERING
        self._release_memory()  # a request that was answered is not sent again
        record, sending, forward = self.record, self._sending, self._forward
        assert sending is not None
        assert forward is not None
        if sending.backend is not self._backend:
            record.note_target(record.write_target(forward, sending.backend.origin))
        kept = build_response_headers(
            headers, is_limited=self._verdict is not None, date=replies.date_value(), sent_id=self._sent_id
        )
        record.take_response_head(status, kept)
        kept = rewrite_redirects(kept, self._head, forward.compiled, self._forwarded)
        if record.is_stream:
            self._tail = _EVENT_ENDS[0]
        if self._gateway.bounds.is_collecting or (forward.narrows is not None and status == 200):
            self._status_headers = (status, kept)
        else:
            self._send_head(status, kept)
        if not self._is_whole and status >= 300:
            self._is_body_stopped = True  # an answer that does not want the rest

    def take_whole(self, known: KnownAnswer, body: bytes) -> None:
        """A whole answer has come, the head of which is known."""
        if self.state is not State.SENDING:
            return
        prepared = self._prepare(known)
        if prepared is None:
            self.take_head(known.status, [*known.headers, (b"content-length", b"%d" % len(body))])
            if body:
                self.take_answer(body, 1)
            self.take_answer_end()
            return
        record, verdict = self.record, self._verdict
        length = b"%d" % len(body)
        timing = record.take_whole(known.status, prepared, body)
        limit = verdict.lines() if verdict is not None else b""
        self._sending = None
        self.state = State.OVER
        self._is_answered = True
        client, self.client = self.client, NO_CLIENT
        client.send_whole(b"".join((prepared.before, length, prepared.after, limit, timing)), body)
        self._end(None)

    def _prepare(self, known: KnownAnswer) -> PreparedAnswer | None:
        """Return what is sent and written of an answer like this, or None if it depends on the request."""
        gateway, forward = self._gateway, self._forward
        assert forward is not None
        assert self._sending is not None
        is_limited, mask = self._verdict is not None, gateway.snapshots.mask
        if (
            not self.client.is_plain
            or gateway.cors is not None
            or gateway.bounds.is_collecting
            or forward.narrows is not None
            or self._left is not None
            or self._sending.backend is not self._backend
            or self.record.presents_secrets
        ):
            return None
        prepared = known.prepared.get(is_limited)
        if prepared is None or prepared.mask is not mask:
            prepared = known.prepared[is_limited] = prepare_answer(
                known, self.record, mask, is_limited=is_limited
            )
        return prepared if prepared.is_usable else None

    def _list_limit(self) -> HeaderPairs:
        return self._verdict.headers() if self._verdict is not None else ()

    def take_answer(self, data: bytes, pieces: int) -> None:
        """Bytes of the answer's body have come, in so many pieces."""
        if self.state is not State.ANSWERING:
            return
        self.record.take_response_bytes(data, pieces)
        if self._tail is not None:
            self._tail = (data if len(data) >= _TAIL_BYTES else self._tail + data)[-_TAIL_BYTES:]
        if self._status_headers is not None:
            _add_piece(self._collected, data)
            if self.record.response_size > self._gateway.bounds.body_bytes_max:
                self.fail(UpstreamInvalidError("the answer is longer than proxy.max_body_size"))
            return
        if self._keep_alive is not None:
            self._keep_alive.take(data)
        self.client.send_body(data)

    def take_answer_end(self) -> None:
        """The answer is whole."""
        if self.state is not State.ANSWERING:
            return
        if self._status_headers is not None:
            self._send_collected(*self._status_headers)
        self._sending = None
        self.state = State.OVER
        self._end_client()
        self._end(self._left)

    def _send_collected(self, status: int, headers: HeaderPairs) -> None:
        """Send an answer that has been kept until it was whole: a list of models without those of others."""
        body = b"".join(self._collected)
        narrows = self._forward.narrows if self._forward is not None else None
        if narrows is not None and status == 200:
            encodings = [value for name, value in headers if name == b"content-encoding"]
            if (
                narrowed := narrow_answer(body, encodings, narrows, self._gateway.bounds.body_bytes_max)
            ) is not None:
                body = narrowed
                headers = [pair for pair in headers if pair[0] not in _OF_BODY]
                headers = [*headers, (b"content-length", b"%d" % len(body))]
        self._send_head(status, headers)
        if body:
            self.client.send_body(body)

    def fail(self, error: UpstreamError) -> None:
        """There will be no answer, or no more of it."""
        if self.state is State.OVER:
            return
        backend = self._sending.backend.origin if self._sending is not None else "the route"
        _log.warning("%s: %s: %s", self.record.request_id, backend, error.explanation)
        # A client can be told of a truncated answer only if nothing of it was sent: then it is invalid.
        is_truncated = isinstance(error, UpstreamTruncatedError)
        code = UpstreamInvalidError.code if is_truncated else error.code
        self._fail(Reply(error.status, code, error.message), error.reason)

    def hold_back(self) -> None:
        """The client takes nothing more for now."""
        self._is_held_back = True
        if self._sending is not None and self._left is None:
            self._sending.pause()

    def go_on(self) -> None:
        """The client takes more again."""
        self._is_held_back = False
        if self._sending is not None:
            self._sending.resume()

    def _send_head(self, status: int, headers: list[tuple[bytes, bytes]] | HeaderPairs) -> None:
        record, gateway = self.record, self._gateway
        if gateway.bounds.keep_alive_seconds and may_hold_comments(headers):
            self._keep_alive = StreamKeepAlive(self._send_comment, gateway.bounds.keep_alive_seconds)
            self._keep_alive.start()
        gateway_us = record.gateway_us
        own = replies.own_headers(record.request_id, gateway_us, record.elapsed_us() - gateway_us)
        sent: HeaderPairs = [*headers, *self._list_limit(), *own]
        if gateway.cors is not None:
            sent = gateway.cors.apply(self._head, sent)
        self._is_answered = True
        self.client.send_head(status, sent)

    def _send_comment(self, comment: bytes) -> None:
        if not self._is_held_back:
            self.client.send_body(comment)

    # Answers of the gateway's own.

    def _answer_itself(self, status: int, headers: HeaderPairs) -> None:
        """Answer a request that no backend is asked for, without a body."""
        record = self.record
        record.status, record.gateway_us = status, record.elapsed_us()
        self.state = State.OVER
        self._is_answered = True
        record.end(None, self._key)
        own = replies.own_headers(record.request_id, record.gateway_us, 0)
        self.client.send_head(status, [replies.date_header(), *headers, *own])
        self._end_client()
        self._end(None)

    def _turn_away(self, reply: Reply, reason: str = "") -> None:
        self._refuse(
            Refuse(reply.status, reply.code, reply.message, reason=reason or reply.code, key=self._key)
        )

    def _refuse(self, refusal: Refuse) -> None:
        """Answer a request that is not forwarded, and record both at once."""
        reply = Reply(refusal.status, refusal.code, refusal.message)
        body = replies.build_error(reply, self.record.request_id)
        self.state = State.OVER
        self.record.refuse(refusal.key, refusal.status, refusal.reason, len(body))
        if refusal.reason in replies.ENDS_CONNECTION:
            self.client.forbid_reuse()
        self._send_reply(reply, body)
        self._end(refusal.reason)

    def _answer(self, reply: Reply) -> None:
        """Answer with an error, if nothing has been answered yet; else the answer breaks off."""
        if self._is_answered:
            self._break_off()
            return
        body = replies.build_error(reply, self.record.request_id)
        self.record.forget_response()
        self.record.status, self.record.response_size = reply.status, len(body)
        self._send_reply(reply, body)

    def _send_reply(self, reply: Reply, body: bytes) -> None:
        record, cors = self.record, self._gateway.cors
        gateway_us = record.gateway_us or record.elapsed_us()
        upstream_us = record.elapsed_us() - gateway_us if record.gateway_us else 0
        own = replies.own_headers(record.request_id, gateway_us, upstream_us)
        headers: HeaderPairs = replies.error_headers(reply.status, [*self._list_limit(), *own], len(body))
        if cors is not None:
            headers = cors.apply(self._head, headers)
        self._is_answered = True
        self.client.send_head(reply.status, headers)
        self.client.send_body(body)
        self._end_client()

    def _end_client(self) -> None:
        client, self.client = self.client, NO_CLIENT
        client.end()

    def _break_off(self) -> None:
        client, self.client = self.client, NO_CLIENT
        client.break_off()

    # How it ends.

    def leave(self, reason: str) -> None:
        """The client is gone, or given up: nothing can be sent to it any more."""
        if self.state is State.OVER:
            return
        self.client = NO_CLIENT
        if (
            reason == ABORTED
            and self._tail is not None
            and self._is_answered
            and self._tail.endswith(_EVENT_ENDS)
        ):
            reason = CLOSED  # between two whole events: that is how a client says that it has enough
        route = self._forward.compiled.route if self._forward is not None else None
        # A request that is not whole can have no whole answer: the backend waits for the rest of it.
        if (
            self._sending is not None
            and self._is_whole
            and route is not None
            and route.on_client_abort == "drain"
        ):
            self._left = reason
            self._is_answered = True
            self._sending.resume()
            return
        if not self._is_answered:
            self.record.forget_response()
        self._end(reason)

    def interrupt(self) -> None:
        """The server stops, and waits no longer."""
        if self.state is not State.OVER:
            self._fail(replies.STOPPING, INTERRUPTED)

    def crash(self, error: Exception) -> None:
        """An event has met a bug: it costs this request a bare answer, and tells its client nothing."""
        record, was_answered = self.record, self._is_answered
        _log.error("%s failed", record.request_id, exc_info=error)
        if self._is_released:
            return
        self.state = State.OVER
        try:
            self._cancel()
            if not was_answered:
                record.forget_response()
                record.status = replies.INTERNAL.status
            record.end(INTERNAL_ERROR, self._key)
        except Exception:  # noqa: BLE001
            _log.exception("%s could not be written down", record.request_id)
            record.end_barely(INTERNAL_ERROR)
        self._release(INTERNAL_ERROR)
        if was_answered:
            self._break_off()
            return
        try:
            self._send_reply(replies.INTERNAL, replies.build_error(replies.INTERNAL, record.request_id))
        except Exception:  # noqa: BLE001
            _log.exception("%s could not be answered", record.request_id)
            self._send_status()

    def _fail(self, reply: Reply, reason: str = "") -> None:
        """End a request early: with an error, or by breaking off what has been answered."""
        if self.state is State.DECIDING:
            self._turn_away(reply, reason)
            return
        if self._left is not None:
            self._end(self._left)
            return
        self._cancel()
        self.state = State.OVER
        self._answer(reply)
        self._end(reason or reply.code)

    def _end(self, error: str | None) -> None:
        """Write the end of the record, and give everything back: once."""
        self.state = State.OVER
        self._cancel()
        self.record.end(error, self._key)
        self._release(error)

    def _release(self, error: str | None) -> None:
        """Count the request, and give back what it held: once."""
        if self._is_released:
            return
        self._is_released = True
        self._is_collecting = False
        if self._keep_alive is not None:
            self._keep_alive.stop()
        self._pieces = self._collected = []
        self._release_memory()
        self._gateway.finish(self.record, error)

    def _release_memory(self) -> None:
        """Give back what a body that was looked into has taken of the memory for all of them."""
        if self._inspected_bytes:
            self._gateway.release_memory(self._inspected_bytes)
            self._inspected_bytes = 0

    def _send_status(self) -> None:
        """Answer with nothing but a status and an id: it needs nothing that could have failed before."""
        self._is_answered = True
        try:
            headers = [(b"content-length", b"0"), (b"x-request-id", request_id(self.record.ulid).encode())]
            self.client.send_head(replies.INTERNAL.status, headers)
            self._end_client()
        except Exception:  # noqa: BLE001
            self._break_off()

    def _cancel(self) -> None:
        sending, self._sending = self._sending, None
        if sending is not None:
            sending.cancel()


def _add_piece(pieces: list[bytes], data: bytes) -> None:
    """Keep a piece of a body, joined with the one before it if that is short."""
    if pieces and len(pieces[-1]) < PIECE_BYTES_MIN:
        pieces[-1] += data
    else:
        pieces.append(data)
