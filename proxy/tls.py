"""TLS between a plain transport and a protocol, for either side of a connection.

The event loops' own TLS is not used: uvloop drops what its TLS layer still holds when the other side ends
while reading is paused, so that an answer of 100 KB arrived cut off (HARDENING 50). Here all that has been
decrypted is handed on before the end is told, and no more is read from the socket than the protocol has room
for.
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from enum import Enum
from typing import Any, cast

READ_BYTES = 16 * 1024  # of a record at most


class _State(Enum):
    SHAKING_HANDS = 0
    OPEN = 1
    CLOSING = 2  # by us: what still comes is handed on, and nothing more is taken to be sent
    OVER = 3


class TlsAdapter(asyncio.Protocol, asyncio.Transport):
    """The protocol of a plain transport, and the transport of `inner`, which is told of nothing but
    plaintext.

    `ready` is done when the handshake is over, or failed with what went wrong; only then does `inner` learn
    of its connection, and of a handshake that fails it never does. The other side's close_notify is the end
    that `inner` is told of; an end of the connection without one is a loss, for anybody on the way may have
    made it (RFC 9112 section 9.8).
    """

    def __init__(
        self,
        inner: asyncio.Protocol,
        context: ssl.SSLContext,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
    ) -> None:
        super().__init__()
        self._inner = inner
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(
            self._incoming, self._outgoing, server_side=server_side, server_hostname=server_hostname
        )
        self._transport: asyncio.Transport | None = None
        self._state = _State.SHAKING_HANDS
        self._has_ended = False  # the other side has, and the inner protocol was told
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    # What the plain transport tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._shake_hands()

    def data_received(self, data: bytes) -> None:
        if self._state is _State.OVER:
            return
        self._incoming.write(data)
        if self._state is not _State.SHAKING_HANDS or self._shake_hands():
            self._deliver()

    def eof_received(self) -> bool:
        self._incoming.write_eof()
        if self._state is _State.SHAKING_HANDS:
            self._shake_hands()
        elif not self._has_ended and self._state is _State.OPEN:
            self._end(None, ssl.SSLEOFError(ssl.SSL_ERROR_EOF, "the connection ended without close_notify"))
        return False  # the plain transport closes

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._end(exc or ConnectionResetError("the connection ended during the handshake"), exc)

    def pause_writing(self) -> None:
        if self._is_open:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        if self._is_open:
            self._inner.resume_writing()

    # What the inner protocol asks for, as of any transport.

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Encrypt and send; nothing, once it is closing."""
        if self._state is _State.OPEN and data:
            self._tls.write(data)
            self._flush()

    def write_eof(self) -> None:
        """Say that nothing more comes (close_notify), and go on reading."""
        if self._state is _State.OPEN:
            self._state = _State.CLOSING
            self._notify_close()

    def can_write_eof(self) -> bool:
        return True

    def close(self) -> None:
        """Close once everything has been sent."""
        self.write_eof()
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close now."""
        if self._transport is not None:
            self._transport.abort()

    def is_closing(self) -> bool:
        return self._transport is None or self._transport.is_closing()

    def pause_reading(self) -> None:
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if self._transport is not None:
            self._transport.resume_reading()

    def is_reading(self) -> bool:
        return self._transport is not None and self._transport.is_reading()

    def get_write_buffer_size(self) -> int:
        return self._transport.get_write_buffer_size() if self._transport is not None else 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        if self._transport is not None:
            self._transport.set_write_buffer_limits(high, low)

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._inner

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Hand what comes from now on to another protocol."""
        self._inner = cast("asyncio.Protocol", protocol)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if name == "ssl_object":
            return self._tls
        return self._transport.get_extra_info(name, default) if self._transport is not None else default

    # How it works.

    @property
    def _is_open(self) -> bool:
        return self._state in (_State.OPEN, _State.CLOSING)

    def _shake_hands(self) -> bool:
        """Go on with the handshake; tell whether it is over."""
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return False
        except (ssl.SSLError, ssl.CertificateError) as error:
            self._flush()  # the alert that tells the other side why
            self._fail(error)
            return False
        self._flush()
        self._state = _State.OPEN
        if not self.ready.done():
            self.ready.set_result(None)
        self._inner.connection_made(self)
        return True

    def _deliver(self) -> None:
        """Hand on all that can be decrypted, then the end if it has come."""
        pieces: list[bytes] = []
        is_over, fault = self._decrypt(pieces)
        self._flush()  # an answer to a renewed key, say
        if pieces:
            self._inner.data_received(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        if fault is not None:
            self._fail(fault)
        elif is_over and not self._has_ended and self._is_open:
            self._has_ended = True
            if not self._inner.eof_received():
                self.close()

    def _decrypt(self, pieces: list[bytes]) -> tuple[bool, ssl.SSLError | None]:
        """Take all that is there; return whether the other side has ended, and what is wrong with it."""
        try:
            while piece := self._tls.read(READ_BYTES):
                pieces.append(piece)
        except ssl.SSLWantReadError:
            return False, None
        except ssl.SSLZeroReturnError:
            return True, None
        except ssl.SSLError as error:
            return False, error
        return True, None

    def _flush(self) -> None:
        if self._transport is not None and (data := self._outgoing.read()):
            self._transport.write(data)

    def _notify_close(self) -> None:
        with suppress(ssl.SSLError):  # it waits for the other side's, which we do not
            self._tls.unwrap()
        self._flush()

    def _fail(self, error: Exception) -> None:
        """Close now, and tell why."""
        transport = self._transport
        self._end(error, error)
        if transport is not None:
            transport.abort()

    def _end(self, unready: Exception | None, exc: Exception | None) -> None:
        """Tell of the end, once: who waits for the handshake, or the inner protocol."""
        was_open, self._state = self._is_open, _State.OVER
        if unready is not None and not self.ready.done():
            self.ready.set_exception(unready)
            self.ready.exception()  # whoever waited may have gone
        if was_open:
            self._inner.connection_lost(exc)
