"""The file that a database is: created for its owner alone, told from others, and how it may be opened."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from proxy.errors import DatabaseError
from proxy.store.failures import PERMISSION_HINT

FILE_MODE = 0o600
_FOLDER_MODE = 0o700


def identify_file(path: Path) -> tuple[int, int]:
    """Return what tells this file from one that takes its place. Raises `DatabaseError` if there is none."""
    try:
        status = path.stat()
    except OSError as error:
        raise DatabaseError(
            f"{path} cannot be opened: {error.strerror}", hint="run 'fastgate init'"
        ) from error
    return status.st_dev, status.st_ino


def measure_file(path: Path) -> int | None:
    """Return the size of a file in bytes, or None if there is none; raise for what can be no database."""
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not stat.S_ISREG(status.st_mode):
        raise DatabaseError(f"{path} is not a file", hint="set database.url to a file")
    return status.st_size


def create_file(path: Path) -> None:
    """Create an empty file for its owner alone, whatever the umask; one that appears meanwhile stays."""
    missing = [folder for folder in path.parents if not folder.exists()]
    for folder in reversed(missing):
        folder.mkdir(exist_ok=True)
        folder.chmod(_FOLDER_MODE)
    # Made under another name: the descriptor must be closed before anybody can lock the file (see state.py).
    draft = path.with_name(f".{path.name}.{os.urandom(6).hex()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
    try:
        os.fchmod(descriptor, FILE_MODE)
        os.close(descriptor)
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def choose_access(path: Path, *, create: bool) -> str:
    """Return how to open a file, as the query of SQLite's URI: to write if this user may.

    Raises `DatabaseError` if it has to be written to (`create`) and cannot be.
    """
    if os.access(path, os.W_OK) and os.access(path.parent, os.W_OK):
        return "mode=rw"
    if create:
        raise DatabaseError(f"{path} cannot be written", hint=PERMISSION_HINT.format(path=path))
    return choose_reading(path)


def choose_reading(path: Path) -> str:
    """Return how to open a file so that nothing is made beside it."""
    # SQLite reads a WAL database through two files beside it, which cannot be made here. As long as nobody
    # writes there are none, and the file alone is everything.
    has_wal = path.with_name(path.name + "-wal").exists()
    return "mode=ro" if has_wal else "mode=ro&immutable=1"
