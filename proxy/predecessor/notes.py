"""What there is to say of a converted row: what was changed, what behaves differently, what cannot be.

A message never holds a secret. It is for whoever moves: it says what was there, what is there now, and why.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["key", "route", "log"]
# changed: written otherwise, means the same; warning: means something else now; refused: cannot be taken.
Level = Literal["changed", "warning", "refused"]


@dataclass(frozen=True, slots=True)
class Note:
    """One remark on one row, or on `count` of them."""

    kind: Kind
    id: str
    level: Level
    column: str
    message: str
    count: int = 1


@dataclass(slots=True)
class Notebook:
    """Takes the notes on one row while it is converted."""

    kind: Kind
    row_id: str
    notes: list[Note] = field(default_factory=list)

    @property
    def is_refused(self) -> bool:
        """Tell whether the row cannot be taken."""
        return any(note.level == "refused" for note in self.notes)

    def change(self, column: str, message: str) -> None:
        """Note what is written otherwise and means the same."""
        self._add("changed", column, message)

    def warn(self, column: str, message: str) -> None:
        """Note what means something else now, or is lost."""
        self._add("warning", column, message)

    def refuse(self, column: str, message: str) -> None:
        """Note why the row cannot be taken."""
        self._add("refused", column, message)

    def _add(self, level: Level, column: str, message: str) -> None:
        self.notes.append(Note(self.kind, self.row_id, level, column, message))
