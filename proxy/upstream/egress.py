"""The egress proxy: where it is, what it is told, and the tunnel that it makes to a backend."""

from __future__ import annotations

import asyncio
import base64
from typing import NamedTuple, cast
from urllib.parse import unquote, urlsplit

from proxy.upstream.balance import Backend, split_origin
from proxy.upstream.faults import EGRESS_PROXY, fill
from proxy.upstream.pool import Origin

ANSWER_BYTES_MAX = 16 * 1024
_BROKE_OFF = "it broke off"
_NO_HTTP = "it does not answer with HTTP/1.1"


class EgressProxy(NamedTuple):
    """A proxy that every request goes through. `authorization` is a header line, or nothing."""

    origin: Origin
    authorization: bytes

    def __repr__(self) -> str:
        return f"EgressProxy({self.origin})"


def read_proxy(url: str) -> EgressProxy:
    """Return the proxy that a URL names, with the user and password in it."""
    parts = urlsplit(url)
    origin = split_origin(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}")
    if parts.username is None:
        return EgressProxy(origin, b"")
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
    return EgressProxy(origin, b"proxy-authorization: Basic " + base64.b64encode(pair) + b"\r\n")


class ConnectTunnel(asyncio.Protocol):
    """Asks a proxy for a tunnel (RFC 9110 section 9.3.6), and then gives its transport to `inner`.

    `ready` is done when there is a tunnel, or failed with why there is none.
    """

    def __init__(self, inner: asyncio.Protocol, backend: Backend, proxy: EgressProxy) -> None:
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._inner = inner
        _, host, port = backend.key
        authority = (f"[{host}]:{port}" if ":" in host else f"{host}:{port}").encode()
        self._request = b"CONNECT %b HTTP/1.1\r\nhost: %b\r\n%b\r\n" % (
            authority,
            authority,
            proxy.authorization,
        )
        self._transport: asyncio.Transport | None = None
        self._answer = b""
        self._answer_bytes = 0
        self._is_open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if self._is_open:
            self._inner.data_received(data)
            return
        self._answer += data
        self._answer_bytes += len(data)
        while not self.ready.done():
            head, end, self._answer = self._answer.partition(b"\r\n\r\n")
            if not end:
                self._answer = head
                if self._answer_bytes > ANSWER_BYTES_MAX:
                    self._fail(_NO_HTTP)
                return
            self._take_head(head)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received() if self._is_open else False

    def connection_lost(self, exc: Exception | None) -> None:
        if self._is_open:
            self._inner.connection_lost(exc)
        else:
            self._fail(_BROKE_OFF)

    def pause_writing(self) -> None:
        if self._is_open:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        if self._is_open:
            self._inner.resume_writing()

    def abort(self) -> None:
        """Close the connection to the proxy."""
        if self._transport is not None:
            self._transport.abort()

    def _take_head(self, head: bytes) -> None:
        version, _, rest = head.partition(b" ")
        status = rest[:3]
        if not version.startswith(b"HTTP/1.") or not status.isdigit() or rest[3:4] not in (b" ", b"\r", b""):
            self._fail(_NO_HTTP)
        elif status.startswith(b"2"):
            self._open()
        elif not status.startswith(b"1"):  # an interim answer is no answer yet
            self._fail(f"it answered {status.decode()}")

    def _open(self) -> None:
        assert self._transport is not None
        self._is_open = True
        rest, self._answer = self._answer, b""
        self.ready.set_result(None)
        self._inner.connection_made(self._transport)
        if rest:
            self._inner.data_received(rest)

    def _fail(self, why: str) -> None:
        if not self.ready.done():
            self.ready.set_exception(fill(EGRESS_PROXY, why).build_error())
            self.ready.exception()  # whoever waited may have gone
        self.abort()
