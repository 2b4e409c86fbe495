"""Groups have the names of their words, and what keys and routes are called today."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.store.database import Database, open_database
from proxy.store.group_names import (
    name_by_word,
    name_errors,
    name_keys,
    name_routes,
    name_statuses,
    read_words,
)
from proxy.store.keys import create_key
from proxy.store.models import LogWord
from proxy.store.routes import NewRoute, add_route
from tests.proxy.store.rows import NOW


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with open_database(tmp_path / "f.db", create=True) as database:
        yield database


def add_word(database: Database, kind: str, word: str) -> int:
    return int(LogWord.insert(kind=kind, word=word, last_day=1).execute(database.peewee))


def test_a_group_is_called_by_its_word(database: Database) -> None:
    chat = add_word(database, "path", "/v1/chat")
    assert name_by_word("path")(database, [chat, 99]) == {chat: {"path": "/v1/chat"}, 99: {"path": None}}


def test_more_words_than_a_statement_lists_are_all_read(database: Database) -> None:
    numbers = [add_word(database, "path", f"/{number}") for number in range(1101)]
    assert read_words(database, numbers) == {number: f"/{turn}" for turn, number in enumerate(numbers)}


def test_a_key_has_its_hint_and_source_as_long_as_it_is_there(database: Database) -> None:
    row, _ = create_key(database, key_prefix="fg_", source="ci", now=NOW)
    there, gone = add_word(database, "key", row["key_id"]), add_word(database, "key", "key_gone")
    assert name_keys(database, [there, gone]) == {
        there: {"key_id": row["key_id"], "key_hint": row["key_hint"], "source_path": "ci"},
        gone: {"key_id": "key_gone", "key_hint": None, "source_path": None},
    }


def test_a_route_has_its_name_as_long_as_it_is_there(database: Database) -> None:
    add_route(database, NewRoute("/", "h", route_id="rt_1", route_name="ollama"), NOW)
    there, gone = add_word(database, "route", "rt_1"), add_word(database, "route", "rt_gone")
    assert name_routes(database, [there, gone]) == {
        there: {"route_id": "rt_1", "route_name": "ollama"},
        gone: {"route_id": "rt_gone", "route_name": None},
    }


def test_an_error_is_called_by_its_reason_and_a_backends_by_its_status(database: Database) -> None:
    cut = add_word(database, "error", "client_abort")
    assert name_errors(database, [cut, -404]) == {
        cut: {"error": "client_abort", "status_code": None},
        -404: {"error": "HTTP 404", "status_code": 404},
    }
    assert name_statuses(database, [204]) == {204: {"status_code": 204}}
