"""What a worker counts of its traffic: plain integers, cheap enough for every request.

`/metrics` and `/health` read them; nothing on the hot path waits for anyone who does.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Counters:
    """One worker's traffic since it started."""

    in_flight: int = 0
    requests: dict[int, int] = field(default_factory=lambda: dict.fromkeys(range(6), 0))  # by status // 100
    errors: dict[str, int] = field(default_factory=dict)  # by the reason in the audit row; a fixed set

    def count(self, status: int | None, error: str | None) -> None:
        """Count a finished request; status None (the client left before it had one) is class 0."""
        self.requests[(status or 0) // 100] += 1
        if error is not None:
            self.errors[error] = self.errors.get(error, 0) + 1
