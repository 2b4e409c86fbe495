"""Requests out of bytes: httptools' callbacks, bounds on heads, and what is told of a head that is broken.

No socket and no task: `feed` takes bytes and calls a `Sink`. llhttp, which is behind httptools, refuses bad
framing, bare line ends, folded lines and control characters by itself (RFC 9112 section 11); here are the
bounds, the versions, and the offers to speak another protocol, which are passed over. The pieces of a body
that came in one read are told as one: a body in chunks of one byte costs no more than another. What a sink
raises is raised by `feed`: a fault of ours is none of the client's.

The names `on_...` are httptools'.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from httptools import HttpParserCallbackError, HttpParserError, HttpParserUpgrade, HttpRequestParser

from proxy.http1.faults import (
    BAD_EXPECTATION,
    BAD_FRAMING,
    BAD_HEAD,
    BAD_VERSION,
    LONG_HEADERS,
    LONG_LINE,
    Fault,
)
from proxy.http1.heads import recover_request_line
from proxy.http1.limits import HEADER_BYTES_MAX, HEADERS_MAX, LINE_BYTES_MAX, UNPARSED_BYTES_MAX
from proxy.policy.framing import is_request_line

_VERSIONS = ("1.1", "1.0")


class Head(NamedTuple):
    """The head of a request. Header names are in lower case; `target` is what stood in the request line."""

    method: str
    target: bytes
    version: str
    headers: list[tuple[bytes, bytes]]
    is_kept_alive: bool


class Sink(Protocol):
    """Who is told of requests, in the order in which they come. After a fault nothing more is told."""

    def begin_head(self) -> None:
        """The first byte of a request has come."""

    def take_head(self, head: Head) -> None:
        """A request begins; its body follows, and its end."""

    def take_body(self, data: bytes) -> None:
        """A piece of the body has come."""

    def take_end(self, *, is_last: bool) -> None:
        """The body is whole; with `is_last` the parser reads nothing more."""

    def take_fault(self, fault: Fault, head: Head | None) -> None:
        """A request cannot be served; of its head there is what could be read, if anything."""

    def take_broken_body(self) -> None:
        """The body is not well-formed, or has too much beside it, and will not come to its end."""


class RequestParser:
    """Parses what one client sends. `is_deaf` once nothing more will be read of it."""

    def __init__(self, sink: Sink) -> None:
        self.is_deaf = False
        self.is_in_head = False
        self._sink = sink
        self._parser = HttpRequestParser(self)
        self._is_in_body = False
        self._is_repeating = False
        self._read = b""  # what this read brought, with those before it in which the head under way has come
        self._is_at_start = False  # the head under way begins where that does
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._head_bytes = 0
        self._has_bad_expectation = False
        self._unparsed_bytes = 0
        self._pieces: list[bytes] = []  # of a body, in this read
        self._is_chunked = False
        self._fault: Fault | None = None

    @property
    def is_idle(self) -> bool:
        """Tell whether the next byte is the first of a request."""
        return not (self.is_in_head or self._is_in_body or self.is_deaf)

    def feed(self, data: bytes) -> None:
        """Take bytes as they came."""
        rest = data
        while rest and not self.is_deaf:
            rest = self._feed_until_offer(rest)

    def _feed_until_offer(self, data: bytes) -> bytes:
        """Parse up to an offer to upgrade, behind which another parser goes on; return what is left."""
        rest = b""
        self._unparsed_bytes += len(data)
        if self.is_in_head:
            self._read += data
        else:
            self._read, self._is_at_start = data, not self._is_in_body
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade as upgrade:
            rest = data[upgrade.args[0] :]
            self._pass_over_upgrade()
        except HttpParserCallbackError:
            raise
        except HttpParserError as error:
            self._give_up(str(error))
        if self._pieces:
            self._tell_body()
        if self._unparsed_bytes > UNPARSED_BYTES_MAX or self.is_in_head:
            self._check_bounds()
        if not self.is_in_head:
            self._read = b""  # an idle connection holds nothing of what it has read
        return rest

    def on_message_begin(self) -> None:
        if not self._is_repeating and not self.is_deaf:
            self.is_in_head = True
            self._url, self._headers, self._head_bytes = b"", [], 0
            self._has_bad_expectation = False
            self._unparsed_bytes = len(self._read) if self._is_at_start else 0
            self._sink.begin_head()

    def on_url(self, url: bytes) -> None:
        if not self._is_repeating:
            self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.is_in_head:
            return  # a trailer, which nobody has asked for, or a head that is repeated
        self._head_bytes += len(name) + len(value) + 4
        if self._head_bytes > HEADER_BYTES_MAX or len(self._headers) >= HEADERS_MAX:
            self._fault = LONG_HEADERS
        else:
            name = name.lower()
            # The white space behind a value is no part of it (RFC 9110 section 5.5).
            self._headers.append((name, value.rstrip()))
            if name == b"expect" and value.rstrip().lower() != b"100-continue":
                self._has_bad_expectation = True

    def on_headers_complete(self) -> None:
        if self._is_repeating or self.is_deaf:
            return
        self.is_in_head = False
        self._unparsed_bytes = 0
        parser = self._parser
        version = parser.get_http_version()
        self._is_chunked = False
        method = parser.get_method().decode("ascii", "replace")
        if version not in _VERSIONS:
            self._fault = BAD_VERSION
        elif not self._has_good_line(method, version):
            self._fault = BAD_HEAD
        elif version == "1.0" and any(name == b"transfer-encoding" for name, _ in self._headers):
            self._fault = BAD_FRAMING  # RFC 9112 section 6.1: whoever is in between may not know the coding
        elif len(self._url) > LINE_BYTES_MAX:
            self._fault = LONG_LINE
        elif self._has_bad_expectation:
            self._fault = self._fault or BAD_EXPECTATION
        if self._fault is not None:
            self._refuse(method)
            return
        self._is_at_start = False
        self._is_in_body = True
        self._is_chunked = any(name == b"transfer-encoding" for name, _ in self._headers)
        self._sink.take_head(Head(method, self._url, version, self._headers, parser.should_keep_alive()))

    def _has_good_line(self, method: str, version: str) -> bool:
        if self._is_at_start:
            return is_request_line(_first_line(self._read))
        # Where it begins nobody knows. llhttp has read it; here is only asked whether it says HTTP.
        return b"%b %b HTTP/%b\r\n" % (method.encode(), self._url, version.encode()) in self._read

    def on_body(self, body: bytes) -> None:
        self._unparsed_bytes = 0
        if not self.is_deaf:
            self._pieces.append(body)

    def on_message_complete(self) -> None:
        if self._is_in_body and not self.is_deaf and not self._awaits_body_after_offer():
            if self._pieces:
                self._tell_body()
            self._is_in_body = False
            # A trailer says nothing about the connection (RFC 9110 section 6.5.1), but llhttp obeys
            # `Connection: close` there, and would never read on: better the client is told at once.
            self._sink.take_end(is_last=self._is_chunked and not self._parser.should_keep_alive())

    def _tell_body(self) -> None:
        pieces, self._pieces = self._pieces, []
        self._sink.take_body(pieces[0] if len(pieces) == 1 else b"".join(pieces))

    def _awaits_body_after_offer(self) -> bool:
        # llhttp takes what follows an offer to upgrade for another protocol, even an announced body.
        return self._parser.should_upgrade() and any(map(_announces_body, self._headers))

    def _pass_over_upgrade(self) -> None:
        """Go on in HTTP/1.1, as RFC 9110 section 7.8 allows, with a parser that has not seen the offer."""
        self._parser = HttpRequestParser(self)
        if self._is_in_body and not self.is_deaf:
            framing = b"".join(b"%b: %b\r\n" % pair for pair in self._headers if _announces_body(pair))
            self._is_repeating = True
            try:
                self._parser.feed_data(b"POST / HTTP/1.1\r\n%b\r\n" % framing)
            except HttpParserError as error:
                self._give_up(str(error))
            self._is_repeating = False

    def _give_up(self, error: str) -> None:
        if self._is_in_body:
            if self._pieces:
                self._tell_body()
            self.is_deaf = True
            self._sink.take_broken_body()
        elif self.is_in_head:
            is_framing = "Content-Length" in error or "Transfer-Encoding" in error
            self._fault = self._fault or (BAD_FRAMING if is_framing else BAD_HEAD)
            self._refuse()
        else:
            self.is_deaf = True  # bytes behind a request that said it was the last

    def _check_bounds(self) -> None:
        is_long = self._unparsed_bytes > UNPARSED_BYTES_MAX
        if self.is_in_head:
            if len(self._url) > LINE_BYTES_MAX:
                self._fault = LONG_LINE
            elif is_long:
                self._fault = LONG_HEADERS if self._url else LONG_LINE
            if self._fault is not None:
                self._refuse()
        elif self._is_in_body and is_long and not self.is_deaf:
            self.is_deaf = True  # an extension of a chunk, or trailers, that do not end
            self._sink.take_broken_body()

    def _refuse(self, method: str = "") -> None:
        self.is_deaf, self.is_in_head = True, False
        line = recover_request_line(self._read) if self._is_at_start else None
        if line is None and self._url:
            method = method or self._parser.get_method().decode("ascii", "replace")
            line = method, self._url[:LINE_BYTES_MAX]
        self._read = b""
        head = Head(*line, "1.1", self._headers, False) if line else None
        assert self._fault is not None
        self._sink.take_fault(self._fault, head)


def _announces_body(pair: tuple[bytes, bytes]) -> bool:
    return pair[0] == b"transfer-encoding" or (pair[0] == b"content-length" and pair[1].strip(b"0") != b"")


def _first_line(begun: bytes) -> bytes:
    start = 0
    while begun[start] in b"\r\n":
        start += 1
    return begun[start : begun.find(b"\r\n", start)]
