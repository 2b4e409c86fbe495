"""The mask of the recorder: of the secrets that the routes of the database hold now."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from proxy.audit.secrets import SecretMask, build_mask
from proxy.store.database import Database
from proxy.store.routes import load_routes
from proxy.store.state import read_revision


class MaskSource:
    """Builds the mask anew when keys or routes have changed; relative paths start at `folder`."""

    def __init__(self, environ: Mapping[str, str], folder: Path, key_prefix: str) -> None:
        self._environ = environ
        self._folder = folder
        self._key_prefix = key_prefix
        self._revision: int | None = None
        self._mask = SecretMask(key_prefix=key_prefix)

    def find(self, database: Database) -> SecretMask:
        """Return the mask that is right for a database as it is. Raises `DatabaseError`."""
        revision = read_revision(database)
        if revision != self._revision:
            routes, _ = load_routes(database)
            self._mask = build_mask(routes, self._environ, self._folder, self._key_prefix)
            self._revision = revision
        return self._mask
