"""The mask of the recorder: of the secrets that the routes of the database hold, and those that they held."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path

from proxy.audit.masking.mask import SecretMask
from proxy.audit.masking.secrets import find_secrets
from proxy.policy.model import Route
from proxy.references import find_files
from proxy.store.database import Database
from proxy.store.routes import load_routes
from proxy.store.state import read_revision

# What is recorded may be older than the last change: a stream began under a secret that is replaced now.
SECRETS_MAX = 1000
Stamp = tuple[int, int, int] | None


class MaskSource:
    """Builds the mask anew when keys, routes or files of secrets have changed; paths start at `folder`."""

    def __init__(self, environ: Mapping[str, str], folder: Path, key_prefix: str) -> None:
        self._environ = environ
        self._folder = folder
        self._key_prefix = key_prefix
        self._revision: int | None = None
        self._routes: tuple[Route, ...] = ()
        self._stamps: dict[Path, Stamp] = {}
        self._known: tuple[bytes, ...] = ()  # the newest first
        self._mask = SecretMask(key_prefix=key_prefix)

    def find(self, database: Database) -> SecretMask:
        """Return the mask that is right for a database as it is. Raises `DatabaseError`."""
        revision = read_revision(database)
        if revision != self._revision:
            self._routes, _ = load_routes(database)
            files = {file for route in self._routes for file in find_files(route, self._folder)}
            self._revision, self._stamps = revision, _stamp(files)
            self._build()
        elif self._stamps and (stamps := _stamp(self._stamps)) != self._stamps:
            self._stamps = stamps
            self._build()
        return self._mask

    def _build(self) -> None:
        secrets = find_secrets(self._routes, self._environ, self._folder)
        self._known = tuple(islice(dict.fromkeys((*secrets, *self._known)), SECRETS_MAX))
        self._mask = SecretMask(self._known, self._key_prefix)


def _stamp(files: Iterable[Path]) -> dict[Path, Stamp]:
    return {file: _stamp_file(file) for file in files}


def _stamp_file(file: Path) -> Stamp:
    try:
        status = file.stat()
    except (OSError, ValueError):  # ValueError: a path that holds NUL
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
