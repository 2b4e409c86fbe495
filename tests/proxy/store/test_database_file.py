"""Files for databases, on a real disk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from proxy.errors import DatabaseError
from proxy.store.database_file import (
    choose_access,
    choose_reading,
    create_file,
    identify_file,
    measure_file,
)


@pytest.mark.parametrize("umask", [0, 0o077, 0o777])
def test_a_file_and_its_folders_are_its_owners_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    path = tmp_path / "a" / "b" / "f.db"
    before = os.umask(umask)
    try:
        create_file(path)
    finally:
        os.umask(before)
    assert [each.stat().st_mode & 0o777 for each in (path, path.parent, path.parent.parent)] == [
        0o600,
        0o700,
        0o700,
    ]
    assert [each.name for each in path.parent.iterdir()] == ["f.db"]


def test_a_file_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "f.db"
    path.write_bytes(b"precious")
    path.chmod(0o644)
    create_file(path)
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"precious", 0o644)
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_has_a_size_and_what_is_missing_none(tmp_path: Path) -> None:
    path = tmp_path / "f.db"
    assert measure_file(path) is None
    path.write_bytes(b"12345")
    assert (measure_file(path), measure_file(path / "below")) == (5, None)
    with pytest.raises(DatabaseError, match="not a file"):
        measure_file(tmp_path)


def test_a_file_that_takes_the_place_of_another_is_told_from_it(tmp_path: Path) -> None:
    path, other = tmp_path / "f.db", tmp_path / "g.db"
    path.touch()
    other.touch()
    before = identify_file(path)
    assert identify_file(path) == before
    other.replace(path)
    assert identify_file(path) != before
    path.unlink()
    with pytest.raises(DatabaseError, match="cannot be opened"):
        identify_file(path)


def test_what_may_not_be_written_is_read_and_without_a_log_the_file_is_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "f.db"
    path.touch()
    assert choose_access(path, create=True) == "mode=rw"
    # Asked instead of set: the tests may run as root, who may write anything.
    monkeypatch.setattr("os.access", lambda *_: False)
    assert choose_access(path, create=False) == choose_reading(path) == "mode=ro&immutable=1"
    (tmp_path / "f.db-wal").touch()
    assert choose_access(path, create=False) == choose_reading(path) == "mode=ro"
    with pytest.raises(DatabaseError, match="cannot be written"):
        choose_access(path, create=True)
