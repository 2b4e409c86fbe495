"""What is sent, and written down, of an answer whose head has come before."""

from __future__ import annotations

from typing import NamedTuple

from proxy.audit.masking.mask import SecretMask
from proxy.audit.record import Record
from proxy.http1.heads import build_head
from proxy.policy.headers import build_response_headers
from proxy.upstream.answers import KnownAnswer

_MARK = b"0"
# What is said in these depends on the request, or on the moment.
_NEVER_PREPARED = frozenset((b"location", b"content-location", b"refresh", b"x-request-id"))


class PreparedAnswer(NamedTuple):
    """The head for the client and the headers of the row, both in two parts with the length between them.

    One that is not `is_usable` says that such an answer has to be looked at each time.
    """

    is_usable: bool
    mask: SecretMask
    before: bytes = b""
    after: bytes = b""
    headers: str | None = None
    headers_rest: str | None = None
    content_type: bytes | None = None


def prepare_answer(
    known: KnownAnswer, record: Record, mask: SecretMask, *, is_limited: bool
) -> PreparedAnswer:
    """Return what is the same in every answer with such a head."""
    names = {name.lower() for name, _ in known.headers}
    if b"date" not in names or not _NEVER_PREPARED.isdisjoint(names):
        return PreparedAnswer(False, mask)
    headers = [*build_response_headers(known.headers, is_limited=is_limited), (b"content-length", _MARK)]
    content_type = next((value for name, value in headers if name == b"content-type"), None)
    if record.is_stream_type(content_type):
        return PreparedAnswer(False, mask)
    head = build_head(known.status, headers, b"")
    before = head[: -len(_MARK + b"\r\n\r\n")]
    return PreparedAnswer(True, mask, before, b"\r\n", *record.split_response_headers(headers), content_type)
