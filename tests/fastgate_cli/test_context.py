"""What a command works with: read on demand, created only by writes, undone after a dry run."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from fastgate_cli.context import Invocation
from proxy.errors import ConfigurationError, DatabaseError, InvalidInputError
from proxy.store.database import Database
from proxy.store.keys import create_key, list_keys


@pytest.fixture
def invocation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Invocation:
    """A run in an empty folder, whose configuration puts the database below it."""
    (tmp_path / "fastgate.yaml").write_text(
        'database: {url: "sqlite:///d/x.db"}\napp: {timezone: "+05:30"}\n'
    )
    monkeypatch.chdir(tmp_path)
    return Invocation(environ={"HOME": str(tmp_path)})


def add_key(database: Database, invocation: Invocation) -> None:
    create_key(database, key_prefix="fg_", now=invocation.now)


def count_keys(invocation: Invocation) -> int:
    with invocation.reading() as database:
        return len(list(list_keys(database, now=invocation.now)))


def test_nothing_is_read_before_it_is_asked_for(tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text("app: [")
    invocation = Invocation(broken, {"HOME": str(tmp_path)})
    with pytest.raises(ConfigurationError):
        _ = invocation.settings


def test_output_is_in_the_configured_zone(invocation: Invocation) -> None:
    options = invocation.read_output("csv", as_json=False, fields="a,b")
    assert (options.format, options.fields) == ("csv", ("a", "b"))
    assert options.zone.utcoffset(invocation.now) == timedelta(hours=5, minutes=30)


def test_the_time_of_a_run_stands_still(invocation: Invocation) -> None:
    assert invocation.now is invocation.now


def test_reading_creates_nothing(invocation: Invocation, tmp_path: Path) -> None:
    with pytest.raises(DatabaseError), invocation.reading():
        pass
    assert not invocation.database_exists()
    assert not (tmp_path / "d").exists()


def test_glancing_leaves_a_database_as_it_is_and_makes_none(invocation: Invocation, tmp_path: Path) -> None:
    with pytest.raises(DatabaseError), invocation.glancing():
        pass
    assert not (tmp_path / "d").exists()
    with invocation.writing() as database:
        add_key(database, invocation)
    path = tmp_path / "d" / "x.db"
    before = path.read_bytes()
    with invocation.glancing() as database:
        assert len(list_keys(database, now=invocation.now)) == 1
        assert not database.is_writable
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_writing_creates_the_database(invocation: Invocation) -> None:
    with invocation.writing() as database:
        add_key(database, invocation)
    assert invocation.database_exists()
    assert count_keys(invocation) == 1


def test_a_dry_run_is_undone(invocation: Invocation, tmp_path: Path) -> None:
    with invocation.writing(dry_run=True) as database:
        add_key(database, invocation)
    assert not (tmp_path / "d").exists()
    with invocation.writing() as database:
        add_key(database, invocation)
    with invocation.writing(dry_run=True) as database:
        add_key(database, invocation)
        assert len(list(list_keys(database, now=invocation.now))) == 2
    assert count_keys(invocation) == 1


def test_an_error_in_a_dry_run_is_told(invocation: Invocation) -> None:
    with invocation.writing() as database:
        add_key(database, invocation)
    with pytest.raises(InvalidInputError, match="told"), invocation.writing(dry_run=True):
        raise InvalidInputError("told")


def test_a_change_needs_a_database_and_a_dry_one_is_undone(invocation: Invocation, tmp_path: Path) -> None:
    for dry_run in (False, True):
        with pytest.raises(DatabaseError), invocation.changing(dry_run=dry_run):
            pass
    assert not (tmp_path / "d").exists()
    with invocation.writing() as database:
        add_key(database, invocation)
    with invocation.changing(dry_run=True) as database:
        add_key(database, invocation)
        assert len(list_keys(database, now=invocation.now)) == 2
    assert count_keys(invocation) == 1
    with invocation.changing() as database:
        add_key(database, invocation)
    assert count_keys(invocation) == 2


def test_a_folder_that_is_gone_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(InvalidInputError, match="current folder"):
        _ = Invocation(environ={}).settings
