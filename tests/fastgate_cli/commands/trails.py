"""Requests as a test of `fastgate logs` wants them: what a worker tells of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from proxy.audit.events import AuditEvent, Begin, End, FirstByte
from proxy.ids import encode_ulid

Record = Callable[[Sequence[AuditEvent]], None]
CONFIGURATION = "database: {url: 'sqlite:///fastgate.db'}\naudit: {directory: journal}\n"
SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
HEADERS = '[["accept","*/*"],["x-tag","one"],["x-tag","two"]]'
PLAIN, STREAM, REFUSED, FAILED, RUNNING = (encode_ulid(1_700_000_000_000 + n, bytes(10)) for n in range(5))


def begin(
    ulid: str,
    at_us: int,
    *,
    source: str | None = "ci",
    path: str = "/v1/chat/completions",
    method: str = "POST",
    address: str = "127.0.0.1",
    agent: str | None = None,
) -> Begin:
    key_id = f"key_{source}" if source else None
    route_id = "rt_demo" if source else None
    return Begin(
        *(ulid, 1, at_us, method, path, address, agent, key_id, source, route_id),
        target_url=f"http://127.0.0.1:9{path}",
        headers=HEADERS,
    )


def first(ulid: str, at_us: int) -> FirstByte:
    return FirstByte(ulid, at_us, 40_000)


def end(
    ulid: str,
    at_us: int,
    after_us: int,
    chunks: int = 0,
    *,
    status: int = 200,
    error: str | None = None,
    size: int = 6246,
    body: bytes = b'{"a":\n1}',
) -> End:
    return End(
        ulid,
        at_us,
        after_us,
        status,
        error,
        first_byte_after_us=None if error else after_us // 2,
        response_size=size,
        is_stream=chunks > 0,
        chunks=chunks,
        request_body=body,
        request_size=len(body),
    )
