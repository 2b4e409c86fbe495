"""What happens to a request, as the journal holds it: `Begin`, then perhaps `FirstByte`, then one `End`.

An event carries facts, not columns: raw bytes and microseconds. `began_us` is the wall clock when the request
came; durations come from a monotonic clock and count from it, so that a clock that is set back makes none of
them negative. Every event can be understood without the ones before it.
Secrets are masked before an event is made: what is here reaches the disk.
"""

from __future__ import annotations

import msgspec

LOG_PREFIX = "log_"
REQUEST_PREFIX = "req_"


class Begin(msgspec.Struct, frozen=True, array_like=True, tag="b"):
    """A request has been read and decided on. `ulid` names it in all its events, its row and its reply."""

    ulid: str
    sequence: int  # counts a writer's requests from 1: a gap is a lost record
    began_us: int
    method: str
    path: str
    ip_address: str
    user_agent: str | None = None
    key_id: str | None = None
    source_path: str | None = None
    route_id: str | None = None
    target_url: str | None = None
    headers: str | None = None  # as the row has them: JSON, a list of [name, value]
    is_previous: bool = False  # with the secret that the key had before it was rotated


class FirstByte(msgspec.Struct, frozen=True, array_like=True, tag="f"):
    """The first byte of a stream has come, `after_us` microseconds after the request."""

    ulid: str
    began_us: int
    after_us: int


class End(msgspec.Struct, frozen=True, array_like=True, tag="e"):
    """The request is over, well or badly."""

    ulid: str
    began_us: int
    after_us: int
    status: int | None
    error: str | None = None
    first_byte_after_us: int | None = None
    gateway_us: int = 0  # the gateway's own share of the time to the response head
    request_size: int = 0
    response_size: int = 0
    is_stream: bool = False
    chunks: int = 0
    headers: str | None = None
    request_body: bytes | None = None  # the first bytes, as many as the trail keeps
    response_body: bytes | None = None
    response_type: str | None = None  # the content type of that
    is_request_cut: bool = False  # there was more of the body than was kept
    is_response_cut: bool = False
    target_url: str | None = None  # of the backend that answered, if it is not the one that `Begin` names


AuditEvent = Begin | FirstByte | End


def log_id(ulid: str) -> str:
    """Return the primary key of the request's row."""
    return LOG_PREFIX + ulid


def request_id(ulid: str) -> str:
    """Return the id that the client is told and the backend is sent."""
    return REQUEST_PREFIX + ulid
