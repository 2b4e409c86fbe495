"""Checks of the database: there, FastGate's own, up to date, whole."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from proxy.checks.files import find_write_fault
from proxy.checks.result import Check, failed, format_size, passed, warning
from proxy.errors import DatabaseError
from proxy.settings import Settings, database_path
from proxy.store.database import Database, migration_status, open_for_reading
from proxy.store.health import find_damage

DAMAGE_SECONDS_MAX = 20.0
_NAME = "database"


@contextmanager
def examining(settings: Settings) -> Iterator[tuple[Database | None, list[Check]]]:
    """Open the database for the time of an examination, and say how it is.

    There is none to go on with if it is missing, cannot be read, or has migrations pending.
    """
    path = database_path(settings)
    if _is_missing(path):
        yield None, [check_missing(path, settings)]
        return
    try:
        database = open_for_reading(path)
    except DatabaseError as error:
        yield None, [failed(_NAME, error.message, error.hint)]
        return
    with database:
        history = migration_status(database)
        pending = [row["name"] for row in history if row["applied"] is None]
        if pending:
            detail = f"{path} has migrations pending: {', '.join(pending)}"
            yield None, [failed(_NAME, detail, "fastgate db upgrade")]
        else:
            yield database, [check_access(path, len(history))]


def check_missing(path: Path, settings: Settings) -> Check:
    """Return how to come by a database, or why there can be none at that place."""
    if fault := find_write_fault(path.parent):
        return failed(_NAME, f"there is none yet at {path}, and {fault}", "set database.url to another place")
    fix = "fastgate db upgrade" if settings.source is not None else "fastgate init"
    return warning(_NAME, f"there is none yet at {path}", fix)


def check_access(path: Path, migrations: int) -> Check:
    """Return whether this user can write to a database that is up to date: no gateway starts without.

    SQLite makes files beside it, so that its folder has to be written to as well.
    """
    size = sum(file.stat().st_size for file in _list_files(path))
    detail = f"{path}, {format_size(size)}, {migrations} migrations"
    for place in (path.parent, path):
        if not os.access(place, os.W_OK):
            return failed(_NAME, f"{detail}; this user cannot write to {place}", _allow_writing(place))
    return passed(_NAME, detail)


def check_integrity(database: Database) -> Iterator[Check]:
    """Yield whether the file is whole, as far as that can be told in `DAMAGE_SECONDS_MAX`."""
    damage = find_damage(database, DAMAGE_SECONDS_MAX)
    if damage is None:
        detail = f"no fault in {DAMAGE_SECONDS_MAX:g} s; not all of it was looked at"
        yield warning("integrity", detail, "fastgate db check")
    elif damage:
        fix = "'fastgate stop', then put a backup in its place"
        yield failed("integrity", f"the database is damaged: {damage[0]}", fix)
    else:
        yield passed("integrity", "the database is whole")


def _is_missing(path: Path) -> bool:
    try:
        return path.stat().st_size == 0
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False  # there, or at least not to be replaced: opening it tells what is wrong


def _allow_writing(place: Path) -> str:
    """Return the command that lets this user write to a place: its mode is its owner's to change."""
    if place.stat().st_uid != os.geteuid():
        return f'sudo chown "$(id -un)" {shlex.quote(str(place))}'
    return f"chmod u+w {shlex.quote(str(place))}"


def _list_files(path: Path) -> list[Path]:
    names = (path, path.with_name(path.name + "-wal"))
    return [file for file in names if file.exists()]
