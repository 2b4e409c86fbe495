"""Keeps the snapshot of keys and routes up to date, from a thread of its own.

The hot path reads `current`, an attribute that is replaced whole. The thread looks at the database's
revision a few times a second and builds a new snapshot only when it has moved. A database that cannot be
read leaves the last snapshot in force: traffic never depends on it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from proxy.audit.masking.mask import SecretMask
from proxy.audit.masking.secrets import build_mask
from proxy.errors import DatabaseError, InvalidInputError
from proxy.policy.bodies import CONTENT_BYTES_MAX
from proxy.policy.decide import KeyEntry, Snapshot
from proxy.policy.model import ApiKey, Route
from proxy.policy.permissions import compile_permissions
from proxy.policy.routing import build_route_table, compile_route
from proxy.references import resolve_headers
from proxy.store.database import Database
from proxy.store.keys import load_keys
from proxy.store.routes import load_routes
from proxy.store.state import read_revision

POLL_SECONDS = 0.25
_log = logging.getLogger(__name__)


class SnapshotSource:
    """Owns the current snapshot. `start` loads the first one and keeps watching until `stop`.

    `mask` hides the secrets of the same routes from whatever is written down.
    """

    def __init__(
        self,
        open_database: Callable[[], Database],
        *,
        strip_headers: tuple[str, ...] = (),
        environ: Mapping[str, str],
        folder: Path,
        key_prefix: str = "fg_",
        has_cors: bool = False,
        content_bytes_max: int = CONTENT_BYTES_MAX,
    ) -> None:
        self.current = Snapshot()
        self.mask = SecretMask(key_prefix=key_prefix)
        self._open_database = open_database
        self._strip_headers = strip_headers
        self._environ = environ
        self._folder = folder
        self._key_prefix = key_prefix
        self._has_cors = has_cors
        self._content_bytes_max = content_bytes_max
        self._revision: int | None = None  # of what `current` was built from, if it is still there
        self._trouble = ""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="snapshot", daemon=True)

    def start(self) -> None:
        """Load the first snapshot, or raise `DatabaseError`; then follow the database."""
        with self._open_database() as database:
            self.refresh(database)
        self._thread.start()

    def stop(self) -> None:
        """Stop following; returns when the thread has closed its connection."""
        self._stopping.set()
        if self._thread.ident is not None:  # never started if the first snapshot could not be loaded
            self._thread.join()

    def refresh(self, database: Database) -> None:
        """Replace the snapshot if the revision has moved."""
        # Read before the rows: what changes in between is then loaded again, never missed.
        revision = read_revision(database)
        if revision != self._revision:
            self.current = self._build(revision, load_keys(database), *load_routes(database))
            self._revision = revision
            _log.info(
                "revision %d: %d keys, %d routes",
                revision,
                self.current.count_keys(),
                self.current.routes.size,
            )

    def _watch(self) -> None:
        while not self._stopping.is_set():
            try:
                with self._open_database() as database:
                    self._follow(database)
            except Exception as error:  # noqa: BLE001
                # The outermost boundary of the thread: what cannot be read now may be in a moment, and a
                # thread that had ended would leave disabled keys in force for good.
                self._report(error)
                self._stopping.wait(POLL_SECONDS)
            self._revision = None  # what is opened next may be another database, with the same number

    def _follow(self, database: Database) -> None:
        # An open database that was deleted or replaced can still be read, and never changes again.
        opened = _identify(database.path)
        while opened is not None and _identify(database.path) == opened:
            self.refresh(database)
            self._trouble = ""
            if self._stopping.wait(POLL_SECONDS):
                return

    def _report(self, error: Exception) -> None:
        # Once for each trouble, not four times a second.
        if (trouble := repr(error)) != self._trouble:
            self._trouble = trouble
            is_bug = not isinstance(error, DatabaseError)
            _log.warning("keys and routes stay as they were: %s", error, exc_info=is_bug)

    def _build(
        self, revision: int, keys: tuple[ApiKey, ...], routes: tuple[Route, ...], problems: tuple[str, ...]
    ) -> Snapshot:
        for problem in problems:
            _log.error("%s", problem)
        entries = {key.digest: entry for key in keys if (entry := _compile_key(key))}
        # Before the routes: no request may use a secret that is not masked yet.
        self.mask = build_mask(routes, self._environ, self._folder, self._key_prefix)
        usable = [ready for route in routes if (ready := self._prepare(route))]
        table = build_route_table(usable, strip_headers=self._strip_headers)
        return Snapshot(
            revision, entries, table, has_cors=self._has_cors, content_bytes_max=self._content_bytes_max
        )

    def _prepare(self, route: Route) -> Route | None:
        try:
            ready = resolve_headers(route, self._environ, self._folder)
            compile_route(ready)
        except InvalidInputError as error:
            _log.error("route %s is left out: %s", route.route_id, error)
            return None
        return ready


def _identify(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _compile_key(key: ApiKey) -> KeyEntry | None:
    try:
        return KeyEntry(key, compile_permissions(key.permissions))
    except InvalidInputError as error:
        _log.error("key %s is left out: %s", key.key_id, error)
        return None
