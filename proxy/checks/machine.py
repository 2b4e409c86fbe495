"""Checks of the machine: its clock, and how many files a process may have open."""

from __future__ import annotations

import re
import resource
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

from proxy.checks.result import Check, failed, format_days, passed, warning
from proxy.clock import STORAGE_TIMEZONE, format_time
from proxy.settings import ProxySettings

EARLIEST = datetime(2024, 1, 1, tzinfo=STORAGE_TIMEZONE)
BEHIND_MAX = timedelta(minutes=5)
FILES_FOR_ITSELF = 64
_FILES = "open files"
_LIMIT = re.compile(r"^Max open files\s+(\d+|unlimited)", re.MULTILINE)
_SET_CLOCK = "set the clock: timedatectl set-ntp true"


def check_clock(now: datetime, newest_request: datetime | None) -> Iterator[Check]:
    """Yield whether the system's clock can be right: neither before our time nor before the newest row."""
    shown = format_time(now, now.tzinfo or STORAGE_TIMEZONE, timespec="seconds")
    if now < EARLIEST:
        yield failed("clock", f"it says {shown}: keys and rows would be wrong", _SET_CLOCK)
    elif newest_request is not None and newest_request - now > BEHIND_MAX:
        behind = format_days((newest_request - now).total_seconds())
        yield warning("clock", f"it says {shown}: {behind} before the newest request", _SET_CLOCK)
    else:
        yield passed("clock", shown)


def check_open_files(proxy: ProxySettings, worker_pid: int | None) -> Iterator[Check]:
    """Yield whether a worker, of a gateway that runs if one does, may open the files that it needs."""
    limit = read_file_limit(worker_pid) if worker_pid is not None else None
    if limit is not None:
        yield judge_open_files(proxy, limit, "the gateway may open")
    else:
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        yield judge_open_files(proxy, limit, "a gateway started here may open")


def judge_open_files(proxy: ProxySettings, limit: int, subject: str) -> Check:
    """Return what a limit means for a configuration; below 0 there is none."""
    # A connection of a client, and for each request one to a backend.
    needed = proxy.max_connections + proxy.max_in_flight + FILES_FOR_ITSELF
    if limit < 0:
        return passed(_FILES, f"{subject} as many as it needs")
    if limit >= needed:
        return passed(_FILES, f"{subject} {limit}, and needs at most {needed}")
    detail = f"{subject} {limit}, and may need {needed}: proxy.max_connections is {proxy.max_connections}"
    fix = f"'ulimit -n {needed}' before 'fastgate serve' (systemd: LimitNOFILE={needed})"
    return (failed if limit <= FILES_FOR_ITSELF else warning)(_FILES, detail, fix)


def read_file_limit(pid: int) -> int | None:
    """Return how many files a process may have open, -1 for no limit; None if that cannot be read."""
    try:
        match = _LIMIT.search(Path(f"/proc/{pid}/limits").read_text())
    except OSError:
        return None
    if match is None:
        return None
    return -1 if match[1] == "unlimited" else int(match[1])
