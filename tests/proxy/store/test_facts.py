"""Facts and words: each text has one number, whoever asks, and every request its own place."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from proxy.errors import DatabaseError
from proxy.store import facts as facts_module
from proxy.store.database import Database, open_database
from proxy.store.facts import (
    PLACE_MAX,
    PLACE_MIN,
    US_PER_DAY,
    Fact,
    WordBook,
    bound_place,
    end_facts,
    interrupt_facts,
    note_first_bytes,
    place_of,
    write_facts,
)
from proxy.store.models import PLACES_PER_US

DAY = 20_484
BEGAN_US = DAY * US_PER_DAY
TEXTS = ("key_1", "team", "rt_1", "POST", "/v1/chat", "::1", "http://b/v1/chat", "curl/8", None)
ENDED = (200, True, 12, 3, 450, 10, 20)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with open_database(tmp_path / "f.db", create=True) as database:
        yield database


def fact(name: str, time_us: int = BEGAN_US, turn: int = 0, *, texts: tuple[str | None, ...] = TEXTS) -> Fact:
    return place_of(time_us, turn), texts, (None, False, None, None, None, None, None, name)


def read(database: Database, columns: str) -> list[tuple[object, ...]]:
    rows = database.connection().execute(f"SELECT {columns} FROM log_facts ORDER BY place")
    return [tuple(row) for row in rows]


def words(database: Database) -> dict[tuple[str, str], int]:
    rows = database.connection().execute("SELECT kind, word, last_day FROM log_words")
    return {(row[0], row[1]): row[2] for row in rows}


def test_a_text_has_one_number_whoever_asks_for_it(database: Database) -> None:
    write_facts(database, WordBook(), [fact("a", turn=1), fact("b", turn=2)])
    write_facts(database, WordBook(), [fact("c", turn=3)])
    numbers = read(database, "key_n, source_n, route_n, method_n, path_n, ip_n, text_n, error_n")
    assert numbers[0] == numbers[1] == numbers[2]
    assert len(set(numbers[0])) == 8
    assert numbers[0][-1] is None
    assert set(words(database)) == {
        ("key", "key_1"),
        ("source", "team"),
        ("route", "rt_1"),
        ("method", "POST"),
        ("path", "/v1/chat"),
        ("ip", "::1"),
        ("text", "/v1/chat\nhttp://b/v1/chat\ncurl/8"),
    }


@pytest.mark.parametrize(
    ("year", "expected"),
    [(1, PLACE_MIN), (1970, 0), (2026, 1_767_225_600 * 1_024_000_000), (9999, PLACE_MAX)],
)
def test_every_moment_can_be_asked_for(year: int, expected: int) -> None:
    assert bound_place(datetime(year, 1, 1, tzinfo=UTC)) == expected


def test_a_word_has_the_last_day_on_which_it_was_used(database: Database) -> None:
    book = WordBook()
    for day in (1, 0, 3, 2):
        write_facts(database, book, [fact(f"d{day}", BEGAN_US + day * US_PER_DAY)])
    assert set(words(database).values()) == {DAY + 3}


def test_requests_of_one_microsecond_and_one_turn_all_have_a_place(database: Database) -> None:
    book = WordBook()
    write_facts(database, book, [fact("a"), fact("b")])
    write_facts(database, book, [fact("c"), fact("a"), fact("next", BEGAN_US + 1)])
    assert read(database, "id") == [("a",), ("b",), ("c",), ("next",)]


def test_those_that_a_microsecond_has_no_room_for_are_among_those_of_the_next(database: Database) -> None:
    names = [f"r{number:04}" for number in range(3 * PLACES_PER_US)]
    for _ in range(2):  # the second time they are there already
        for start in range(0, len(names), 1000):
            chunk = enumerate(names[start : start + 1000], start)
            write_facts(database, WordBook(), [fact(name, turn=turn) for turn, name in chunk])
    write_facts(database, WordBook(), [fact("before", BEGAN_US - 1), fact("next", BEGAN_US + 1)])
    stored = [str(name) for (name,) in read(database, "id")]
    assert sorted(stored) == sorted(["before", *names, "next"])
    assert (stored[0], stored[-1]) == ("before", "next")


def test_an_end_finds_its_request_whatever_its_turn(database: Database) -> None:
    book = WordBook()
    write_facts(database, book, [fact("a", turn=7), fact("b", turn=7), fact("c", turn=9)])
    end_facts(database, book, [("client_abort", ENDED, place_of(BEGAN_US), "b")])
    assert sorted(read(database, "id, status, took_ms, gateway_us")) == [
        ("a", None, None, None),
        ("b", 200, 12, 450),
        ("c", None, None, None),
    ]
    assert ("error", "client_abort") in words(database)


def test_what_has_ended_changes_no_more(database: Database) -> None:
    book = WordBook()
    write_facts(database, book, [fact("a")])
    end_facts(database, book, [(None, ENDED, place_of(BEGAN_US), "a")])
    before = read(database, "*")
    end_facts(database, book, [("other", (500, *ENDED[1:]), place_of(BEGAN_US), "a")])
    note_first_bytes(database, [(99, place_of(BEGAN_US), "a")])
    interrupt_facts(database, book, "interrupted", [(place_of(BEGAN_US), "a")])
    assert read(database, "*") == before


def test_a_first_byte_and_an_interruption_are_noted(database: Database) -> None:
    book = WordBook()
    write_facts(database, book, [fact("a", turn=5)])
    note_first_bytes(database, [(99, place_of(BEGAN_US), "a")])
    interrupt_facts(database, book, "interrupted", [(place_of(BEGAN_US), "a")])
    (row,) = database.connection().execute(
        "SELECT is_stream, ttfb_ms, took_ms, word FROM log_facts JOIN log_words ON n = error_n"
    )
    assert tuple(row) == (1, 99, None, "interrupted")


def test_numbers_of_a_transaction_that_failed_are_not_remembered(database: Database) -> None:
    book = WordBook()
    try:
        with database.transaction():
            write_facts(database, book, [fact("a")])
            raise DatabaseError("the disk is full")
    except DatabaseError:
        book.forget()
    write_facts(database, book, [fact("a")])
    (numbers,) = read(database, "key_n, path_n")
    rows = database.connection().execute(
        "SELECT n FROM log_words WHERE kind IN ('key', 'path') ORDER BY kind"
    )
    assert numbers == tuple(row[0] for row in rows)


def test_more_texts_than_are_remembered_are_looked_up(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(facts_module, "_KNOWN_MAX", 3)
    book = WordBook()
    for turn in range(20):
        texts = (*TEXTS[:4], f"/user/{turn % 10}", *TEXTS[5:])
        write_facts(database, book, [fact(str(turn), turn=turn, texts=texts)])
    assert len(set(read(database, "path_n"))) == 10


def test_a_reason_that_is_no_error_has_a_number_below_zero_whoever_writes_it(database: Database) -> None:
    closed = (*TEXTS[:-1], "client_closed")
    write_facts(database, WordBook(), [fact("a", turn=1, texts=closed), fact("b", turn=2)])
    end_facts(database, WordBook(), [("client_closed", ENDED, place_of(BEGAN_US, 2), "b")])
    assert read(database, "error_n") == [(-1,), (-1,)]
    assert ("error", "client_closed") in words(database)
    # Numbers of other words go on as before.
    write_facts(database, WordBook(), [fact("c", turn=3, texts=(*TEXTS[:-1], "client_abort"))])
    assert read(database, "error_n > 0")[-1] == (1,)
