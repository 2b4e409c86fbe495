"""Facts of requests, as filters and figures read them: numbers only, and the numbers that texts have.

It writes `log_facts` and `log_words` for whoever writes `audit_logs`, in the same transaction. A word is
deleted by retention, and never while a fact has its number.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any, NamedTuple, cast

from proxy.clock import to_us
from proxy.errors import NOT_ERRORS
from proxy.store.database import Database
from proxy.store.models import PLACES_PER_US, AuditLogRow, LogFact, LogWord, Row
from proxy.store.statements import (
    Columns,
    RowNames,
    delete_statement,
    execute_many,
    insert_rows,
    insert_statement,
    kind_of,
    update_statement,
)

US_PER_DAY = 86_400_000_000
KINDS = ("key", "source", "route", "method", "path", "ip", "text", "error")
PLACE_MIN, PLACE_MAX = -(2**63), 2**63 - 1  # what a column of integers holds; it ends in the year 2041
_PLACES_PER_DAY = US_PER_DAY * PLACES_PER_US
_KNOWN_MAX = 50_000  # combinations, and words, of one day; beyond it they are looked up anew
_DAYS_MAX = 3
_COLUMNS = tuple(LogFact._meta.sorted_field_names)
_COLUMNS_OF_SUCCESS = tuple(name for name in _COLUMNS if name != "error_n")
_NUMBER_COLUMNS = _COLUMNS_OF_SUCCESS[1 : _COLUMNS_OF_SUCCESS.index("status")]
# What a fact has besides the numbers of its texts.
REST_COLUMNS = ("place", *_COLUMNS[_COLUMNS.index("status") :])
_END_COLUMNS = _COLUMNS[_COLUMNS.index("error_n") : _COLUMNS.index("id")]
_FIRST_BYTE_COLUMNS = ("is_stream", "ttfb_ms")
# Below zero are the numbers of reasons that are no errors: a fact says so without a look at its words.
_NUMBERS_OF_NO_ERRORS = {word: -number for number, word in enumerate(sorted(NOT_ERRORS), 1)}
IS_FAULT: Any = LogFact.error_n > 0  # it has a reason, and that is an error
# Refused, failed, or answered with 400 and above.
IS_ERROR: Any = (LogFact.status >= 400) | IS_FAULT

# key, source, route, method, path, ip, target, user agent, and error if there is one
Texts = tuple[str | None, ...]
Numbers = tuple[int | None, ...]
TEXT_COLUMNS = (
    *("api_key", "source_path", "route_id", "method", "path", "ip_address"),
    *("target_url", "user_agent", "error_message"),
)
# place; texts; status, is_stream as 0 or 1, took_ms, ttfb_ms, gateway_us, request_size, response_size, id
Fact = tuple[int, Texts, Columns]
# error; status to response_size as above; place; id
FactEnd = tuple[str | None, Columns, int, str]
# ttfb_ms, place, id
FactFirstByte = tuple[int, int, str]


def place_of(time_us: int, turn: int = 0) -> int:
    """Return the place of a request that came at a time; `turn` tells those of one microsecond apart."""
    return time_us * PLACES_PER_US + turn % PLACES_PER_US


def bound_place(moment: datetime) -> int:
    """Return the place at which a moment begins, or of those that a database can be asked for the nearest."""
    return max(PLACE_MIN, min(place_of(to_us(moment)), PLACE_MAX))


class _Day(NamedTuple):
    """What is known of a day: numbers by texts, and by kind and word."""

    known: dict[Texts, Numbers]
    words: dict[tuple[str, str], int]


def fact_of(row: Row, turn: int = 0) -> Fact:
    """Return the fact of a row of `audit_logs` that was not recorded here; `turn` as of `place_of`."""
    began, first = row["request_time"], row.get("first_response_time")
    gateway_ms = row.get("gateway_ms")
    return (
        place_of(to_us(began), turn),
        tuple(row.get(name) for name in TEXT_COLUMNS),
        (
            row.get("status_code"),
            int(bool(row.get("is_stream"))),
            row.get("response_time_ms"),
            None if first is None else round((first - began).total_seconds() * 1000),
            None if gateway_ms is None else round(gateway_ms * 1000),
            row.get("request_size"),
            row.get("response_size"),
            row["id"],
        ),
    )


class WordBook:
    """The numbers of texts. It remembers what it has looked up or added, and that their day is noted.

    One connection's: `forget` it when a transaction failed, since what it had added is then not there.
    """

    def __init__(self) -> None:
        self._days: dict[int, _Day] = {}
        # Of the request before: most come one after the other.
        self._day, self._page = -1, _Day({}, {})

    def forget(self) -> None:
        """Look everything up anew."""
        self._days.clear()
        self._day = -1

    def number_texts(self, database: Database, texts: Texts, place: int) -> Numbers:
        """Return the number of each text, for the columns of a fact: eight, or seven if there is no error."""
        day = place // _PLACES_PER_DAY
        if day != self._day:
            self._turn_to(day)
        return self._page.known.get(texts) or self._add_texts(database, texts, day)

    def number_error(self, database: Database, error: str | None, place: int) -> int | None:
        """Return the number of an error's text."""
        if error is None:
            return None
        day = place // _PLACES_PER_DAY
        self._turn_to(day)
        return self._number_word(database, "error", error, day)

    def number_backend(
        self, database: Database, backend: tuple[str | None, str | None, str | None], place: int
    ) -> int:
        """Return the number of the text that a path, a target and a user agent make up."""
        day = place // _PLACES_PER_DAY
        self._turn_to(day)
        return self._number_word(database, "text", _merge(*backend), day)

    def _add_texts(self, database: Database, texts: Texts, day: int) -> Numbers:
        self._turn_to(day)  # where there is room for more
        *simple, path, ip, target, agent, error = texts[:8] + (texts[8:] or (None,))
        merged = (*simple, path, ip, _merge(path, target, agent), error)
        numbers = tuple(
            None if word is None else self._number_word(database, kind, word, day)
            for kind, word in zip(KINDS, merged, strict=True)
        )
        numbers = numbers if error is not None else numbers[:-1]
        self._page.known[texts] = numbers
        return numbers

    def _turn_to(self, day: int) -> None:
        page = self._days.get(day)
        if page is None or len(page.known) > _KNOWN_MAX or len(page.words) > _KNOWN_MAX:
            if len(self._days) >= _DAYS_MAX:
                self._days.clear()
            page = self._days[day] = _Day({}, {})
        self._day, self._page = day, page

    def _number_word(self, database: Database, kind: str, word: str, day: int) -> int:
        number = self._page.words.get((kind, word))
        if number is None:
            number = self._page.words[kind, word] = _use_word(database, kind, word, day)
        return number


def _merge(path: str | None, target: str | None, agent: str | None) -> str:
    return "\n".join((path or "", target or "", agent or ""))


def _use_word(database: Database, kind: str, word: str, day: int) -> int:
    """Return the number of a word, which gets one if it is new, and note the day on which it is used."""
    query = LogWord.select(LogWord.n, LogWord.last_day).where(LogWord.kind == kind, LogWord.word == word)
    for row in database.fetch(query):
        if row["last_day"] < day:
            LogWord.update(last_day=day).where(LogWord.n == row["n"]).execute(database.peewee)
        return int(row["n"])
    fixed = _NUMBERS_OF_NO_ERRORS.get(word) if kind == "error" else None
    if fixed is not None:
        LogWord.insert(n=fixed, kind=kind, word=word, last_day=day).execute(database.peewee)
        return fixed
    return int(LogWord.insert(kind=kind, word=word, last_day=day).execute(database.peewee))


def write_facts(database: Database, book: WordBook, facts: Iterable[Fact]) -> None:
    """Insert the facts of new requests; those that are there already stay as they are."""
    number = book.number_texts
    rows: list[Columns] = []
    failed: list[Columns] = []
    for place, texts, figures in facts:
        numbers = number(database, texts, place)
        # Each of the two is inserted without columns that would be null: see `recording.py`.
        (rows if len(numbers) == len(_NUMBER_COLUMNS) else failed).append((place, *numbers, *figures))
    for names, some in ((_COLUMNS_OF_SUCCESS, rows), (_COLUMNS, failed)):
        statement = insert_statement(kind_of(database), LogFact, names)
        if execute_many(database, statement, some) != len(some):
            _move_apart(database, statement, some)


def write_common_facts(
    database: Database, book: WordBook, texts: Sequence[Texts], figures: list[Any]
) -> None:
    """Insert the facts of new requests without errors; `figures` has the `REST_COLUMNS` of each in turn."""
    places, width = figures[:: len(REST_COLUMNS)], len(REST_COLUMNS)
    numbers = [book.number_texts(database, *each) for each in zip(texts, places, strict=True)]
    names = RowNames((), _NUMBER_COLUMNS, REST_COLUMNS)
    if insert_rows(database, LogFact, names, (), numbers, figures) != len(numbers):
        rows = [
            (place, *each, *figures[start + 1 : start + width])
            for start, place, each in zip(range(0, len(figures), width), places, numbers, strict=True)
        ]
        _move_apart(database, insert_statement(kind_of(database), LogFact, _COLUMNS_OF_SUCCESS), rows)


def end_facts(database: Database, book: WordBook, ends: Iterable[FactEnd]) -> None:
    """Add what is known at the end of requests whose facts are there already."""
    rows = [
        (book.number_error(database, error, place), *figures, place, place + PLACES_PER_US - 1, row_id)
        for error, figures, place, row_id in ends
    ]
    execute_many(
        database, update_statement(kind_of(database), LogFact, _END_COLUMNS, _is_unfinished_one), rows
    )


def change_backends(database: Database, book: WordBook, requests: Iterable[tuple[int, str]]) -> None:
    """Follow requests, by place and id, whose rows name another backend than their facts: few do."""
    statement = update_statement(kind_of(database), LogFact, ("text_n",), _is_unfinished_one)
    log = AuditLogRow
    for place, row_id in requests:
        query = log.select(log.path, log.target_url, log.user_agent).where(log.id == row_id)
        numbers = [
            book.number_backend(database, (row["path"], row["target_url"], row["user_agent"]), place)
            for row in database.fetch(query)
        ]
        execute_many(
            database, statement, [(number, place, place + PLACES_PER_US - 1, row_id) for number in numbers]
        )


def note_first_bytes(database: Database, first_bytes: Iterable[FactFirstByte]) -> None:
    """Add what is known at the first byte of a stream."""
    rows = [
        (True, ttfb_ms, place, place + PLACES_PER_US - 1, row_id) for ttfb_ms, place, row_id in first_bytes
    ]
    execute_many(
        database, update_statement(kind_of(database), LogFact, _FIRST_BYTE_COLUMNS, _is_unfinished_one), rows
    )


def interrupt_facts(
    database: Database, book: WordBook, error: str, requests: Iterable[tuple[int, str]]
) -> None:
    """Note that requests, by place and id, will never end."""
    rows = [
        (book.number_error(database, error, place), place, place + PLACES_PER_US - 1, row_id)
        for place, row_id in requests
    ]
    execute_many(
        database, update_statement(kind_of(database), LogFact, ("error_n",), _is_unfinished_one), rows
    )


def delete_facts(database: Database, rows: Iterable[Row]) -> None:
    """Delete the facts of requests, of which there are `id` and `request_time`."""
    statement = delete_statement(kind_of(database), LogFact, _is_one)
    places = [(place_of(to_us(row["request_time"])), row["id"]) for row in rows]
    execute_many(database, statement, [(place, place + PLACES_PER_US - 1, name) for place, name in places])


def _is_one() -> Any:
    # The turn within the microsecond is not known; the id tells which one is meant.
    return LogFact.place.between(0, 0) & (LogFact.id == "")


def _is_unfinished_one() -> Any:
    return _is_one() & LogFact.took_ms.is_null()


def _move_apart(database: Database, statement: str, rows: Iterable[Columns]) -> None:
    """Find another turn for each request whose place another one has: of two workers, in one microsecond.

    Those that a microsecond has no turn left for, which takes an import of times without fractions, are given
    one of the next.
    """
    left = list(rows)
    while left:
        left.sort(key=_microsecond_of)
        groups = [(time_us, list(group)) for time_us, group in groupby(left, _microsecond_of)]
        left = [row for time_us, group in groups for row in _fill(database, statement, time_us, group)]


def _microsecond_of(row: Columns) -> int:
    return cast("int", row[0]) // PLACES_PER_US


def _fill(database: Database, statement: str, time_us: int, rows: list[Columns]) -> list[Columns]:
    """Insert requests where a microsecond has room, and return those that have to look in the next one."""
    start, end = place_of(time_us), place_of(time_us + 1)
    span = LogFact.place.between(start, end - 1)
    query = LogFact.select(LogFact.id, LogFact.place).where(span)
    there = {row["id"]: row["place"] for row in database.fetch(query)}
    others = [rest for _, *rest in rows if rest[-1] not in there]
    free = sorted(set(range(start, end)).difference(there.values()))[: len(others)]
    execute_many(database, statement, [(place, *rest) for place, rest in zip(free, others, strict=False)])
    return [(end, *rest) for rest in others[len(free) :]]
