"""The servers of a benchmark as processes of their own, and what they have used of the machine."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from proxy.store.database import open_database
from proxy.store.keys import create_key
from proxy.store.routes import NewRoute, add_route

ROOT = Path(__file__).parents[2]
PATH = "/v1/chat/completions"
OTHER_ROUTES = 99  # besides the one that serves
RATE_LIMIT = 100_000_000  # in force, and never reached; 0 is no limit
_ADDRESS = re.compile(r"listens on (http://\S+)")


@dataclass
class Server:
    """A server process and the URL that requests are sent to."""

    name: str
    process: subprocess.Popen[str]
    origin: str

    @property
    def url(self) -> str:
        return self.origin + PATH

    def cpu_seconds(self) -> float:
        """Return the CPU time of the process and all below it, user and system (proc(5))."""
        # Nanoseconds that the scheduler has counted: `stat` has ticks of ten milliseconds only.
        tasks = (task for pid in _list_tree(self.process.pid) for task in Path(f"/proc/{pid}/task").iterdir())
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9

    def peaks_mib(self) -> list[float]:
        """Return the most memory that each process has held so far, in MiB."""
        return [read_peak_kib(pid) / 1024 for pid in _list_tree(self.process.pid)]


@contextmanager
def run(name: str, folder: Path, *command: str) -> Iterator[Server]:
    """Start a server, wait until it says where it listens, and stop it in the end."""
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(folder)}
    process = subprocess.Popen(
        [sys.executable, *command], cwd=folder, env=environ, stderr=subprocess.PIPE, text=True
    )
    try:
        yield Server(name, process, _read_address(name, process))
    finally:
        process.terminate()
        process.wait(20)


def prepare_gateway(
    folder: Path, origin: str, rate_limit: int = RATE_LIMIT, *, key: str | None = None, more: str = ""
) -> str:
    """Make a database with a limited key and a hundred routes, one of them to `origin`; return the key.

    `more` goes into the configuration as it is.
    """
    now = datetime.now(UTC)
    injected = {"X-Team": "bench", "Authorization": "Bearer backend-key"}
    host = origin.removeprefix("http://")
    with open_database(folder / "data" / "fastgate.db", create=True) as database:
        for number in range(OTHER_ROUTES):
            add_route(database, NewRoute(f"/team-{number}/v1/*", host, add_headers=injected), now)
        add_route(database, NewRoute("/v1/*", host, add_headers=injected), now)
        _, secret = create_key(database, key_prefix="fg_", rate_limit=rate_limit, value=key, now=now)
    (folder / "fastgate.yaml").write_text(f"database: {{url: 'sqlite:///data/fastgate.db'}}\n{more}")
    return secret


def describe_machine() -> str:
    """Return what a figure depends on besides the code."""
    return f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"


def _read_address(name: str, process: subprocess.Popen[str]) -> str:
    assert process.stderr
    for line in process.stderr:
        if match := _ADDRESS.search(line):
            return match[1]
    raise RuntimeError(f"{name} did not start")


def _list_tree(pid: int) -> list[int]:
    # A child belongs to the thread that started it.
    tasks = Path(f"/proc/{pid}/task").iterdir()
    children = [int(child) for task in tasks for child in (task / "children").read_text().split()]
    return [pid, *(below for child in children for below in _list_tree(child))]


def read_peak_kib(pid: int) -> int:
    """Return the most memory that a process has held so far, in KiB (proc(5))."""
    (line,) = (line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if "VmHWM" in line)
    return int(line.split()[1])
