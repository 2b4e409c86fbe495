"""A day of requests as a gateway sees them, as the events that its worker would have told.

Always the same for a seed and a number of requests. Every value that the benchmark looks for is common, or
rare (in three requests), or nowhere.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from proxy.audit.events import AuditEvent, Begin, End, FirstByte
from proxy.ids import encode_ulid

DAY_US = 86_400_000_000
IN_FLIGHT = 20  # of the newest requests
RARE_TIMES = 3
_CHAT = "/v1/chat/completions"
_AGENTS = [
    *(f"OpenAI/Python 1.{minor}.0" for minor in range(30, 60)),
    *(f"python-requests/2.{minor}" for minor in range(20, 33)),
    *("curl/8.5.0", "node", "Go-http-client/1.1", "Mozilla/5.0 (X11; Linux x86_64) Chrome/131.0"),
]
# What goes wrong, how often among the errors, and with which status.
_ERRORS: Sequence[tuple[str | None, int | None, int]] = (
    ("rate_limited", 429, 30),
    (None, 400, 15),
    (None, 404, 10),
    (None, 500, 10),
    ("upstream_unreachable", 502, 12),
    ("upstream_timeout", 504, 8),
    ("client_abort", 200, 10),
    ("upstream_truncated", 200, 3),
    ("invalid_api_key", 401, 6),
    ("no_route", 404, 4),
    ("interrupted", None, 2),
)
_ERROR_SHARE, _STREAM_SHARE = 0.05, 0.4


@dataclass(frozen=True, slots=True)
class Value:
    """A value to look for: one that is common, one that is rare, one that is nowhere."""

    common: str
    rare: str
    absent: str


@dataclass(frozen=True, slots=True)
class Cast:
    """Who takes part: ids of keys with their sources, and ids of routes."""

    keys: Sequence[tuple[str, str]]
    routes: Sequence[str]

    @property
    def key(self) -> Value:
        """The keys to look for; the last of all is the rare one."""
        return Value(self.keys[0][0], self.keys[-1][0], "key_absent")

    @property
    def source(self) -> Value:
        """The sources to look for."""
        return Value(self.keys[0][1], self.keys[-1][1], "absent")

    @property
    def route(self) -> Value:
        """The routes to look for."""
        return Value(self.routes[0], self.routes[-1], "rt_absent")


METHOD = Value("POST", "PATCH", "PUT")
PATH = Value(_CHAT, "/v1/rare/path", "/v1/absent")
GLOB = Value("/v1/*", "/v1/rare/*", "/absent/*")
STATUS = Value("2xx", "418", "599")
ADDRESS = Value("10.0.0.1", "203.0.113.77", "198.51.100.1")
AGENT = Value("OpenAI/Python", "rare-agent", "absent-agent")
ERROR = Value("rate_limited", "rare_reason", "absent_reason")
DURATION_MS = Value("1000", "7200000", "999999999")


class Traffic:
    """So many requests over the day that ends at a time."""

    def __init__(self, cast: Cast, requests: int, end_us: int, seed: int = 1) -> None:
        self._random = random.Random(seed)
        self._cast, self._requests, self._end_us = cast, requests, end_us
        self._paths = [PATH.common, "/v1/completions", "/v1/embeddings", "/v1/models", "/v1/responses"]
        self._paths += [f"/v1/files/file-{number:03}" for number in range(300)]
        self._weights = [600, 60, 120, 60, 60, *[0.5] * 300]
        self._addresses = [f"10.0.{number // 200}.{number % 200 + 1}" for number in range(400)]
        self._rare = {requests // 7, requests // 2, requests - requests // 5}
        assert len(self._rare) == RARE_TIMES

    def tell(self) -> Iterator[list[AuditEvent]]:
        """Yield what each request's worker tells, in the order in which the requests come."""
        for number in range(self._requests):
            part = (number + self._random.random()) / self._requests
            # By night there is a tenth of what there is by day.
            part -= math.sin(math.tau * part) / math.tau * 0.8
            began_us = int(self._end_us - DAY_US + part * DAY_US)
            is_in_flight = number >= self._requests - IN_FLIGHT
            yield [*self._tell_one(number, began_us, is_in_flight=is_in_flight)]

    def _tell_one(self, number: int, began_us: int, *, is_in_flight: bool) -> Iterator[AuditEvent]:
        pick = self._random
        ulid = encode_ulid(began_us // 1000, pick.randbytes(10))
        is_rare = number in self._rare
        reason, status = self._choose_outcome()
        is_stream = pick.random() < _STREAM_SHARE and reason not in ("rate_limited", "invalid_api_key")
        yield self._begin(ulid, number, began_us, reason, is_rare=is_rare)
        took_us = int(pick.lognormvariate(15.2 if is_stream else 12.8, 1.0))
        first_us = min(took_us, int(pick.lognormvariate(12.4, 0.7)))
        if is_in_flight:
            if is_stream:
                yield FirstByte(ulid, began_us, first_us)
            return
        if is_rare:
            reason, status, took_us = ERROR.rare, int(STATUS.rare), (int(DURATION_MS.rare) + number) * 1000
        chunks = max(1, took_us // 40_000) if is_stream else 0
        yield End(
            ulid,
            began_us,
            took_us,
            status,
            reason,
            first_byte_after_us=None if reason and not is_stream else first_us,
            gateway_us=int(pick.lognormvariate(5.9, 0.4)),
            request_size=int(pick.lognormvariate(7, 1)),
            response_size=chunks * 180 if is_stream else int(pick.lognormvariate(7.5, 1)),
            is_stream=is_stream,
            chunks=chunks,
            headers=self._build_headers(150, "server", "uvicorn"),
        )

    def _begin(self, ulid: str, number: int, began_us: int, reason: str | None, *, is_rare: bool) -> Begin:
        pick, cast = self._random, self._cast
        # The first keys and routes have most of the requests, and the last ones the rare ones.
        place = min(int(pick.expovariate(6) * len(cast.keys)), len(cast.keys) - 2)
        route = min(int(pick.expovariate(4) * len(cast.routes)), len(cast.routes) - 2)
        key_id, source = cast.keys[-1 if is_rare else place]
        is_refused = reason == "invalid_api_key"
        path = PATH.rare if is_rare else pick.choices(self._paths, self._weights)[0]
        route_id = None if reason == "no_route" or is_refused else cast.routes[-1 if is_rare else route]
        return Begin(
            ulid,
            number + 1,
            began_us,
            METHOD.rare if is_rare else "GET" if path.startswith(("/v1/models", "/v1/files")) else "POST",
            path,
            ADDRESS.rare if is_rare else pick.choice(self._addresses),
            AGENT.rare if is_rare else pick.choice(_AGENTS),
            None if is_refused else key_id,
            None if is_refused else source,
            route_id,
            None if route_id is None else f"http://10.1.0.{route}:8000{path}",
            self._build_headers(pick.randint(200, 500), "accept", "application/json"),
        )

    def _choose_outcome(self) -> tuple[str | None, int | None]:
        if self._random.random() >= _ERROR_SHARE:
            return None, 200
        ((reason, status, _),) = self._random.choices(_ERRORS, [weight for _, _, weight in _ERRORS])
        return reason, status

    def _build_headers(self, length: int, name: str, value: str) -> str:
        pairs = [["host", "gateway.example"], [name, value], ["content-type", "application/json"]]
        return json.dumps([*pairs, ["x-trace", "0123456789abcdef" * (length // 16)]], separators=(",", ":"))
