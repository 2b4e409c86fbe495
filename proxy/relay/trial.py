"""A route put to the test: the very request that the gateway would send for it, sent once, from here.

No gateway has to run and no key is needed; nothing is recorded. The decision is `decide`, and the way to the
backend is `Upstream`, both the gateway's own. What is told of the request is masked as an audit row would
have it, and what is shown of the answer holds no secret that was sent.
"""

from __future__ import annotations

import asyncio
import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import httpx

from proxy.errors import UpstreamError, UpstreamInvalidError, UpstreamTruncatedError
from proxy.policy.decide import Forward
from proxy.policy.headers import filter_response_headers
from proxy.policy.model import RequestHead
from proxy.relay.bounds import build_bounds
from proxy.relay.diagnosis import diagnose
from proxy.relay.preparation import STAGES, Preparation, Rehearsal, Stage, StageName, describe_url
from proxy.relay.retries import Failure, classify_error
from proxy.relay.tracing import ConnectionTrace
from proxy.relay.upstream import Upstream, build_upstream, find_attempt, translate_error
from proxy.settings import ProxySettings

# What is read of an answer: a stream may have no end.
READ_BYTES_MAX = 64 * 1024
READ_SECONDS_MAX = 10.0
_TYPE_LENGTH_MAX = 100
_IS_IT_HTTP = "is that an HTTP server?"
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
        sending = _Sending(trial, prepared, rehearsal.settings.proxy, note)
        await sending.run(prepared.forward, timeout_seconds)
    for name in STAGES[len(trial.stages) :]:
        note(Stage(name, None, _NOT_COME_TO))
    return trial


@dataclass(slots=True)
class _Reading:
    """What has been read of a body so far."""

    data: bytearray = field(default_factory=bytearray)
    first_at: float = 0.0
    is_whole: bool = False

    def take(self, chunk: bytes, now: float) -> None:
        self.first_at = self.first_at or now
        self.data += chunk


class _Sending:
    """The part of a trial that talks to the backend. `run` is called once."""

    def __init__(
        self, trial: Trial, prepared: Preparation, settings: ProxySettings, note: Callable[[Stage], None]
    ) -> None:
        self._trial = trial
        self._prepared = prepared
        self._settings = settings
        self._note = note
        self._trace = ConnectionTrace()
        self._reading = _Reading()
        self._started = 0.0
        self._type = ""

    async def run(self, forward: Forward, timeout_seconds: float | None) -> None:
        """Send, read what is to be read of the answer, and note both stages."""
        upstream = build_upstream(self._settings, trace=self._trace)
        self._started = time.perf_counter()
        try:
            async with asyncio.timeout(timeout_seconds):
                response = await self._send(upstream, forward)
                self._note_connection(forward, response)
                await self._read(upstream, response)
            self._note_answer()
        except TimeoutError:
            self._note_timeout(forward, timeout_seconds)
        except UpstreamError as error:
            self._note_failure(forward, error)
        finally:
            await upstream.close()
            self._trial.preview = self._prepared.disclosure.preview(bytes(self._reading.data))

    async def _send(self, upstream: Upstream, forward: Forward) -> httpx.Response:
        route = forward.compiled.route
        seconds = build_bounds(self._settings).timeout_seconds
        response = await upstream.send(
            self._prepared.method,
            forward.compiled,
            forward.target,
            forward.headers,
            forward.body,
            seconds if route.timeout_seconds is None else route.timeout_seconds,
        )
        if not 200 <= response.status_code <= 599:  # as the gateway does: nothing else is a final status
            await upstream.release(response, is_whole=False)
            raise UpstreamInvalidError(
                f"it answered with the status {response.status_code}, which is none", hint=_IS_IT_HTTP
            )
        self._type = self._prepared.disclosure.mask(_find_type(response))
        return response

    async def _read(self, upstream: Upstream, response: httpx.Response) -> None:
        trial, reading = self._trial, self._reading
        trial.status_code, head_at = response.status_code, time.perf_counter()
        assert isinstance(response.stream, httpx.AsyncByteStream)
        try:
            async with asyncio.timeout(None) as bound:
                async for chunk in response.stream:
                    if not reading.data:
                        bound.reschedule(asyncio.get_running_loop().time() + READ_SECONDS_MAX)
                    reading.take(chunk, time.perf_counter())
                    if len(reading.data) >= READ_BYTES_MAX:
                        break
                else:
                    reading.is_whole = True
        except TimeoutError:
            if not bound.expired():
                raise
        except httpx.TransportError as error:
            raise translate_error(error, UpstreamTruncatedError) from error
        finally:
            trial.ttfb_ms = self._milliseconds(reading.first_at or head_at)
            trial.response_time_ms = self._milliseconds(time.perf_counter())
            await upstream.release(response, is_whole=reading.is_whole)

    def _note_connection(self, forward: Forward, response: httpx.Response) -> None:
        attempt = find_attempt(response)
        origin = attempt.backend.origin if attempt else forward.compiled.origin
        self._trial.target_url = describe_url(origin, forward.target)
        parts = [f"{self._trace.peer or origin} in {self._trace.seconds * 1000:.1f} ms"]
        parts += [self._trace.tls] if self._trace.tls else []
        parts += ["through the egress proxy"] if self._settings.egress_proxy else []
        parts += [f"{origin} after {attempt.tries} tries"] if attempt and attempt.tries > 1 else []
        self._note(Stage("connect", True, ", ".join(parts)))

    def _note_answer(self) -> None:
        status = self._trial.status_code
        assert status is not None
        detail = f"{status} {self._type}".rstrip() + f", {self._describe_reading()}"
        if status < 400:
            return self._note(Stage("response", True, detail))
        hint = _STATUS_HINTS.get(status, "look at the backend's log")
        return self._note(Stage("response", False, f"the backend answered {detail}", hint))

    def _describe_reading(self) -> str:
        trial, reading = self._trial, self._reading
        assert trial.ttfb_ms is not None
        first = f"first byte after {trial.ttfb_ms:.1f} ms"
        if not reading.data:
            return f"no body, {first}"
        size = f"{len(reading.data)} bytes in {trial.response_time_ms:.1f} ms"
        return f"{first}, {size}" if reading.is_whole else f"{first}, {size}; the rest was not read"

    def _note_failure(self, forward: Forward, error: UpstreamError) -> None:
        cause = error.__cause__
        is_unsent = isinstance(cause, httpx.TransportError) and classify_error(cause) is Failure.UNSENT
        if not self._has("connect") and (is_unsent or not self._trace.is_made):
            what, hint = diagnose(error, shlex.quote(forward.compiled.route.route_name))
            return self._note(Stage("connect", False, f"{self._name_backends(forward)}: {what}", hint))
        self._note_reached(forward)
        what, hint = diagnose(error, shlex.quote(forward.compiled.route.route_name))
        if self._trial.status_code is None:
            return self._note(Stage("response", False, f"no answer: {what}", hint))
        size = len(self._reading.data)
        detail = f"the backend answered {self._trial.status_code}, and broke off after {size} bytes: {what}"
        return self._note(Stage("response", False, detail, hint))

    def _note_timeout(self, forward: Forward, timeout_seconds: float | None) -> None:
        hint = "--timeout gives it longer"
        if not self._has("connect") and not self._trace.is_made:
            detail = f"{self._name_backends(forward)}: no connection within {timeout_seconds:g} s"
            return self._note(Stage("connect", False, detail, hint))
        if self._reading.data:
            return self._note_answer()  # of a stream that goes on: it has come through
        self._note_reached(forward)
        return self._note(Stage("response", False, f"no answer within {timeout_seconds:g} s", hint))

    def _note_reached(self, forward: Forward) -> None:
        """Note that there was a connection, if that has not been noted with an answer."""
        if not self._has("connect"):
            peer = self._trace.peer or forward.compiled.origin
            self._note(Stage("connect", True, f"{peer} in {self._trace.seconds * 1000:.1f} ms"))

    def _name_backends(self, forward: Forward) -> str:
        targets = forward.compiled.route.targets
        origin = forward.compiled.origin
        return f"none of {len(targets) + 1} backends, {origin} first, answers" if targets else origin

    def _has(self, name: StageName) -> bool:
        return any(stage.name == name for stage in self._trial.stages)

    def _milliseconds(self, moment: float) -> float:
        return round((moment - self._started) * 1000, 1)


def _find_type(response: httpx.Response) -> str:
    headers = filter_response_headers(response.headers.raw)
    value = next((value for name, value in headers if name == b"content-type"), b"")
    return value.partition(b";")[0].decode("latin-1")[:_TYPE_LENGTH_MAX]
