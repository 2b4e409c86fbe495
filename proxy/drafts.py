"""Files that are complete or not there: written under another name, beside their own, and renamed at the end.

Whoever fills a draft may fail or be interrupted at any point; then nothing of it stays.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from proxy.errors import ConflictError, InvalidInputError

_FILE_MODE = 0o600


@contextmanager
def draft_file(destination: Path, *, replace: bool) -> Iterator[Path]:
    """Yield an empty file, for its owner alone, that becomes `destination` when the block has ended well.

    It is forced to the disk before. Raises `ConflictError` if there is such a file and `replace` is false,
    `InvalidInputError` if the operating system refuses.
    """
    with _translating(destination), _making_draft(destination) as draft:
        yield draft
        _flush(draft)
        _give_name(draft, destination, replace=replace)
        _flush(destination.parent)


def check_place(destination: Path, *, replace: bool) -> None:
    """Refuse a place where no file can be put, before any work is done for it."""
    if destination.is_dir():
        raise InvalidInputError(f"{destination} is a folder", hint="name the file that shall be written")
    if destination.exists() and not destination.is_file():
        raise InvalidInputError(f"{destination} is not a file", hint="name a file")
    if not replace and os.path.lexists(destination):
        raise _taken(destination)


@contextmanager
def _making_draft(destination: Path) -> Iterator[Path]:
    draft = destination.with_name(f".{destination.name}.{os.urandom(6).hex()}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _FILE_MODE)
        try:
            os.fchmod(descriptor, _FILE_MODE)
        finally:
            os.close(descriptor)
        yield draft
    finally:
        # SQLite puts files of its own beside one that it fills.
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
def _translating(destination: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InvalidInputError(
            f"{destination} cannot be written: {error.strerror}", hint="choose another place"
        ) from error
