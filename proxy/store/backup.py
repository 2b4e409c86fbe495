"""A copy of the database while it is in use: consistent, checked, and never half there.

The copy is made by SQLite itself, at one moment of the database, under a temporary name beside its final
one, and gets that name only when it is complete, sound and on the disk.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from proxy.errors import ConflictError, DatabaseError, InvalidInputError
from proxy.store.database import Database

PAGES_PER_STEP = 512
_FILE_MODE = 0o600
Progress = Callable[[int, int], None]  # pages copied, pages in all


def back_up(
    database: Database, destination: Path, *, replace: bool = False, on_progress: Progress | None = None
) -> int:
    """Copy the database to a file and return the size of the copy in bytes.

    Raises `ConflictError` if there is such a file and `replace` is false, `InvalidInputError` for a place
    that cannot be written, `DatabaseError` if the copy cannot be made or is not sound.
    """
    check_destination(database.path, destination, replace=replace)
    with _translating_files(destination), _draft_beside(destination) as draft:
        _copy_pages(database, draft, on_progress or (lambda _copied, _total: None))
        _check_copy(draft)
        _flush(draft)
        size = draft.stat().st_size
        _give_name(draft, destination, replace=replace)
        _flush(destination.parent)
    return size


def check_destination(source: Path, destination: Path, *, replace: bool) -> None:
    """Refuse a place where no backup can go, before anything is read."""
    if destination.is_dir():
        raise InvalidInputError(f"{destination} is a folder", hint="name the file that shall hold the backup")
    with suppress(OSError):
        if destination.samefile(source):
            raise InvalidInputError(f"{destination} is the database itself", hint="choose another file")
    if not replace and os.path.lexists(destination):
        raise _taken(destination)


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


@contextmanager
def _draft_beside(destination: Path) -> Iterator[Path]:
    draft = destination.with_name(f".{destination.name}.{os.urandom(6).hex()}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _FILE_MODE)
        try:
            os.fchmod(descriptor, _FILE_MODE)
        finally:
            os.close(descriptor)
        yield draft
    finally:
        for suffix in ("", "-journal", "-wal", "-shm"):
            draft.with_name(draft.name + suffix).unlink(missing_ok=True)


def _give_name(draft: Path, destination: Path, *, replace: bool) -> None:
    if replace:
        draft.replace(destination)
        return
    try:
        os.link(draft, destination)  # unlike a renaming, this replaces nothing
    except FileExistsError:
        raise _taken(destination) from None
    except OSError:  # no links on this file system
        if os.path.lexists(destination):
            raise _taken(destination) from None
        draft.rename(destination)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _taken(destination: Path) -> ConflictError:
    return ConflictError(f"{destination} is there already", hint="choose another name, or give --force")


@contextmanager
def _translating_files(destination: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InvalidInputError(
            f"{destination} cannot be written: {error.strerror}", hint="choose another place for the backup"
        ) from error
