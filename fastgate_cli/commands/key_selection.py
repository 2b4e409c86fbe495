"""Which keys a command is about: named by their ids, or many at once by what they have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fastgate_cli.context import Invocation
from proxy.errors import InvalidInputError


@dataclass(frozen=True, slots=True)
class KeySelection:
    """Exactly one way of saying which keys; `is_bulk` if they are not named one by one."""

    key_ids: Sequence[str] = ()
    source: str | None = None
    everything: bool = False
    expired: bool = False

    @property
    def is_bulk(self) -> bool:
        """Tell whether a person may not know which keys these are."""
        return not self.key_ids

    def find(self, invocation: Invocation) -> list[dict[str, Any]]:
        """Return the rows of the keys as they are now. Raises `NotFoundError` for an id that is not there."""
        from proxy.store.keys import get_keys, list_keys

        with invocation.reading() as database:
            if self.key_ids:
                return get_keys(database, self.key_ids, now=invocation.now)
            return list_keys(
                database,
                source=self.source,
                status="expired" if self.expired else None,
                now=invocation.now,
            )


def read_selection(
    key_ids: Sequence[str] | None, source: str | None, everything: bool, expired: bool | None = None
) -> KeySelection:
    """Return what the options select; none of them or several raise `InvalidInputError`.

    `expired` None: the command has no such option.
    """
    if (bool(key_ids), source is not None, everything, bool(expired)).count(True) != 1:
        ways = "--source NAME, or --all" if expired is None else "--source NAME, --expired, or --all"
        raise InvalidInputError("which keys?", hint=f"give ids, or {ways}, and only one of them")
    return KeySelection(tuple(key_ids or ()), source, everything, bool(expired))
