"""A route put to the test: the very request that the gateway would send for it, sent once, from here.

No gateway has to run and no key is needed; nothing is recorded. The decision is `decide`, and the way to the
backend is `Upstream`, both the gateway's own. What is told of the request is masked as an audit row would
have it, and what is shown of the answer holds no secret that was sent.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from proxy.errors import UpstreamError
from proxy.gateway.bounds import build_bounds
from proxy.insight.preparation import STAGES, Preparation, Rehearsal, Stage, StageName, describe_url
from proxy.insight.tracing import ConnectionTrace
from proxy.policy.decide import Forward
from proxy.policy.headers import build_response_headers
from proxy.policy.model import HeaderPairs, RequestHead
from proxy.policy.redirects import rewrite_redirects
from proxy.settings import ProxySettings
from proxy.upstream.answers import KnownAnswer
from proxy.upstream.request import OutgoingRequest, build_template
from proxy.upstream.sending import Sending
from proxy.upstream.upstream import Upstream

# What is read of an answer: a stream may have no end.
READ_BYTES_MAX = 64 * 1024
READ_SECONDS_MAX = 10.0
_TYPE_LENGTH_MAX = 100
_LOCATION_LENGTH_MAX = 300
_ID = b"x-request-id"
_NOT_COME_TO = "not come to"
_STATUS_HINTS = {
    400: "--data, --header and --method say what is sent",
    401: "the backend wants other credentials: --set-header of 'fastgate routes update' sets them",
    403: "the backend wants other credentials: --set-header of 'fastgate routes update' sets them",
    404: "the backend has nothing there: give another --path, or look at the route's target path",
    405: "--method takes another method",
    413: "--data takes a smaller body",
    415: "--data and --header 'Content-Type: ...' say what is sent",
    422: "--data, --header and --method say what is sent",
    429: "the backend limits requests; try again later",
}
_Tell = Callable[[Stage], object]


@dataclass(slots=True)
class Trial:
    """What came of it. Times are milliseconds from the first byte that was sent; None: it came to none.

    `target_url` is of the backend that answered. `preview` is the beginning of the body, for people.
    """

    stages: list[Stage] = field(default_factory=list)
    matched: bool = False
    target_url: str | None = None
    status_code: int | None = None
    response_time_ms: float | None = None
    ttfb_ms: float | None = None
    preview: str = field(default="", repr=False)

    @property
    def success(self) -> bool:
        """Tell whether every stage was passed."""
        return all(stage.ok for stage in self.stages)

    @property
    def failure(self) -> Stage | None:
        """Return the first stage that failed."""
        return next((stage for stage in self.stages if stage.ok is False), None)


async def run_trial(
    rehearsal: Rehearsal,
    heads: Sequence[RequestHead],
    body: bytes,
    *,
    timeout_seconds: float | None = None,
    tell: _Tell = lambda _stage: None,
) -> Trial:
    """Try the route with the first of these heads that reaches it, and this body; never raises for a fault.

    `tell` is given each stage as soon as it is over. `timeout_seconds` bounds the whole; without it the
    gateway's own time-outs hold.
    """
    prepared = rehearsal.prepare(heads, body)
    trial = Trial(matched=prepared.matched, target_url=prepared.target_url)

    def note(stage: Stage) -> None:
        trial.stages.append(stage)
        tell(stage)

    for stage in prepared.stages:
        note(stage)
    if prepared.forward is not None:
        attempt = _Attempt(trial, prepared, prepared.forward, rehearsal.settings.proxy, note)
        await attempt.run(timeout_seconds)
    for name in STAGES[len(trial.stages) :]:
        note(Stage(name, None, _NOT_COME_TO))
    return trial


class _Answer:
    """What has come of an answer so far: the `AnswerExchange` of a trial.

    `changed` is set with everything that is told. `headers` are as a client would get them.
    """

    def __init__(self, forward: Forward, head: RequestHead) -> None:
        self.changed = asyncio.Event()
        self.status: int | None = None
        self.headers: HeaderPairs = ()
        self.body = bytearray()
        self.head_at = self.first_at = 0.0
        self.is_whole = False
        self.error: Exception | None = None
        self._forward = forward
        self._head = head

    @property
    def is_over(self) -> bool:
        """Tell whether nothing more will come."""
        return self.is_whole or self.error is not None

    def take_head(self, status: int, headers: HeaderPairs) -> None:
        sent_id = next((value for name, value in self._forward.headers if name == _ID), b"")
        kept = build_response_headers(headers, sent_id=sent_id)
        self.headers = rewrite_redirects(kept, self._head, self._forward.compiled)
        self.status, self.head_at = status, time.perf_counter()
        self.changed.set()

    def take_whole(self, known: KnownAnswer, body: bytes) -> None:
        """Take a whole answer at once."""
        self.take_head(known.status, [*known.headers, (b"content-length", b"%d" % len(body))])
        self.take_answer(body, 1)
        self.take_answer_end()

    def take_answer(self, data: bytes, pieces: int) -> None:  # noqa: ARG002
        self.first_at = self.first_at or time.perf_counter()
        self.body += data
        self.changed.set()

    def take_answer_end(self) -> None:
        self.is_whole = True
        self.changed.set()

    def fail(self, error: UpstreamError) -> None:
        self.error = error
        self.changed.set()

    def hold_body_back(self) -> None:
        """Pass over: the whole body has been given."""

    def go_on_with_body(self) -> None:
        """Pass over, for the same reason."""

    def crash(self, error: Exception) -> None:
        self.error = error
        self.changed.set()

    async def wait_for(self, is_so: Callable[[], bool]) -> None:
        """Return when it is so, or when nothing more will come; raises what it has ended with."""
        while not is_so() and not self.is_over:
            self.changed.clear()
            await self.changed.wait()
        if self.error is not None:
            raise self.error

    def find_header(self, wanted: bytes) -> str:
        """Return the first value of a header, or nothing."""
        return next((value for name, value in self.headers if name == wanted), b"").decode("latin-1")


class _Attempt:
    """The part of a trial that talks to the backend. `run` is called once."""

    def __init__(
        self,
        trial: Trial,
        prepared: Preparation,
        forward: Forward,
        settings: ProxySettings,
        note: Callable[[Stage], None],
    ) -> None:
        assert prepared.head is not None
        self._trial = trial
        self._prepared = prepared
        self._forward = forward
        self._settings = settings
        self._note = note
        self._trace = ConnectionTrace()
        self._answer = _Answer(forward, prepared.head)
        self._started = 0.0

    async def run(self, timeout_seconds: float | None) -> None:
        """Send, read what is to be read of the answer, and note both stages."""
        upstream = Upstream(self._settings, observe=self._trace)
        upstream.start()
        self._started = time.perf_counter()
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._exchange(upstream)
            self._note_answer()
        except TimeoutError:
            self._note_timeout(timeout_seconds)
        except UpstreamError as error:
            self._note_failure(error)
        finally:
            await upstream.close()
            self._trial.preview = self._prepared.disclosure.preview(bytes(self._answer.body))

    async def _exchange(self, upstream: Upstream) -> None:
        sending = self._open(upstream)
        sending.start()
        try:
            await self._answer.wait_for(lambda: self._answer.status is not None)
            self._note_connection(sending)
            await self._read()
        finally:
            if not self._answer.is_over:
                sending.cancel()

    def _open(self, upstream: Upstream) -> Sending:
        forward = self._forward
        plan = upstream.find_plan(forward.compiled)
        request_id = next((value for name, value in forward.headers if name == _ID), b"")
        body = forward.body
        request = OutgoingRequest(
            build_template(self._prepared.method, forward.target, forward.headers),
            request_id,
            len(body) if body else None,
            [body] if body else [],
            is_whole=True,
        )
        seconds = forward.compiled.route.timeout_seconds
        if seconds is None:
            seconds = build_bounds(self._settings).timeout_seconds
        return upstream.open(plan, upstream.choose(plan), request, self._answer, seconds)

    async def _read(self) -> None:
        """Read the body to its end, or as much of it as is enough."""
        trial, answer = self._trial, self._answer
        trial.status_code = answer.status
        try:
            await answer.wait_for(lambda: bool(answer.body))
            async with asyncio.timeout(READ_SECONDS_MAX) as bound:
                await answer.wait_for(lambda: len(answer.body) >= READ_BYTES_MAX)
        except TimeoutError:
            if not bound.expired():
                raise
        finally:
            trial.ttfb_ms = self._milliseconds(answer.first_at or answer.head_at)
            trial.response_time_ms = self._milliseconds(time.perf_counter())

    def _note_connection(self, sending: Sending) -> None:
        origin = sending.backend.origin
        self._trial.target_url = describe_url(origin, self._forward.target)
        parts = [f"{self._trace.peer or origin} in {self._trace.seconds * 1000:.1f} ms"]
        parts += [self._trace.tls] if self._trace.tls else []
        parts += ["through the egress proxy"] if self._settings.egress_proxy else []
        parts += [f"{origin} after {sending.tries} tries"] if sending.tries > 1 else []
        self._note(Stage("connect", True, ", ".join(parts)))

    def _note_answer(self) -> None:
        status = self._trial.status_code
        assert status is not None
        kind = self._mask(self._answer.find_header(b"content-type").partition(";")[0])[:_TYPE_LENGTH_MAX]
        detail = f"{status} {kind}".rstrip() + f", {self._describe_reading()}{self._describe_redirect()}"
        if status < 400:
            return self._note(Stage("response", True, detail))
        hint = _STATUS_HINTS.get(status, "look at the backend's log")
        return self._note(Stage("response", False, f"the backend answered {detail}", hint))

    def _describe_reading(self) -> str:
        trial, answer = self._trial, self._answer
        assert trial.ttfb_ms is not None
        first = f"first byte after {trial.ttfb_ms:.1f} ms"
        if not answer.body:
            return f"no body, {first}"
        size = f"{len(answer.body)} bytes in {trial.response_time_ms:.1f} ms"
        return f"{first}, {size}" if answer.is_whole else f"{first}, {size}; the rest was not read"

    def _describe_redirect(self) -> str:
        """Return where a client of the gateway would be led."""
        location = self._answer.find_header(b"location")
        if not location:
            return ""
        path, _, query = location.encode("latin-1").partition(b"?")
        shown = self._mask(describe_url("", path + b"?" + query if query else path))
        return f", a client is led to {shown[:_LOCATION_LENGTH_MAX]}"

    def _note_failure(self, error: UpstreamError) -> None:
        if not self._has("connect") and not self._trace.is_made:
            return self._note(Stage("connect", False, f"{self._name_backends()}: {error.words}", error.hint))
        self._note_reached()
        if self._trial.status_code is None:
            return self._note(Stage("response", False, f"no answer: {error.words}", error.hint))
        size = len(self._answer.body)
        status = self._trial.status_code
        detail = f"the backend answered {status}, and broke off after {size} bytes: {error.words}"
        return self._note(Stage("response", False, detail, error.hint))

    def _note_timeout(self, timeout_seconds: float | None) -> None:
        hint = "--timeout gives it longer"
        if not self._has("connect") and not self._trace.is_made:
            detail = f"{self._name_backends()}: no connection within {timeout_seconds:g} s"
            return self._note(Stage("connect", False, detail, hint))
        if self._answer.body:
            return self._note_answer()  # of a stream that goes on: it has come through
        self._note_reached()
        return self._note(Stage("response", False, f"no answer within {timeout_seconds:g} s", hint))

    def _note_reached(self) -> None:
        """Note that there was a connection, if that has not been noted with an answer."""
        if not self._has("connect"):
            peer = self._trace.peer or self._forward.compiled.origin
            self._note(Stage("connect", True, f"{peer} in {self._trace.seconds * 1000:.1f} ms"))

    def _name_backends(self) -> str:
        targets = self._forward.compiled.route.targets
        origin = self._forward.compiled.origin
        return f"none of {len(targets) + 1} backends, {origin} first, answers" if targets else origin

    def _has(self, name: StageName) -> bool:
        return any(stage.name == name for stage in self._trial.stages)

    def _mask(self, text: str) -> str:
        return self._prepared.disclosure.mask(text)

    def _milliseconds(self, moment: float) -> float:
        return round((moment - self._started) * 1000, 1)
