"""A gateway under load whose processes are killed at random moments, and what its audit trail says.

    python -m tests.e2e.kills --cycles 50

The backend keeps a list of its own of the requests that it saw. In the end each of them has exactly one row.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import ExitStack, closing, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from sqlite3 import connect

from proxy.audit.verification import verify_trail
from proxy.errors import NotRunningError
from proxy.running import Note, read_running
from proxy.store.database import open_database
from proxy.store.keys import create_key
from proxy.store.routes import NewRoute, add_route
from tests.e2e.kill_load import WAIT_SECONDS, Load
from tests.ports import reserve_port

ROOT = Path(__file__).parents[2]
TARGETS = ("worker", "recorder", "supervisor", "everything")


class KillSite:
    """A gateway with two workers in a folder of its own, under load."""

    def __init__(self, folder: Path, seed: int = 1) -> None:
        self.folder = folder
        self.journal = folder / "journal"
        self.database = folder / "fastgate.db"
        self.chance = random.Random(seed)
        self._held = ExitStack()
        self.port = self._held.enter_context(reserve_port())
        self.load = Load(self.port)
        with open_database(self.database, create=True) as database:
            now = datetime.now(UTC)
            add_route(database, NewRoute("/v1/*", f"127.0.0.1:{self.load.backend_port}"), now)
            _, self.key = create_key(database, key_prefix="fg_", now=now)
        (folder / "fastgate.yaml").write_text(
            f"app: {{port: {self.port}, workers: 2}}\ndatabase: {{url: 'sqlite:///{self.database}'}}\n"
            f"audit: {{directory: '{self.journal}'}}\nrate_limiting: {{enabled: false}}\n"
            f"logging: {{file: '{folder / 'log'}'}}\nproxy: {{shutdown_grace: 10}}\n"
        )
        self._gateway: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the gateway; returns when all its workers serve."""
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            environ = {**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(self.folder)}
            self._gateway = subprocess.Popen(
                [sys.executable, "-m", "fastgate_cli", "serve"],
                cwd=self.folder,
                env=environ,
                stdin=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            )
            assert self._gateway.stderr is not None
            for line in self._gateway.stderr:
                if b"listens on" in line:
                    threading.Thread(target=self._gateway.stderr.read, daemon=True).start()
                    return
            # What was killed has not let go of the port, or of the journal, yet.
            assert time.monotonic() < deadline, self.log()
            self._gateway.wait(WAIT_SECONDS)

    def note(self) -> Note:
        """Return what the gateway says of itself, as soon as it says anything."""
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            with suppress(NotRunningError):
                return read_running(self.journal)
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def kill(self, target: str) -> None:
        """Kill a process, or all of them; what does not come back by itself is started again."""
        note = self.note()
        pids = {
            "worker": [self.chance.choice(note.worker_pids)],
            "recorder": self._find_recorder(note.pid),
            "supervisor": [note.pid],
            "everything": [note.pid, *note.worker_pids, *self._find_recorder(note.pid)],
        }[target]
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if note.pid in pids:
            assert self._gateway is not None
            self._gateway.wait(WAIT_SECONDS)
            self.start()

    @staticmethod
    def _find_recorder(supervisor: int) -> list[int]:
        """Return the process id of the recorder, unless it is about to be started again."""
        found = []
        for task in Path(f"/proc/{supervisor}/task").iterdir():
            for child in (task / "children").read_text().split():
                with suppress(OSError):
                    if b"proxy.audit.process" in Path(f"/proc/{child}/cmdline").read_bytes():
                        found.append(int(child))
        return found

    def end(self) -> None:
        """Have the gateway drain and end."""
        assert self._gateway is not None
        self._gateway.send_signal(signal.SIGTERM)
        assert self._gateway.wait(WAIT_SECONDS) == 0, self.log()

    def close(self) -> None:
        """End whatever is left."""
        with suppress(AssertionError):
            for pid in self.note().worker_pids if self._gateway and self._gateway.poll() is None else []:
                os.kill(pid, signal.SIGKILL)
        if self._gateway is not None:
            self._gateway.kill()
            self._gateway.wait(WAIT_SECONDS)
        self.load.close()
        self._held.close()

    def log(self) -> str:
        """Return the log of the gateway."""
        path = self.folder / "log"
        return path.read_text() if path.exists() else ""

    def check(self) -> None:
        """Fail unless the trail and the backend's own list agree."""
        with closing(connect(self.database)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            rows = connection.execute(
                "SELECT request_id, status_code, error_message, response_time FROM audit_logs"
            ).fetchall()
            uses = connection.execute("SELECT usage_count FROM api_keys").fetchone()[0]
            facts = connection.execute("SELECT COUNT(*), COUNT(DISTINCT id) FROM log_facts").fetchone()
        counts = Counter(request_id for request_id, *_ in rows)
        seen = self.load.seen
        assert max(counts.values()) == max(seen.values()) == 1
        assert set(seen) <= set(counts), "a request that reached the backend has no row"
        whole = {request_id for request_id, status, error, _ in rows if status == 200 and error is None}
        assert whole <= set(seen)
        assert self.load.answered <= set(seen)
        # Everything else was cut, by a kill or by what a kill had cut.
        reasons = {error for request_id, *_, error, _ in rows if request_id not in whole}
        assert reasons <= {"interrupted", "client_abort"}, reasons
        assert not [each for each in rows if each[3] is None and each[2] != "interrupted"]
        assert uses == len(rows)
        assert facts == (len(rows), len(rows))
        with open_database(self.database, create=False) as database:
            verdict = verify_trail(database, self.journal)
        assert (verdict.lost, verdict.spooled, verdict.duplicates) == (0, 0, 0), asdict(verdict)
        assert verdict.accepted == verdict.stored == len(rows)


def run(folder: Path, targets: list[str], seed: int = 1, seconds: float = 0.5) -> KillSite:
    """Kill one target after the other at random moments, stop, and check; returns what was seen."""
    site = KillSite(folder, seed)
    try:
        site.start()
        site.load.start(site.key)
        for target in targets:
            time.sleep(site.chance.uniform(0.05, seconds))
            site.kill(target)
        site.load.stop()
        site.end()
        site.check()
    finally:
        site.close()
    return site


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cycles", type=int, default=50)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    chance = random.Random(options.seed)
    targets = [chance.choice(TARGETS) for _ in range(options.cycles)]
    print(f"seed {options.seed}: {dict(Counter(targets))}")
    with tempfile.TemporaryDirectory() as name:
        site = run(Path(name), targets, options.seed, 2.0)
        print(
            f"{site.load.tries} tries, {len(site.load.seen)} requests reached the backend, each has one row"
        )


if __name__ == "__main__":
    main()
