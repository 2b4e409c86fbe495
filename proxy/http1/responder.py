"""The response's side of a connection: one response at a time, framed as its client can read it.

A response whose end nobody could tell from a break is never ended as if it were whole, and never longer than
it says.
"""

from __future__ import annotations

from proxy.http1.heads import build_head
from proxy.http1.wire import Wire
from proxy.policy.model import HeaderPairs, RequestHead

_CHUNKED, _CLOSE, _KEEP = (
    b"transfer-encoding: chunked\r\n",
    b"connection: close\r\n",
    b"connection: keep-alive\r\n",
)
_END, _UNTIL_END = b"0\r\n\r\n", -1
_BODILESS = frozenset((204, 304))


class Responder:
    """Frames the responses of one connection, which inherits this: a request costs no object for it."""

    is_plain = True
    __slots__ = ("_has_started", "_head", "_is_bodiless", "_is_chunked", "_keeps_alive", "_to_send", "wire")

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self._head: RequestHead | None = None  # that is being answered
        self._keeps_alive = True
        self._has_started = self._is_bodiless = self._is_chunked = False
        self._to_send = 0  # bytes of the body

    def send_head(self, status: int, headers: HeaderPairs) -> None:
        """Send the head of the response; without a `content-length` its body is framed in chunks."""
        if self._has_started:
            raise RuntimeError("a response has one head")
        head = self._head
        assert head is not None
        is_bodiless = status in _BODILESS or head.method == "HEAD"
        is_chunked, to_send, framing = False, _UNTIL_END, b""
        length = None
        for name, value in headers:
            if name == b"content-length":
                length = value
                break
        if length is not None:
            to_send = int(length)
            if status == 204:  # RFC 9110 section 8.6: there must be none
                headers = [pair for pair in headers if pair[0] != b"content-length"]
        elif not is_bodiless:
            is_chunked = head.http_version == "1.1"
            if is_chunked:
                framing = _CHUNKED
            else:  # nothing tells a client of HTTP/1.0 where such a body ends but the end of the connection
                self._keeps_alive = False
        if self._keeps_alive and not self._may_go_on():
            self._keeps_alive = False
        framing += self._persistence()
        self.wire.hold(build_head(status, headers, framing))
        # Only now: a head that could not be built has left nothing for the one that is sent instead of it.
        self._has_started = True
        self._is_bodiless, self._is_chunked, self._to_send = is_bodiless, is_chunked, to_send

    def send_body(self, data: bytes) -> None:
        """Send a piece of the body."""
        if self._is_bodiless or not data:
            return  # an empty chunk would be the last one
        if self._is_chunked:
            data = b"%x\r\n%b\r\n" % (len(data), data)
        elif self._to_send >= 0:
            if len(data) > self._to_send:
                raise ValueError("the body of the response is longer than its Content-Length")
            self._to_send -= len(data)
        self.wire.write(data)

    def send_whole(self, head: bytes, body: bytes) -> None:
        """Send a whole response: all of its head but what says how the connection goes on, and its body."""
        if self._keeps_alive and not self._may_go_on():
            self._keeps_alive = False
        self._has_started = True
        self.wire.write(b"".join((head, self._persistence(), b"\r\n", body)))
        self.end()

    def end(self) -> None:
        """The response is whole."""
        raise NotImplementedError

    def forbid_reuse(self) -> None:
        """Close the connection after this response."""
        self._keeps_alive = False

    def _begin_response(self, head: RequestHead, *, keeps_alive: bool) -> None:
        self._head = head
        self._keeps_alive = keeps_alive
        self._has_started = self._is_bodiless = self._is_chunked = False
        self._to_send = 0

    def _persistence(self) -> bytes:
        """Return the line that says how the connection goes on, where HTTP does not say it by itself."""
        if not self._keeps_alive:
            return _CLOSE
        return _KEEP if self._head is not None and self._head.http_version == "1.0" else b""

    def _may_go_on(self) -> bool:
        """Tell whether another request may follow on the connection."""
        raise NotImplementedError

    def _finish_response(self) -> bool:
        """Write the end of the body, if its framing has one; return whether the response is whole."""
        if self._is_chunked:
            self.wire.write(_END)
            return True
        return self._has_started and (self._is_bodiless or self._to_send <= 0)
