"""The ports of the backend's side: what an exchange is told, and what a `Sending` asks of a connection."""

from __future__ import annotations

from typing import Protocol

from proxy.errors import UpstreamError
from proxy.policy.model import HeaderPairs
from proxy.upstream.answers import KnownAnswer


class AnswerExchange(Protocol):
    """What an exchange is told of the answer, in the order in which it comes; `fail` ends it early."""

    def take_head(self, status: int, headers: HeaderPairs) -> None:
        """The head of the final answer has come. Names are as the backend wrote them."""

    def take_whole(self, known: KnownAnswer, body: bytes) -> None:
        """A whole answer has come, the head of which is known."""

    def take_answer(self, data: bytes, pieces: int) -> None:
        """Bytes of the body have come, in so many pieces."""

    def take_answer_end(self) -> None:
        """The body is whole."""

    def fail(self, error: UpstreamError) -> None:
        """There will be no answer, or no more of it."""

    def hold_body_back(self) -> None:
        """The backend takes no more of the request's body for now."""

    def go_on_with_body(self) -> None:
        """It takes more."""

    def crash(self, error: Exception) -> None:
        """An event has met a bug."""


class Answered(Protocol):
    """What a connection tells of one exchange, besides the body, which goes to the exchange itself."""

    exchange: AnswerExchange

    def take_head(self, status: int, headers: HeaderPairs) -> None:
        """The head of the final answer has come."""

    def take_whole(self, known: KnownAnswer, body: bytes) -> bool:
        """A whole answer has come, the head of which is known; False if it has to be told bit by bit."""

    def finish(self) -> None:
        """The answer is whole, and has been told."""

    def fail(self, error: UpstreamError, *, is_untouched: bool, is_unsent: bool = False) -> None:
        """The connection has ended before that.

        `is_untouched`: not a byte of an answer had come. `is_unsent`: nothing can have been received either.
        """
