"""A copy of the database while it is in use: consistent, checked, and never half there.

The copy is made by SQLite itself, at one moment of the database, and gets its name only when it is complete,
sound and on the disk.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from proxy.drafts import check_place, draft_file
from proxy.errors import DatabaseError, InvalidInputError
from proxy.store.database import Database

PAGES_PER_STEP = 512
Progress = Callable[[int, int], None]  # pages copied, pages in all


def back_up(
    database: Database, destination: Path, *, replace: bool = False, on_progress: Progress | None = None
) -> int:
    """Copy the database to a file and return the size of the copy in bytes.

    Raises `ConflictError` if there is such a file and `replace` is false, `InvalidInputError` for a place
    that cannot be written, `DatabaseError` if the copy cannot be made or is not sound.
    """
    check_destination(database.path, destination, replace=replace)
    with draft_file(destination, replace=replace) as draft:
        _copy_pages(database, draft, on_progress or (lambda _copied, _total: None))
        _check_copy(draft)
        return draft.stat().st_size


def check_destination(source: Path, destination: Path, *, replace: bool) -> None:
    """Refuse a place where no backup can go, before anything is read."""
    with suppress(OSError):
        if destination.samefile(source):
            raise InvalidInputError(f"{destination} is the database itself", hint="choose another file")
    check_place(destination, replace=replace)


def _copy_pages(database: Database, draft: Path, on_progress: Progress) -> None:
    # Within a read transaction: else every write of a busy gateway would begin the copy anew.
    with database.snapshot(), Database(draft) as copy, copy.reading():
        database.connection().execute("SELECT count(*) FROM sqlite_master").fetchone()
        database.connection().backup(
            copy.connection(),
            pages=PAGES_PER_STEP,
            # Python code runs after each step, so that Ctrl-C is heard.
            progress=lambda _status, left, total: on_progress(total - left, total),
        )
        # One file that needs none beside it; the next writer takes it to WAL again.
        copy.connection().execute("PRAGMA journal_mode = DELETE").fetchone()


def _check_copy(draft: Path) -> None:
    with Database(draft) as copy, copy.reading():
        fault = copy.connection().execute("PRAGMA integrity_check(1)").fetchone()[0]
    if fault != "ok":
        raise DatabaseError(
            f"the copy is not sound, and has been deleted: {fault}",
            hint="'fastgate db check' says what is wrong with the database",
        )
