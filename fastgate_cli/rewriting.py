"""A file of somebody else's replaced as a whole, or not at all: with its mode, its owner and its links."""

from __future__ import annotations

import os
from pathlib import Path

from proxy.errors import ConflictError, InvalidInputError


def rewrite_file(path: Path, old: bytes, new: bytes) -> None:
    """Replace the content of a file that held `old`; a symbolic link stays one.

    Raises `ConflictError` if the file has changed meanwhile, `InvalidInputError` if it cannot be replaced.
    """
    try:
        place = path.resolve(strict=True)
        draft = place.with_name(f".{place.name}.{os.urandom(6).hex()}")
        try:
            _write_draft(draft, place, new)
            if place.read_bytes() != old:
                raise ConflictError(f"{path} has changed meanwhile", hint="look at it, then try again")
            draft.replace(place)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        raise InvalidInputError(
            f"{path} cannot be written: {error.strerror}", hint="it is as it was; check who may write it"
        ) from None


def _write_draft(draft: Path, model: Path, content: bytes) -> None:
    status = model.stat()
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        own = os.fstat(descriptor)
        if (own.st_uid, own.st_gid) != (status.st_uid, status.st_gid):
            os.fchown(descriptor, status.st_uid, status.st_gid)
        os.fchmod(descriptor, status.st_mode & 0o7777)
        file.flush()
        os.fsync(descriptor)  # or a loss of power could leave an empty file in its place
