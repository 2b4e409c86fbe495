"""Keys and routes written as a document has them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from proxy.errors import ConflictError, InvalidInputError
from proxy.policy.credentials import digest_secret
from proxy.store.database import Database, open_database
from proxy.store.document_changes import (
    add_document_key,
    add_document_route,
    list_digests,
    update_document_key,
    update_document_route,
)
from proxy.store.keys import get_key, load_keys
from proxy.store.routes import get_route, list_routes
from proxy.store.state import read_revision

NOW = datetime(2026, 1, 31, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
KEY: dict[str, Any] = {
    "source_path": "ci",
    "permissions": ["/v1/*"],
    "rate_limit": 60,
    "rate_burst": 5,
    "expires_at": LATER,
    "is_active": False,
}
DIGEST = "sha256:" + "ab" * 32


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with open_database(tmp_path / "f.db", create=True) as database:
        yield database


def test_a_new_key_has_the_id_of_the_document_and_a_secret_that_works(database: Database) -> None:
    row, secret = add_document_key(database, "bot", KEY, key_prefix="fg_", now=NOW)
    assert {name: row[name] for name in KEY} == KEY
    assert (row["key_id"], row["created_at"]) == ("bot", NOW)
    assert secret is not None
    assert list_digests(database) == {"bot": digest_secret(secret.encode())}
    assert "key_value" not in row


def test_a_digest_that_is_brought_along_is_the_keys(database: Database) -> None:
    columns = {**KEY, "key_value": DIGEST, "key_hint": "fg_a…wxyz"}
    row, secret = add_document_key(database, "bot", columns, key_prefix="fg_", now=NOW)
    assert (secret, row["key_hint"]) == (None, "fg_a…wxyz")
    assert [key.digest for key in load_keys(database)] == [DIGEST]


def test_an_id_that_is_none_or_taken_is_refused(database: Database) -> None:
    add_document_key(database, "bot", KEY, key_prefix="fg_", now=NOW)
    with pytest.raises(ConflictError):
        add_document_key(database, "bot", KEY, key_prefix="fg_", now=NOW)
    with pytest.raises(InvalidInputError):
        add_document_key(database, "a bot", KEY, key_prefix="fg_", now=NOW)
    assert list(list_digests(database)) == ["bot"]


def test_a_key_changes_in_the_columns_that_are_given_and_the_gateway_is_told(database: Database) -> None:
    row, _ = add_document_key(database, "bot", KEY, key_prefix="fg_", now=NOW)
    revision = read_revision(database)
    changed = update_document_key(database, "bot", {"rate_limit": None, "expires_at": None}, NOW)
    assert changed == {**row, "rate_limit": None, "expires_at": None}
    assert get_key(database, "bot", now=NOW) == changed
    assert read_revision(database) > revision


def test_a_digest_belongs_to_one_key(database: Database) -> None:
    add_document_key(database, "one", {**KEY, "key_value": DIGEST}, key_prefix="fg_", now=NOW)
    add_document_key(database, "two", KEY, key_prefix="fg_", now=NOW)
    with pytest.raises(ConflictError, match="'two'"):
        update_document_key(database, "two", {"key_value": DIGEST}, NOW)


def test_two_routes_can_exchange_their_names(database: Database) -> None:
    for name in ("one", "two"):
        columns = {"match_path": "/v1/*", "target_host": "a:1", "route_name": name.upper()}
        add_document_route(database, name, columns, NOW)
    with database.transaction():
        update_document_route(database, "one", {"route_name": "TWO"}, LATER)
        row = update_document_route(database, "two", {"route_name": "ONE", "description": "é"}, LATER)
    assert [route["route_name"] for route in list_routes(database)] == ["TWO", "ONE"]
    assert (row["description"], row["created_at"], row["updated_at"]) == ("é", NOW, LATER)
    assert get_route(database, "ONE")["route_id"] == "two"


def test_a_route_without_an_id_gets_one(database: Database) -> None:
    columns = {"match_path": "/v1/*", "target_host": "a:1", "route_name": "chat"}
    assert add_document_route(database, None, columns, NOW)["route_id"].startswith("rt_")
