"""Checks of the machine: its clock, and how many files a process may have open."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

from proxy.checks.result import Check, failed, format_days, passed, warning
from proxy.clock import STORAGE_TIMEZONE, format_time
from proxy.open_files import FILES_FOR_ITSELF, UNLIMITED, count_needed, find_highest_limit, fit_connections
from proxy.settings import ProxySettings

EARLIEST = datetime(2024, 1, 1, tzinfo=STORAGE_TIMEZONE)
BEHIND_MAX = timedelta(minutes=5)
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
        yield judge_open_files(proxy, find_highest_limit(), "a gateway started here may open")


def judge_open_files(proxy: ProxySettings, limit: int, subject: str) -> Check:
    """Return what a limit means for a configuration."""
    needed = count_needed(proxy)
    if limit == UNLIMITED:
        return passed(_FILES, f"{subject} as many as it needs")
    if limit >= needed:
        return passed(_FILES, f"{subject} {limit}, and needs at most {needed}")
    served, wanted = fit_connections(proxy, limit), proxy.max_connections
    detail = f"{subject} {limit}, enough for {served} connections: proxy.max_connections is {wanted}"
    fix = f"'ulimit -n {needed}' before 'fastgate serve' (systemd: LimitNOFILE={needed})"
    return (failed if limit <= FILES_FOR_ITSELF else warning)(_FILES, detail, fix)


def read_file_limit(pid: int) -> int | None:
    """Return how many files a process may have open, or `UNLIMITED`; None if that cannot be read."""
    try:
        match = _LIMIT.search(Path(f"/proc/{pid}/limits").read_text())
    except OSError:
        return None
    if match is None:
        return None
    return UNLIMITED if match[1] == "unlimited" else int(match[1])
