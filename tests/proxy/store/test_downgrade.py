"""Migrations are taken back, all that were named or none."""

from __future__ import annotations

import runpy
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from proxy.errors import ConflictError, InvalidInputError, NotFoundError
from proxy.store.database import Database, migration_status, open_database, upgrade
from proxy.store.downgrade import choose_downgrade, downgrade
from proxy.store.keys import create_key, list_keys
from proxy.store.state import find_migrations, known_migrations

NOW = datetime(2026, 1, 31, tzinfo=UTC)
FIRST, *LATER = known_migrations()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with open_database(tmp_path / "f.db", create=True) as opened:
        yield opened


def applied(database: Database) -> list[str]:
    return [row["name"] for row in migration_status(database) if row["applied"]]


def test_every_migration_has_a_way_back() -> None:
    for name in known_migrations():
        assert callable(runpy.run_path(str(find_migrations() / f"{name}.py"))["down"])


def test_the_newest_is_chosen_and_everything_after_a_name_or_a_number(database: Database) -> None:
    assert choose_downgrade(database, None) == LATER[-1:]
    assert choose_downgrade(database, FIRST) == LATER[::-1]
    assert choose_downgrade(database, "0001") == LATER[::-1]
    assert choose_downgrade(database, LATER[-1]) == []


def test_an_unknown_name_is_not_found_and_the_first_stays(database: Database) -> None:
    with pytest.raises(NotFoundError, match="0999"):
        choose_downgrade(database, "0999")
    downgrade(database, choose_downgrade(database, FIRST))
    with pytest.raises(InvalidInputError, match="first migration"):
        choose_downgrade(database, None)


def test_rows_survive_the_way_back_and_forth(database: Database) -> None:
    key, _ = create_key(database, key_prefix="fg_", now=NOW)
    downgrade(database, choose_downgrade(database, FIRST))
    assert applied(database) == [FIRST]
    assert upgrade(database) == LATER
    assert [row["key_id"] for row in list_keys(database, now=NOW)] == [key["key_id"]]


def test_what_is_no_longer_the_newest_is_refused(database: Database) -> None:
    names = choose_downgrade(database, FIRST)
    downgrade(database, names)
    with pytest.raises(ConflictError):
        downgrade(database, names)
    assert applied(database) == [FIRST]


def test_a_way_back_that_fails_changes_nothing(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "migrations"
    folder.mkdir()
    for script in find_migrations().glob("*.py"):
        (folder / script.name).write_bytes(script.read_bytes())
    bad = "def up(migrator, db):\n    pass\ndef down(migrator, db):\n    db.execute_sql('oops')\n"
    (folder / f"{LATER[0]}.py").write_text(bad)
    monkeypatch.setattr("proxy.store.downgrade.find_migrations", lambda: folder)
    with pytest.raises(Exception, match="oops"):
        downgrade(database, choose_downgrade(database, FIRST))
    assert applied(database) == [FIRST, *LATER]
