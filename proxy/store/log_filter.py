"""Which requests: the filter of `logs list`, `tail` and `export` as one expression over facts, or over rows.

Each condition is written once. Over facts, which is how a million requests are searched, a text is looked for
among the words, each of which is there once; over rows, which is how a follower looks at the few that are
new, in the columns themselves.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import reduce
from operator import and_, or_
from typing import Any, Protocol

from peewee import SQL

from proxy.errors import NOT_ERRORS, InvalidInputError
from proxy.store.database import Database
from proxy.store.facts import IS_ERROR, bound_place
from proxy.store.models import AuditLogRow, LogFact, LogWord, ProxyRouteRow, clean_text

TEXT_LENGTH_MAX = 500
NUMBER_MAX = 2**63 - 1  # what SQLite calls an integer
_STATUS = re.compile(r"([1-5])xx|([0-9]{3})(?:-([0-9]{3}))?")
_NUMBERS_MAX = 500  # of words that a statement lists; more are left to a subquery
_NEVER = SQL("1 = 0")
TextTest = Callable[[Any], Any]  # from a text's expression to a condition


@dataclass(frozen=True, slots=True)
class LogFilter:
    """Which requests: every condition given has to hold; several values of one are alternatives."""

    since: datetime | None = None
    until: datetime | None = None
    keys: Sequence[str] = ()
    sources: Sequence[str] = ()
    routes: Sequence[str] = ()  # ids or names
    methods: Sequence[str] = ()
    status: Sequence[str] = ()  # 404, 4xx, 500-599
    path_glob: str | None = None
    stream: bool | None = None
    min_ms: int | None = None
    errors: bool = False  # refused, failed, or answered with 400 and above
    ip: str | None = None
    grep: str | None = None  # text anywhere in path, target, error or user agent


class View(Protocol):
    """Where the conditions are to hold."""

    status: Any
    took_ms: Any
    is_stream: Any

    def test_text(self, kind: str, test: TextTest) -> Any:
        """Return the condition that a text of a request, by its kind, passes a test."""

    def is_error(self) -> Any:
        """Return the condition that a request was refused, has failed, or was answered with 400 and above."""

    def compare_time(self, moment: datetime, *, is_lowest: bool) -> Any:
        """Return the condition that a request came at this moment or later, or before it."""


class RowView:
    """Conditions over `audit_logs`."""

    status: Any = AuditLogRow.status_code
    took_ms: Any = AuditLogRow.response_time_ms
    is_stream: Any = AuditLogRow.is_stream
    _columns = {  # noqa: RUF012
        "key": (AuditLogRow.api_key,),
        "source": (AuditLogRow.source_path,),
        "route": (AuditLogRow.route_id,),
        "method": (AuditLogRow.method,),
        "path": (AuditLogRow.path,),
        "ip": (AuditLogRow.ip_address,),
        "text": (AuditLogRow.path, AuditLogRow.target_url, AuditLogRow.user_agent),
        "error": (AuditLogRow.error_message,),
    }

    def test_text(self, kind: str, test: TextTest) -> Any:
        return reduce(or_, [test(column) for column in self._columns[kind]])

    def is_error(self) -> Any:
        return (AuditLogRow.status_code >= 400) | AuditLogRow.error_message.not_in([*NOT_ERRORS])

    def compare_time(self, moment: datetime, *, is_lowest: bool) -> Any:
        return AuditLogRow.request_time >= moment if is_lowest else AuditLogRow.request_time < moment


class FactView:
    """Conditions over `log_facts`; the words are looked up at once."""

    status: Any = LogFact.status
    took_ms: Any = LogFact.took_ms
    is_stream: Any = LogFact.is_stream

    def __init__(self, database: Database) -> None:
        self._database = database

    def test_text(self, kind: str, test: TextTest) -> Any:
        column = getattr(LogFact, f"{kind}_n")
        words = LogWord.select(LogWord.n).where(LogWord.kind == kind, test(LogWord.word))
        numbers = [row["n"] for row in self._database.fetch(words.limit(_NUMBERS_MAX + 1))]
        if len(numbers) > _NUMBERS_MAX:
            return column.in_(words)
        if len(numbers) < 2:
            return column == numbers[0] if numbers else _NEVER
        # Most facts are outside the range, which is told in less time than that they are not in a list.
        return column.between(min(numbers), max(numbers)) & column.in_(numbers)

    def is_error(self) -> Any:
        return IS_ERROR

    def compare_time(self, moment: datetime, *, is_lowest: bool) -> Any:
        place = bound_place(moment)
        return LogFact.place >= place if is_lowest else LogFact.place < place


def build_condition(wanted: LogFilter, view: View) -> Any:
    """Return a filter as one peewee expression. Raises `InvalidInputError` for what cannot be meant."""
    lists: tuple[tuple[Sequence[str], Callable[[list[str]], Any]], ...] = (
        (wanted.keys, lambda ids: view.test_text("key", lambda text: text.in_(ids))),
        (wanted.sources, lambda names: view.test_text("source", lambda text: text.in_(names))),
        (wanted.routes, lambda refs: view.test_text("route", lambda text: _match_routes(text, refs))),
        (wanted.methods, lambda names: _match_methods(view, names)),
        (wanted.status, lambda texts: reduce(or_, [_match_status(view, text) for text in texts])),
    )
    singles: tuple[tuple[Any, Callable[[Any], Any]], ...] = (
        (wanted.since, lambda moment: view.compare_time(moment, is_lowest=True)),
        (wanted.until, lambda moment: view.compare_time(moment, is_lowest=False)),
        (wanted.path_glob, lambda glob: _match_glob(view, glob)),
        (wanted.stream, lambda flag: view.is_stream == flag),
        (wanted.min_ms, lambda min_ms: _match_duration(view, min_ms)),
        (wanted.ip, lambda address: _match_address(view, address)),
        (wanted.grep, lambda part: _match_text(view, part)),
    )
    conditions = [match([clean_text(value) for value in values]) for values, match in lists if values]
    conditions += [match(value) for value, match in singles if value is not None]
    if wanted.errors:
        conditions.append(view.is_error())
    return reduce(and_, conditions, SQL("1 = 1"))


def build_timeless_condition(database: Database, wanted: LogFilter | None) -> Any:
    """Return a filter but for its times as a condition over facts, for what goes through times by itself."""
    return build_condition(replace(wanted or LogFilter(), since=None, until=None), FactView(database))


def _match_routes(text: Any, refs: list[str]) -> Any:
    named = ProxyRouteRow.select(ProxyRouteRow.route_id).where(ProxyRouteRow.route_name.in_(refs))
    return text.in_(refs) | text.in_(named)


def _match_methods(view: View, names: list[str]) -> Any:
    wanted = [name.upper() for name in names]
    return view.test_text("method", lambda text: text.in_(wanted))


def _match_status(view: View, text: str) -> Any:
    match = _STATUS.fullmatch(text.strip().lower())
    if match is None:
        raise InvalidInputError(f"{text!r} is not a status", hint="write it as 404, 4xx or 500-599")
    low = int(match[1]) * 100 if match[1] else int(match[2])
    high = low + 99 if match[1] else int(match[3] or match[2])
    if high < low:
        raise InvalidInputError(f"{text!r} is an empty range", hint=f"write it as {high}-{low}")
    return view.status.between(low, high)


def _match_glob(view: View, glob: str) -> Any:
    pattern = _check_text(glob)
    return view.test_text("path", lambda text: text % pattern)


def _match_duration(view: View, min_ms: int) -> Any:
    if not 0 <= min_ms <= NUMBER_MAX:
        raise InvalidInputError(f"{min_ms} is not a number of milliseconds")
    return view.took_ms >= min_ms


def _match_address(view: View, address: str) -> Any:
    try:
        forms = [address, str(ipaddress.ip_address(address))]
    except ValueError:
        raise InvalidInputError(
            f"{address!r} is not an IP address", hint="write it as 127.0.0.1 or ::1"
        ) from None
    return view.test_text("ip", lambda text: text.in_(forms))


def _match_text(view: View, part: str) -> Any:
    checked = _check_text(part)
    tests = [view.test_text(kind, lambda text: text.contains(checked)) for kind in ("text", "error")]
    return reduce(or_, [test for test in tests if test is not _NEVER] or [_NEVER])


def _check_text(text: str) -> str:
    # A long pattern of many wildcards would keep SQLite busy for as long as it likes.
    if not 1 <= len(text) <= TEXT_LENGTH_MAX or "\n" in text:
        raise InvalidInputError(f"a text to look for has 1 to {TEXT_LENGTH_MAX} characters, in one line")
    return clean_text(text)
