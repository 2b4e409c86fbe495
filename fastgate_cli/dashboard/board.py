"""What a dashboard knows: the answer to each question it has asked, and when it got it. Pure.

Every part is read on its own and replaced whole, so that a slow one holds up no other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any, Generic, Literal, NamedTuple, TypeVar

from fastgate_cli.columns import Row
from fastgate_cli.dashboard.question import Question
from proxy.store.metrics import Picture

T = TypeVar("T")
Kind = Literal["sources", "routes", "paths", "errors"]
KINDS: tuple[Kind, ...] = ("sources", "routes", "paths", "errors")


class Beat(NamedTuple):
    """The requests of a short time, and how many of them are errors."""

    start: datetime
    requests: int
    errors: int


@dataclass(frozen=True, slots=True)
class Pulse:
    """What the last minutes came to, and what goes on right now.

    `in_flight` is as the database has it; `rows_per_second` is what the recorder writes, and is not known
    before it has been looked at twice.
    """

    beats: Sequence[Beat]  # the oldest first; the last one is the present one
    requests_per_second: float
    errors_per_second: float
    in_flight: int
    streams: int
    rows_per_second: float | None = None


@dataclass(frozen=True, slots=True)
class Gateway:
    """Whether a gateway runs, and how far the recording of its journal is behind. No address: none runs.

    `in_flight` is as its workers count it; `remark` is what is not as it should be.
    """

    address: str = ""
    workers: int = 0
    version: str = ""
    started: datetime | None = None
    in_flight: int | None = None
    lag_ms: int = 0
    waiting_bytes: int = 0
    remark: str = ""


@dataclass(frozen=True, slots=True)
class Known(Generic[T]):
    """What was read, for which question, and when."""

    value: T
    question: Question
    at: datetime


@dataclass(frozen=True, slots=True)
class Opened:
    """A request that was asked for by its id; no row: it is not there any more."""

    id: str
    row: Row | None


@dataclass(frozen=True, slots=True)
class Board:
    """Everything that is known. `troubles` says of each part why it cannot be read, as long as it cannot."""

    gateway: Known[Gateway] | None = None
    pulse: Known[Pulse] | None = None
    latest: Known[Sequence[Row]] | None = None
    picture: Known[Picture] | None = None
    hours: Known[Sequence[Beat]] | None = None
    tops: Mapping[Kind, Known[Sequence[Row]]] = field(default_factory=lambda: MappingProxyType({}))
    opened: Opened | None = None
    troubles: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def trouble(self) -> str:
        """The first of them; empty if all is well."""
        return next(iter(self.troubles.values()), "")


@dataclass(frozen=True, slots=True)
class Answer:
    """A part of the board as it was read: the name of a field of `Board`, or a kind of `tops`."""

    part: str
    question: Question
    value: Any
    at: datetime


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a part cannot be read, or an empty text when it can again."""

    part: str
    text: str


def take_news(board: Board, news: Answer | Trouble) -> Board:
    """Return the board with what a reader has told."""
    if isinstance(news, Trouble):
        troubles = {name: text for name, text in board.troubles.items() if name != news.part}
        return replace(board, troubles={**troubles, news.part: news.text} if news.text else troubles)
    if news.part == "opened":
        return replace(board, opened=news.value)
    known = Known(news.value, news.question, news.at)
    if news.part in KINDS:
        return replace(board, tops={**board.tops, news.part: known})
    fields: dict[str, Any] = {news.part: known}
    return replace(board, **fields)
