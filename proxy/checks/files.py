"""Checks of files: what others can read, and how much room there is on the disks."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from proxy.checks.result import Check, failed, format_size, passed, warning
from proxy.exposure import find_exposed
from proxy.settings import Settings, database_path

FREE_BYTES_NEEDED = 64 << 20
FREE_BYTES_WANTED = 1 << 30


def check_permissions(settings: Settings) -> Iterator[Check]:
    """Yield a warning for each file that others can read."""
    exposed = find_exposed(settings)
    for exposure in exposed:
        yield warning("permissions", str(exposure), exposure.fix)
    if not exposed:
        yield passed("permissions", "no file of the gateway can be read by others")


def check_room(settings: Settings) -> Iterator[Check]:
    """Yield how much room is left on each disk that the gateway writes to."""
    folders = {"the database": database_path(settings).parent, "the journal": settings.audit.directory}
    seen: dict[int, list[str]] = {}
    places: dict[int, Path] = {}
    for name, folder in folders.items():
        place = find_existing(folder)
        device = place.stat().st_dev
        seen.setdefault(device, []).append(name)
        places.setdefault(device, place)
    for device, names in seen.items():
        yield judge_room(" and ".join(names), shutil.disk_usage(places[device]).free)


def judge_room(names: str, free_bytes: int) -> Check:
    """Return what so many free bytes mean."""
    detail = f"{format_size(free_bytes)} free for {names}"
    if free_bytes < FREE_BYTES_NEEDED:
        return failed("disk", detail, "make room on that disk: rows wait in the journal, then requests stop")
    if free_bytes < FREE_BYTES_WANTED:
        return warning("disk", detail, "make room on that disk; 'fastgate logs prune' thins the audit trail")
    return passed("disk", detail)


def find_existing(path: Path) -> Path:
    """Return the path, or the nearest folder above it that exists."""
    return next(folder for folder in (path, *path.parents) if folder.exists())


def find_write_fault(folder: Path) -> str:
    """Return why this user cannot make files in a folder, which may have yet to be made; empty if he can."""
    place = find_existing(folder)
    if not place.is_dir():
        return f"{place} is not a folder"
    if not os.access(place, os.W_OK | os.X_OK):
        return f"this user cannot write to {place}"
    return ""
