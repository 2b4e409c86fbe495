"""A request as it is sent: a head that is the same for every request of its kind, but for its id and its
length.

The framing of the body is stated anew, in one spelling, whatever the client's was (RFC 9112 section 6).
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

CHUNKED = -1  # the length of a body that is sent in chunks
_ID = b"x-request-id"


class RequestTemplate(msgspec.Struct):
    """Method, raw target and headers without framing. The value of `x-request-id` is put in for
    each request.
    """

    method: str
    target: bytes
    headers: Sequence[tuple[bytes, bytes]]
    before: bytes  # of the head, the id
    after: bytes
    has_id: bool

    def __repr__(self) -> str:
        return f"RequestTemplate({self.method})"  # target and headers may hold secrets

    def encode(self, request_id: bytes, length: int | None) -> bytes:
        """Return the head of one request; `length` None: it has no body and states none."""
        if length is None:
            framing = b"\r\n"
        elif length == CHUNKED:
            framing = b"transfer-encoding: chunked\r\n\r\n"
        else:
            framing = b"content-length: %d\r\n\r\n" % length
        return b"".join(
            (self.before, request_id, self.after, framing) if self.has_id else (self.before, framing)
        )

    def with_host(self, host: bytes) -> RequestTemplate:
        """Return the same for another backend."""
        return build_template(
            self.method,
            self.target,
            [(b"host", host) if pair[0] == b"host" else pair for pair in self.headers],
        )

    def for_proxy(self, target_prefix: bytes, header: bytes) -> RequestTemplate:
        """Return the same as an egress proxy wants it: with the backend before the target, and one
        more line.
        """
        template = build_template(self.method, target_prefix + self.target, self.headers)
        line, end, rest = template.before.partition(b"\r\n")
        return msgspec.structs.replace(template, before=line + end + header + rest)


def build_template(method: str, target: bytes, headers: Sequence[tuple[bytes, bytes]]) -> RequestTemplate:
    """Return the template of a request; only the gateway itself sets `x-request-id`."""
    line = b"%b %b HTTP/1.1\r\n" % (method.encode(), target)
    for at, pair in enumerate(headers):
        if pair[0] == _ID:
            before = line + b"".join([b"%b: %b\r\n" % each for each in headers[:at]]) + b"x-request-id: "
            after = b"\r\n" + b"".join([b"%b: %b\r\n" % each for each in headers[at + 1 :]])
            return RequestTemplate(method, target, headers, before, after, has_id=True)
    before = line + b"".join([b"%b: %b\r\n" % each for each in headers])
    return RequestTemplate(method, target, headers, before, b"", has_id=False)


class OutgoingRequest:
    """One request: its template, its id, and what has come of its body so far.

    `length` is that of the body in bytes, `CHUNKED`, or None if there is none. With `is_whole` all of it is
    in `pieces`, and it can be sent again.
    """

    __slots__ = ("is_whole", "length", "pieces", "request_id", "size", "template")

    def __init__(
        self,
        template: RequestTemplate,
        request_id: bytes,
        length: int | None,
        pieces: list[bytes],
        *,
        is_whole: bool,
    ) -> None:
        self.template = template
        self.request_id = request_id
        self.length = length
        self.pieces = pieces
        self.is_whole = is_whole
        self.size = sum(map(len, pieces))

    def add(self, data: bytes) -> None:
        """Keep a piece until there is a connection."""
        self.pieces.append(data)
        self.size += len(data)

    def encode(self, template: RequestTemplate) -> bytes:
        """Return the head, and what there is of the body, as HTTP/1.1 sends it."""
        if template.has_id and self.is_whole and self.length is not None and self.length != CHUNKED:
            framing = b"content-length: %d\r\n\r\n" % self.length  # what nearly all of them are
            return b"".join((template.before, self.request_id, template.after, framing, *self.pieces))
        head = template.encode(self.request_id, self.length)
        if not self.pieces and not self.is_whole:
            return head
        if self.length != CHUNKED:
            return b"".join((head, *self.pieces))
        chunks = [frame_chunk(piece) for piece in self.pieces]
        return b"".join((head, *chunks, LAST_CHUNK if self.is_whole else b""))


LAST_CHUNK = b"0\r\n\r\n"


def frame_chunk(data: bytes) -> bytes:
    """Return a piece of a body as one chunk (RFC 9112 section 7.1)."""
    return b"%x\r\n%b\r\n" % (len(data), data)
