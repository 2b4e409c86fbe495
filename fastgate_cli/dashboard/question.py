"""What a dashboard is asked: which time, and which requests. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from proxy.store.log_filter import LogFilter


@dataclass(frozen=True, slots=True)
class Range:
    """A time up to now: the key that chooses it, and what it is called on the command line and in a title."""

    key: str
    name: str
    title: str
    length: timedelta


RANGES = (
    Range("1", "5m", "last 5 minutes", timedelta(minutes=5)),
    Range("2", "1h", "last hour", timedelta(hours=1)),
    Range("3", "6h", "last 6 hours", timedelta(hours=6)),
    Range("4", "24h", "last 24 hours", timedelta(hours=24)),
    Range("5", "7d", "last 7 days", timedelta(days=7)),
)


@dataclass(frozen=True, slots=True)
class Question:
    """What the figures are to be of. `text` is the filter as it was written."""

    range: Range = RANGES[0]
    wanted: LogFilter = field(default_factory=LogFilter)
    text: str = ""


@dataclass(frozen=True, slots=True)
class Wish:
    """What the readers are to find out. `opened` is the id of a request to read whole, if there is one.

    While it is paused nothing is read again that has been read already.
    """

    question: Question = field(default_factory=Question)
    opened: str = ""
    is_paused: bool = False
