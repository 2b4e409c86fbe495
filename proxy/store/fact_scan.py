"""Figures of facts in bulk: how what a million requests took comes out of the database in little time.

SQLite joins the values of an expression into one text. That takes a third of the time of a row for each, and
happens outside the interpreter's lock, so that a thread reads on while what it has read is being counted.
This is the one place that knows how; a database with percentiles of its own needs none of it.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import Any, NamedTuple

from peewee import fn

from proxy.errors import DatabaseError
from proxy.store.database import Database
from proxy.store.models import LogFact

ROWS_PER_READING = 100_000
READINGS_AHEAD = 2
_CHARACTERS_PER_STEP = 16_384
Span = tuple[int, int]  # of places: from the first up to the second, which is not among them


class Reading(NamedTuple):
    """What some of the requests of a span have: all values of each expression, and the sum of each total."""

    span: int  # which of the spans
    values: list[str]  # for `add_values`; a value that is NULL is not there
    totals: list[int]


class _Piece(NamedTuple):
    span: int
    low: int
    high: int


_Row = tuple[Any, ...]
_Read = Callable[[_Piece], _Row]


def read_facts(
    database: Database,
    spans: Sequence[Span],
    condition: Any,
    values: Sequence[Any],
    totals: Sequence[Any] = (),
) -> Iterator[Reading]:
    """Yield what the requests of each span have that meet a condition, in pieces of bounded size.

    The spans ascend and do not overlap; one without any requests is passed over. `values` are expressions
    over facts that are whole numbers, `totals` aggregates of such.
    """
    # Not to be coerced: peewee would take the text for a value of the field that is within.
    joined = [fn.GROUP_CONCAT(value).coerce(False) for value in values]
    read = partial(_read_piece, database, condition, [*joined, *totals])
    pieces = _cut_spans(database, spans)
    first, second = next(pieces, None), next(pieces, None)
    if first is None:
        return
    whole = (
        _read_ahead(database, read, chain((first, second), pieces))
        if second is not None
        else iter([(first, read(first))])
    )
    for piece, row in whole:
        texts, sums = row[: len(values)], row[len(values) :]
        yield Reading(piece.span, [text or "" for text in texts], [int(total or 0) for total in sums])


def add_values(counts: Counter[str], values: str) -> None:
    """Add the values of a reading to the counts of each.

    A million texts are counted in less time than numbers are made of them. `to_numbers` makes them
    afterwards, once of each that differs.
    """
    start = 0
    while start < len(values):
        # Not all at once: what is small stays in the processor's cache.
        end = values.find(",", start + _CHARACTERS_PER_STEP)
        end = len(values) if end < 0 else end
        counts.update(values[start:end].split(","))
        start = end + 1


def to_numbers(counts: Counter[str]) -> dict[int, int]:
    """Return how often each number was there."""
    try:
        return dict(zip(map(int, counts), counts.values(), strict=True))
    except ValueError:
        raise DatabaseError(
            "a figure in log_facts is not a number",
            hint="something other than FastGate wrote to the database; 'fastgate db check' looks at it",
        ) from None


def _read_ahead(database: Database, read: _Read, pieces: Iterable[_Piece]) -> Iterator[tuple[_Piece, _Row]]:
    """Yield what each piece holds, while a thread with a connection of its own reads the next ones."""
    from concurrent.futures import Future, ThreadPoolExecutor

    ahead: deque[tuple[_Piece, Future[_Row]]] = deque()
    with ThreadPoolExecutor(1) as reader:
        try:
            for piece in pieces:
                ahead.append((piece, reader.submit(read, piece)))
                if len(ahead) > READINGS_AHEAD:
                    done, row = ahead.popleft()
                    yield done, row.result()
            while ahead:
                done, row = ahead.popleft()
                yield done, row.result()
        finally:
            for _, row in ahead:
                row.cancel()
            reader.submit(database.close)


def _read_piece(database: Database, condition: Any, columns: Sequence[Any], piece: _Piece) -> _Row:
    query: Any = LogFact.select(*columns).where(LogFact.place >= piece.low, LogFact.place < piece.high)
    with database.reading():
        (row,) = query.where(condition).tuples().execute(database.peewee)
    return tuple(row)


def _cut_spans(database: Database, spans: Sequence[Span]) -> Iterator[_Piece]:
    """Yield the parts of spans that hold requests, none of which is long."""
    seen = None  # the place of a request that is known to be the next
    for number, (low, high) in enumerate(spans):
        if seen is None or seen < low:
            seen = _find_place(database, low, spans[-1][1])
            if seen is None:
                return
        while seen is not None and seen < high:
            cut = _find_place(database, low, high, skip=ROWS_PER_READING)
            yield _Piece(number, low, high if cut is None else cut)
            if cut is None:
                seen = None
                break
            low = seen = cut


def _find_place(database: Database, low: int, high: int, *, skip: int = 0) -> int | None:
    query = LogFact.select(LogFact.place).where(LogFact.place >= low, LogFact.place < high)
    found = database.fetch(query.order_by(LogFact.place).limit(1).offset(skip))
    return int(found[0]["place"]) if found else None
