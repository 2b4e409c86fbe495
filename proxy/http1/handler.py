"""The two ports of a client's connection: what it calls, and what it can be asked to do.

A connection has one exchange at a time. It tells the exchange what comes from the client, and the exchange
tells the connection what to send. Neither waits: whoever has no room says `pause`, and later `resume`.
"""

from __future__ import annotations

from typing import Any, Protocol

from proxy.http1.faults import Fault
from proxy.policy.model import HeaderPairs, RequestHead

# Why a client's part of an exchange ended early.
ABORTED, TIMED_OUT, TOO_SLOW, BAD_BODY = "client_abort", "client_timeout", "client_slow", "client_bad_body"


class Client(Protocol):
    """The client's side of one exchange. After `end` or `break_off` nothing is sent any more."""

    def send_head(self, status: int, headers: HeaderPairs) -> None:
        """Send the head of the response; without a `content-length` its body is framed in chunks."""

    def send_body(self, data: bytes) -> None:
        """Send a piece of the body."""

    # Whether `send_whole` can be used.
    is_plain: bool

    def send_whole(self, head: bytes, body: bytes) -> None:
        """Send a whole response: all of its head but what says how the connection goes on, and its body.

        Not to a HEAD request.
        """

    def end(self) -> None:
        """The response is whole."""

    def break_off(self) -> None:
        """Close the connection at once, so that nobody takes what was sent for a whole response."""

    def forbid_reuse(self) -> None:
        """Close the connection after this response."""

    def want_body(self) -> None:
        """Have the client send its body, if it waits for a word (RFC 9110 section 10.1.1)."""

    def pause(self) -> None:
        """Read no more of the request's body for now."""

    def resume(self) -> None:
        """Read on."""


class ClientExchange(Protocol):
    """What a connection tells of a request, in the order in which it happens."""

    def start(self) -> None:
        """The head has come."""

    def take_body(self, data: bytes) -> None:
        """A piece of the body has come."""

    def take_body_end(self) -> None:
        """The body is whole."""

    def fail_body(self, reason: str) -> None:
        """The body will never be whole, but the client can still be answered."""

    def leave(self, reason: str) -> None:
        """The client is gone, or given up: nothing can be sent to it any more."""

    def hold_back(self) -> None:
        """The client takes nothing more for now."""

    def go_on(self) -> None:
        """The client takes more again."""

    def interrupt(self) -> None:
        """The server stops, and waits no longer."""

    def crash(self, error: Exception) -> None:
        """An event has met a bug."""


class Known(Protocol):
    """A head that was remembered."""

    head: RequestHead


class Handler(Protocol):
    """Who makes exchanges. The connection calls `start` once it is ready for what that may bring."""

    def recognise(self, peer: str, data: bytes, end: int) -> tuple[Known, int, int] | None:
        """Return what is known of a head, `data` up to `end`, or None.

        With it come the length of its body in bytes, and the time, in microseconds since the epoch.
        """

    def open_known(self, client: Client, known: Any, length: int, time_us: int) -> ClientExchange:
        """Return the exchange of a recognised head."""

    def open(
        self, client: Client, head: RequestHead, fault: Fault | None, raw: tuple[bytes, int] | None
    ) -> ClientExchange:
        """Return the exchange of a request; one with a fault has to be refused.

        `raw` are the bytes that its head came in, if they came in one piece, and where it ends: it may be
        remembered.
        """
