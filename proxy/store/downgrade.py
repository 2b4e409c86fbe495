"""Taking migrations back: which ones a wish means, and running their `down`, all of them or none."""

from __future__ import annotations

from collections.abc import Sequence

from proxy.errors import ConflictError, InvalidInputError, NotFoundError
from proxy.store.database import Database, migration_status
from proxy.store.state import HISTORY_TABLE, find_migrations


def choose_downgrade(database: Database, to: str | None) -> list[str]:
    """Return the applied migrations that come after `to`, newest first; without it the newest alone.

    `to` is a migration's name or its number. Raises `NotFoundError` for one that is not applied, and
    `InvalidInputError` where nothing of the database would be left.
    """
    applied = [row["name"] for row in migration_status(database) if row["applied"] is not None]
    if to is None:
        kept = applied[:-1]
    else:
        found = [name for name in applied if to in (name, name.partition("_")[0])]
        if not found:
            raise NotFoundError(
                f"there is no applied migration {to!r}", hint="'fastgate db status' lists the migrations"
            )
        kept = applied[: applied.index(found[0]) + 1]
    if not kept:
        raise InvalidInputError(
            "the first migration cannot be taken back: it would delete every key, route and request",
            hint="to begin anew, delete the file that 'fastgate db path' prints",
        )
    return applied[: len(kept) - 1 : -1]


def downgrade(database: Database, names: Sequence[str]) -> None:
    """Take back the migrations that `choose_downgrade` named, all of them or none.

    Raises `ConflictError` if they are no longer the newest.
    """
    from playhouse.migrations import Runner

    with database.transaction():
        applied = [row["name"] for row in migration_status(database) if row["applied"] is not None]
        if list(names) != applied[: -len(names) - 1 : -1]:
            raise ConflictError(
                "somebody else has applied or taken back migrations meanwhile", hint="look, then try again"
            )
        Runner(database.peewee, str(find_migrations()), HISTORY_TABLE).down(names[-1])
