"""The result of a check, and the guard that makes one of whatever goes wrong in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from proxy.errors import FastGateError

Status = Literal["passed", "warning", "failed"]


@dataclass(frozen=True, slots=True)
class Check:
    """What was looked at, how it is, and, unless it passed, the command or the step that mends it."""

    check: str
    status: Status
    detail: str
    fix: str = ""


Probe = Callable[[], Iterable[Check]]


def passed(check: str, detail: str) -> Check:
    """Return that there is nothing to mend."""
    return Check(check, "passed", detail)


def warning(check: str, detail: str, fix: str) -> Check:
    """Return what should be looked at, and keeps nothing from working."""
    return Check(check, "warning", detail, fix)


def failed(check: str, detail: str, fix: str) -> Check:
    """Return what has to be mended."""
    return Check(check, "failed", detail, fix)


def guard(name: str, probe: Probe) -> Iterator[Check]:
    """Yield the results of a check; one that breaks has failed, and says so under this name."""
    try:
        yield from probe()
    except Exception as error:  # noqa: BLE001
        # The outermost boundary of a check: the others go on.
        yield describe_break(name, error)


def describe_break(name: str, error: Exception) -> Check:
    """Return the result of a check that broke; what is not ours may hold a secret, and is not told."""
    if isinstance(error, FastGateError):
        return failed(name, error.message, error.hint)
    if isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename else ""
        return failed(
            name, f"it could not be looked at: {place}{error.strerror or type(error).__name__}", "look there"
        )
    return failed(name, f"the check itself broke: {type(error).__name__}", "report that, please")


def format_size(size: int) -> str:
    """Return a number of bytes as people read it: 512 B, 3.4 MB, 12 GB."""
    value, units = float(size), ("B", "KB", "MB", "GB", "TB")
    for unit in units:
        if value < 999.5 or unit == units[-1]:
            break
        value /= 1024
    return f"{value:.1f} {unit}" if unit != "B" and value < 9.95 else f"{value:.0f} {unit}"


def format_days(seconds: float) -> str:
    """Return a length of time in its largest unit: 3 days, 1 hour, 40 seconds."""
    for size, unit in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= size:
            count = int(seconds // size)
            return f"{count} {unit}{'s' if count > 1 else ''}"
    return f"{int(seconds)} seconds"
