"""How often something is read: as often as it is wanted, and no more than a share of a processor. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Pace:
    """When something is due again. `share` is what it may take of one processor, on the average.

    What is read in no time is read at every refresh; what takes a second, of a week of a million requests,
    only as often as that comes to its share.
    """

    interval_seconds: float
    share: float
    due_at: float = 0.0

    def is_due(self, now: float) -> bool:
        """Tell whether it is to be read; times are those of a clock that never goes back."""
        return now >= self.due_at

    def note_read(self, began: float, cost_seconds: float) -> None:
        """Note when it was last read, and what that cost."""
        self.due_at = began + max(self.interval_seconds, cost_seconds / self.share)
