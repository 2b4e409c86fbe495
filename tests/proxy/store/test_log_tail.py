"""Following a database file that is deleted, made anew, damaged, locked out and packed meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.errors import DatabaseError, InvalidInputError
from proxy.store.database import open_database
from proxy.store.log_filter import LogFilter
from proxy.store.log_tail import LogTail
from tests.proxy.store.rows import begin, names, record

EVERYTHING = LogFilter()


class Follower:
    """A tail, and what it has told of trouble."""

    def __init__(self, path: Path) -> None:
        self.troubles: list[str | None] = []
        self.tail = LogTail(path, EVERYTHING, on_trouble=self._note)

    def _note(self, error: DatabaseError | None) -> None:
        self.troubles.append(error.message if error else None)

    def poll(self) -> list[str]:
        return names(self.tail.poll())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "f.db"
    open_database(path, create=True).close()
    return path


@pytest.fixture
def follower(path: Path) -> Iterator[Follower]:
    write(path, "first", second=0)
    follower = Follower(path)
    with follower.tail as tail:
        assert names(tail.start(10)) == ["first"]
        yield follower


def write(path: Path, name: str, *, second: float, create: bool = False) -> None:
    with open_database(path, create=create) as database:
        record(database, name, second=second)


def delete(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def test_a_new_file_in_the_place_of_the_old_is_followed_from_its_beginning(
    follower: Follower, path: Path
) -> None:
    delete(path)
    assert follower.poll() == follower.poll() == []
    (trouble,) = follower.troubles  # told once
    assert trouble
    assert str(path) in trouble
    for second, name in enumerate(("a", "b", "c"), 1):
        write(path, name, second=second, create=True)
    assert follower.poll() == ["a", "b", "c"]
    assert follower.troubles[1:] == [None]
    write(path, "d", second=9)
    assert follower.poll() == ["d"]


def test_a_file_that_was_replaced_between_two_polls_is_noticed(follower: Follower, path: Path) -> None:
    write(path, "told", second=1)
    assert follower.poll() == ["told"]
    delete(path)
    write(path, "new", second=2, create=True)
    assert follower.poll() == ["new"]
    assert follower.troubles == []


def test_a_file_that_is_no_database_for_a_while_is_trouble_and_no_end(follower: Follower, path: Path) -> None:
    delete(path)
    path.write_text("no database at all, " * 100)
    assert follower.poll() == []
    delete(path)
    write(path, "new", second=2, create=True)
    assert follower.poll() == ["new"]
    assert [trouble is None for trouble in follower.troubles] == [False, True]


def test_packing_and_new_numbers_change_nothing(follower: Follower, path: Path) -> None:
    for second in range(1, 6):
        write(path, f"n{second}", second=second)
    assert len(follower.poll()) == 5
    with open_database(path, create=False) as database:
        database.connection().execute("DELETE FROM audit_logs WHERE id < 'log_n4'")
        database.connection().execute("VACUUM")
        begin(database, "running", second=8)
    assert follower.poll() == ["running"]
    assert follower.troubles == []


def test_a_tail_that_cannot_begin_says_why(tmp_path: Path, path: Path) -> None:
    with pytest.raises(DatabaseError):
        Follower(tmp_path / "absent.db")
    with pytest.raises(InvalidInputError):
        LogTail(path, LogFilter(status=["9xx"]), on_trouble=lambda _: None)
