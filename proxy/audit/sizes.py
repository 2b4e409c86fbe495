"""How large a journal is: what it holds, what of that has yet to become rows, what was kept as damaged."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from proxy.audit.segments import DAMAGED_SUFFIX, list_segments


@dataclass(frozen=True, slots=True)
class JournalSize:
    """Bytes in all segments, and of them those not recorded yet; segments with damage, and their bytes."""

    size: int = 0
    waiting: int = 0
    damaged: int = 0
    damaged_size: int = 0


def measure_journal(directory: Path, offsets: Mapping[str, int]) -> JournalSize:
    """Measure a journal whose segments are recorded up to `offsets`; one that is not there is empty."""
    size = waiting = 0
    for segment in list_segments(directory):
        with suppress(FileNotFoundError):  # recorded meanwhile
            held = segment.path.stat().st_size
            size += held
            waiting += max(0, held - offsets.get(segment.name, 0))
    kept = [path.stat().st_size for path in directory.glob("*" + DAMAGED_SUFFIX)]
    return JournalSize(size, waiting, len(kept), sum(kept))
