"""The mock as an ASGI application: endpoints, pace, error answers and the echo. Nothing here reads a key.

Text and events come ready from the two dialects; this module decides only when their bytes are sent. Quart is
enough for that: on Hypercorn a streamed answer costs about 1.15 times what a bare ASGI callable needs for it.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, cast

import msgspec
from quart import Quart, Response, request
from quart.asgi import ASGIHTTPConnection
from werkzeug.exceptions import HTTPException, NotFound

from proxy.errors import FastGateError, InvalidInputError
from proxy.mock import EventStream, anthropic, openai

BODY_BYTES_MAX = 64 * 1024 * 1024
_JSON = "application/json"
_SSE = "text/event-stream; charset=utf-8"
_MESSAGES_PATH = "/v1/messages"
_ECHO_PATH = "/echo"


@dataclass(frozen=True, slots=True)
class Pace:
    """When an answer's bytes go out; the defaults mean: at once."""

    ttfb_seconds: float = 0
    token_seconds: float = 0

    async def respond(self, answer: bytes | EventStream) -> Response:
        """Return the response to send once the time to the first byte has passed."""
        if self.ttfb_seconds:
            await asyncio.sleep(self.ttfb_seconds)
        if isinstance(answer, bytes):
            return Response(answer, content_type=_JSON)
        return Response(self.pace_events(answer), content_type=_SSE, headers={"cache-control": "no-cache"})

    async def pace_events(self, events: EventStream) -> AsyncIterator[bytes]:
        """Yield each event when it is due.

        Due times are counted from the first token, not from the one before, so that delays do not add up.
        """
        for event in events.opening:
            yield event
        loop = asyncio.get_running_loop()
        started = loop.time()
        for index, event in enumerate(events.tokens):
            delay_seconds = started + index * self.token_seconds - loop.time()
            if delay_seconds > 0:
                await asyncio.sleep(delay_seconds)
            yield event
        for event in events.closing:
            yield event


class RootedConnection(ASGIHTTPConnection):
    """Reads a target without a path, as in `GET ?x`, as `/`; Quart's own class fails with an IndexError."""

    def __init__(self, app: Quart, scope: Any) -> None:
        rooted: Any = scope if scope["path"] else {**scope, "path": "/"}
        super().__init__(app, rooted)


def create_mock(*, ttfb_ms: float = 0, tokens_per_second: float = 0) -> Quart:
    """Return the mock backend.

    `ttfb_ms` delays answers, head and all; `tokens_per_second` paces streamed ones (0: as fast as it can).
    Raises InvalidInputError if either is negative or not finite.
    """
    for name, value in (("ttfb_ms", ttfb_ms), ("tokens_per_second", tokens_per_second)):
        if not math.isfinite(value) or value < 0:
            raise InvalidInputError(f"{name} cannot be {value}", hint="give a number that is 0 or more")
    app = Quart(__name__, static_folder=None)
    app.asgi_http_class = RootedConnection
    # No time-out of its own: how slow an upload or a stream may be is for whoever calls the mock to say.
    app.config.update(RESPONSE_TIMEOUT=None, BODY_TIMEOUT=None)
    app.config.update(PROPAGATE_EXCEPTIONS=True, MAX_CONTENT_LENGTH=BODY_BYTES_MAX)
    app.url_map.merge_slashes = False  # a redirect would hide which path the gateway really sent
    _add_endpoints(app, Pace(ttfb_ms / 1000, 1 / tokens_per_second if tokens_per_second else 0))
    app.before_request(_refuse_doubled_slash)
    app.before_request(_answer_echo)
    app.register_error_handler(HTTPException, _answer_http_exception)
    app.register_error_handler(FastGateError, _answer_error)
    return app


def _add_endpoints(app: Quart, pace: Pace) -> None:
    @app.post("/v1/chat/completions")
    async def complete_chat() -> Response:
        return await pace.respond(openai.complete_chat(await _read_body()))

    @app.post(_MESSAGES_PATH)
    async def create_message() -> Response:
        return await pace.respond(anthropic.create_message(await _read_body()))

    @app.get("/v1/models")
    async def list_models() -> Response:
        return Response(openai.list_models(), content_type=_JSON)

    @app.get("/v1/models/<path:model_id>")
    async def get_model(model_id: str) -> Response:
        return Response(openai.get_model(model_id), content_type=_JSON)

    @app.get("/health")
    async def report_health() -> Response:
        return Response(b'{"status":"ok"}', content_type=_JSON)


async def _read_body() -> bytes:
    return await request.get_data(cache=False, as_text=False, parse_form_data=False)


async def _answer_echo() -> Response | None:
    """Answer any method below /echo with exactly what arrived, before routing could refuse or redirect it."""
    if request.path != _ECHO_PATH and not request.path.startswith(f"{_ECHO_PATH}/"):
        return None
    body = await _read_body()
    scope = cast("dict[str, Any]", request.scope)
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
    arrived = {
        "method": scope["method"],
        "path": scope["raw_path"].decode("latin-1"),
        "query": scope["query_string"].decode("latin-1"),
        "headers": headers,
        "body_bytes": len(body),
        "body_sha256": hashlib.sha256(body).hexdigest(),
    }
    return Response(msgspec.json.encode(arrived), content_type=_JSON)


async def _refuse_doubled_slash() -> None:
    # `request.path` has lost the slashes at its start: routing would answer a path that nobody sent.
    if request.scope["path"].startswith("//"):
        raise NotFound


async def _answer_http_exception(error: HTTPException) -> Response:
    """Answer what Quart refuses by itself: an unknown path, a wrong method, a body that is too large."""
    answer = _build_error(error.code or 500, f"{error.name}: {request.method} {request.path[:200]}")
    answer.headers.extend([pair for pair in error.get_headers() if pair[0].lower() == "allow"])
    return answer


async def _answer_error(error: FastGateError) -> Response:
    return _build_error(error.status, f"{error.message}; {error.hint}" if error.hint else error.message)


def _build_error(status: int, message: str) -> Response:
    speaks_anthropic = request.path.startswith(_MESSAGES_PATH) or "anthropic-version" in request.headers
    dialect = anthropic if speaks_anthropic else openai
    return Response(dialect.encode_error(status, message), status=status, content_type=_JSON)
