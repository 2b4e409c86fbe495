"""What the processes of a gateway use, read from /proc: memory, open files and threads of a whole family."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def family(pid: int) -> list[int]:
    """Return a process and all that descend from it."""
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            with suppress(OSError):
                found += map(int, task.read_text().split())
    return found


def resident_bytes(pid: int) -> int:
    """Return the memory in use by a family of processes; a page that several share is counted once."""
    return sum(_read_number(each, "smaps_rollup", "Pss") for each in family(pid)) * 1024


def count_threads(pid: int) -> int:
    return sum(_read_number(each, "status", "Threads") for each in family(pid))


def count_files(pid: int) -> int:
    """Return how many files and sockets a family of processes has open."""
    return sum(map(count_own_files, family(pid)))


def count_own_files(pid: int) -> int:
    """Return how many files and sockets one process has open."""
    with suppress(OSError):
        return len(os.listdir(f"/proc/{pid}/fd"))
    return 0


def _read_number(pid: int, file: str, name: str) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/{file}").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1])
    return 0
