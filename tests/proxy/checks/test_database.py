"""The database: missing, foreign, old, damaged or sound; and never touched."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from proxy.checks import database as database_module
from proxy.checks.database import check_integrity, examining
from proxy.checks.result import Check
from proxy.settings import Settings, database_path, load_settings
from proxy.store.database import open_for_reading


def look_at(settings: Settings) -> tuple[bool, Check]:
    """Return whether there is a database to go on with, and what is said of it."""
    with examining(settings) as (database, (check,)):
        return database is not None, check


def test_a_sound_database_is_told_with_its_size(settings: Settings) -> None:
    is_usable, check = look_at(settings)
    assert (is_usable, check.status) == (True, "passed")
    assert check.detail.startswith(f"{database_path(settings)}, ")
    with examining(settings) as (database, _):
        assert database is not None
        assert [one.status for one in check_integrity(database)] == ["passed"]


@pytest.mark.parametrize("is_empty", [False, True])
def test_a_missing_database_is_a_warning_with_the_next_step(bare: Settings, is_empty: bool) -> None:
    path = database_path(bare)
    if is_empty:
        path.parent.mkdir()
        path.touch()
    is_usable, check = look_at(bare)
    assert (is_usable, check.status, check.fix) == (False, "warning", "fastgate db upgrade")
    assert path.exists() is is_empty


def test_without_a_configuration_the_next_step_is_init(tmp_path: Path) -> None:
    bare = load_settings(None, environ={"HOME": str(tmp_path)}, cwd=tmp_path)
    assert look_at(bare)[1].fix == "fastgate init"
    assert list(tmp_path.iterdir()) == []


def test_a_database_that_cannot_be_made_has_failed(bare: Settings) -> None:
    database_path(bare).parent.write_text("a file where the folder should be")
    is_usable, check = look_at(bare)
    assert (is_usable, check.status) == (False, "failed")
    assert "is not a folder" in check.detail


@pytest.mark.parametrize("content", [b"no database at all" * 100, b"SQLite format 3\0" + b"\xff" * 5000])
def test_what_is_no_database_of_ours_has_failed_and_stays(bare: Settings, content: bytes) -> None:
    path = database_path(bare)
    path.parent.mkdir()
    path.write_bytes(content)
    is_usable, check = look_at(bare)
    assert (is_usable, check.status) == (False, "failed")
    assert check.fix
    assert path.read_bytes() == content
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_pending_migrations_have_their_command(settings: Settings) -> None:
    with sqlite3.connect(database_path(settings)) as connection:
        connection.execute("DELETE FROM schema_migration WHERE name NOT LIKE '0001%'")
    is_usable, check = look_at(settings)
    assert (is_usable, check.status, check.fix) == (False, "failed", "fastgate db upgrade")


@pytest.mark.parametrize("shut", ["file", "folder"])
def test_a_database_that_cannot_be_written_has_failed_with_what_opens_it_and_is_looked_at_further(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, shut: str
) -> None:
    path = database_path(settings)
    target = path if shut == "file" else path.parent
    monkeypatch.setattr(os, "access", lambda place, _: place != target)  # root may write anywhere
    is_usable, check = look_at(settings)
    assert (is_usable, check.status, check.fix) == (True, "failed", f"chmod u+w {target}")
    assert check.detail.endswith(f"; this user cannot write to {target}")
    monkeypatch.setattr(os, "geteuid", lambda: target.stat().st_uid + 1)
    assert look_at(settings)[1].fix == f'sudo chown "$(id -un)" {target}'


def test_a_check_that_was_given_up_says_so(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_module, "find_damage", lambda *_: None)
    with open_for_reading(database_path(settings)) as database:
        (check,) = check_integrity(database)
    assert (check.status, check.fix) == ("warning", "fastgate db check")


def test_damage_has_failed(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_module, "find_damage", lambda *_: ["page 7 is odd"])
    with open_for_reading(database_path(settings)) as database:
        (check,) = check_integrity(database)
    assert check.status == "failed"
    assert "page 7 is odd" in check.detail
