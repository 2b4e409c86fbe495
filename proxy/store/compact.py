"""Giving the room that deleted rows have left back to the disk.

SQLite writes the whole database anew, first to its folder for temporary files and then to the log beside the
database, in one transaction: whatever happens on the way, the database is as it was. Readers go on meanwhile,
whoever wants to write waits.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from proxy.errors import DatabaseError
from proxy.store.database import Database

_SPARE = 1.05  # what is written has frames around it


@dataclass(frozen=True, slots=True)
class Room:
    """How many bytes a database takes with its log, how many the log does, and how many hold nothing."""

    size: int
    log: int
    free: int


def measure_room(database: Database) -> Room:
    """Return how large a database is, and what compacting it would give back, about."""
    with database.reading():
        page, free = (_read_number(database, name) for name in ("page_size", "freelist_count"))
    log = _measure_log(database.path)
    return Room(database.path.stat().st_size + log, log, page * free)


def check_space(database: Database, environ: Mapping[str, str]) -> None:
    """Raise `DatabaseError` if a disk has too little room for what is written meanwhile."""
    with database.reading():
        page, pages, free = (
            _read_number(database, name) for name in ("page_size", "page_count", "freelist_count")
        )
    copy = int(page * (pages - free) * _SPARE)
    beside, temporary = database.path.parent, find_temporary_folder(environ)
    needed = {beside: copy, temporary: copy}
    if beside.stat().st_dev == temporary.stat().st_dev:
        needed = {beside: 2 * copy}
    for folder, size in needed.items():
        available = shutil.disk_usage(folder).free
        if available < size:
            raise DatabaseError(
                f"there is no room to compact {database.path}: {folder} has {available:,} bytes free, "
                f"and it takes {size:,}",
                hint="make room there; SQLITE_TMPDIR names another folder for temporary files",
            )


def find_temporary_folder(environ: Mapping[str, str]) -> Path:
    """Return where SQLite puts its temporary files: the first of these that it can write to."""
    named = [environ.get(name, "") for name in ("SQLITE_TMPDIR", "TMPDIR")]
    for folder in (*named, "/var/tmp", "/usr/tmp", "/tmp"):  # noqa: S108
        if folder and Path(folder).is_dir() and os.access(folder, os.W_OK | os.X_OK):
            return Path(folder)
    return Path()


def compact(database: Database) -> int:
    """Write the database anew without what is free in it, and return its size after that.

    Raises `KeyboardInterrupt` if Ctrl-C is pressed meanwhile. Someone who reads all the while can keep the
    file from getting shorter now; then it does when he has ended.
    """
    with database.interruptible():
        database.connection().execute("VACUUM")
        database.connection().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    return database.path.stat().st_size + _measure_log(database.path)


def _measure_log(path: Path) -> int:
    try:
        return path.with_name(path.name + "-wal").stat().st_size
    except FileNotFoundError:
        return 0


def _read_number(database: Database, name: str) -> int:
    return int(database.connection().execute(f"PRAGMA {name}").fetchone()[0])
