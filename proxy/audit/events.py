"""What happens to a request, as the journal holds it: `Begin`, then perhaps `FirstByte`, then one `End`.

An event carries facts, not columns: raw bytes and microseconds. `began_us` is the wall clock when the request
came; durations come from a monotonic clock and count from it, so that a clock that is set back makes none of
them negative. Every event can be understood without the ones before it.

The head of a request, which most requests share with others, comes as a block of bytes that is made once for
all of them: whoever reads it knows it again by its bytes. Events of version 0.1 (`Begin`) spell it out.
Secrets are masked before an event is made: what is here reaches the disk.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from proxy.errors import NOT_ERRORS as NOT_ERRORS  # of the reasons in `End.error`

LOG_PREFIX = "log_"
REQUEST_PREFIX = "req_"


class Head(msgspec.Struct, frozen=True, array_like=True):
    """What a `BriefBegin` has in common with others: all but the digits of the request's content length.

    The row's headers are `headers`, or, of a request that says its length, `headers`, the digits and
    `headers_rest`.
    """

    method: str
    path: str
    ip_address: str
    user_agent: str | None = None
    key_id: str | None = None
    source_path: str | None = None
    route_id: str | None = None
    target_url: str | None = None
    headers: str | None = None
    headers_rest: str = ""
    is_previous: bool = False


class BriefBegin(msgspec.Struct, frozen=True, array_like=True, tag="h", gc=False):
    """A request has been read and decided on. `ulid` names it in all its events, its row and its reply."""

    ulid: str
    sequence: int  # counts a writer's requests from 1: a gap is a lost record
    began_us: int
    head: bytes  # of `encode_head`
    length: str | None = None  # the digits between `headers` and `headers_rest`
    request_id: str | None = None  # the one that a trusted proxy gave it, in place of one made of `ulid`


class Begin(msgspec.Struct, frozen=True, array_like=True, tag="b", gc=False):
    """The same with its head spelled out."""

    ulid: str
    sequence: int
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


class FirstByte(msgspec.Struct, frozen=True, array_like=True, tag="f", gc=False):
    """The first byte of a stream has come, `after_us` microseconds after the request."""

    ulid: str
    began_us: int
    after_us: int


class End(msgspec.Struct, frozen=True, array_like=True, tag="e", gc=False):
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


AuditEvent = BriefBegin | Begin | FirstByte | End
encode_head: Callable[[Head], bytes] = msgspec.msgpack.Encoder().encode
decode_head: Callable[[bytes], Head] = msgspec.msgpack.Decoder(Head).decode


def log_id(ulid: str) -> str:
    """Return the primary key of the request's row."""
    return LOG_PREFIX + ulid


def request_id(ulid: str) -> str:
    """Return the id that the client is told and the backend is sent."""
    return REQUEST_PREFIX + ulid
