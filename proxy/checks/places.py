"""Checks of the places that a gateway writes to besides its database and its journal."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from proxy.checks.files import find_write_fault
from proxy.checks.result import Check, failed, passed
from proxy.settings import Settings


def check_places(settings: Settings) -> Iterator[Check]:
    """Yield whether the files of limits and log can be written, or made."""
    if settings.rate_limiting.enabled:
        yield check_place("limits", settings.rate_limiting.file, "rate_limiting.file")
    if settings.logging.file is not None:
        yield check_place("log", settings.logging.file, "logging.file")


def check_place(name: str, path: Path, setting: str) -> Check:
    """Return whether this user can write to a file, which may have yet to be made."""
    if path.is_dir():
        return failed(name, f"{path} is a folder", f"set {setting}")
    if not os.path.lexists(path):
        fault = find_write_fault(path.parent)
        return failed(name, fault, f"set {setting}") if fault else passed(name, f"{path} can be made")
    if not os.access(path, os.W_OK):
        return failed(name, f"this user cannot write to {path}", f"let him, or set {setting}")
    return passed(name, str(path))
