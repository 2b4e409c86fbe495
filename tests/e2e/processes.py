"""Real processes: the command line as a user runs it, a mock backend, and a gateway in front of it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import Queue
from typing import Any

_ADDRESS = re.compile(r"(?:listens|Running) on (https?://\S+)")
BUILTIN, HYPERCORN = "builtin", "hypercorn"


@dataclass
class Running:
    """A `fastgate` process that has said where it listens."""

    process: subprocess.Popen[str]
    url: str
    lines: list[str] = field(default_factory=list)
    is_session: bool = False  # it has processes that know nothing of its death

    def kill(self) -> None:
        """End it, whatever its state."""
        if self.is_session:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
        self.process.kill()

    def stop(self, number: signal.Signals = signal.SIGTERM, timeout_seconds: float = 15) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(number)
        try:
            return self.process.wait(timeout_seconds)
        finally:
            self.kill()


@dataclass
class Fastgate:
    """The command line in a folder of its own, with its own home and configuration.

    With the front `HYPERCORN`, `serve` is not the command but Hypercorn with the gateway as its application.
    """

    folder: Path
    front: str = BUILTIN
    running: list[Running] = field(default_factory=list)

    @property
    def environ(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("FASTGATE_")}
        source = str(Path(__file__).parents[2])
        return {**kept, "HOME": str(self.folder), "PYTHONPATH": source, "PYTHONUNBUFFERED": "1"}

    def __call__(self, *arguments: str, code: int = 0, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a command to its end and check its exit code."""
        done = subprocess.run(
            [sys.executable, "-m", "fastgate_cli", *arguments],
            cwd=self.folder,
            env=self.environ,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=45,
            check=False,
            **options,
        )
        assert done.returncode == code, (arguments, done.returncode, done.stdout, done.stderr)
        return done

    def json(self, *arguments: str) -> Any:
        """Run a command with `--json` and return what it printed."""
        return json.loads(self(*arguments, "--json").stdout)

    def popen(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command and return at once."""
        command = ["fastgate_cli", *arguments]
        if self._has_hypercorn(arguments):
            command = ["hypercorn", *hypercorn_arguments(*arguments[1:])]
        return subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=self.folder,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=self._has_hypercorn(arguments),  # its workers end with it, whatever happens
        )

    def _has_hypercorn(self, arguments: tuple[str, ...]) -> bool:
        return self.front == HYPERCORN and arguments[0] == "serve"

    def start(self, *arguments: str) -> Running:
        """Start a server and return when it has said where it listens."""
        process = self.popen(*arguments)
        assert process.stderr
        lines: list[str] = []
        found: Queue[str] = Queue()

        def read() -> None:
            assert process.stderr
            for line in process.stderr:
                lines.append(line)
                if match := _ADDRESS.search(line):
                    found.put(match[1])
            found.put("")

        threading.Thread(target=read, daemon=True).start()
        url = found.get(timeout=40)
        assert url, lines
        running = Running(process, url, lines, self._has_hypercorn(arguments))
        self.running.append(running)
        return running

    def stop_all(self) -> None:
        """End every server that was started, whatever its state."""
        for running in self.running:
            running.kill()
            running.process.wait(10)

    def wait_for_row(self, request_id: str = "") -> dict[str, Any]:
        """Return a request, or the newest, as `logs show` has it, once it has ended; fails in the end."""
        for _ in range(50):
            rows = self.json("logs", "list", "-n", "0")
            for row in rows:
                if row["response_time"] and request_id in ("", row["request_id"]):
                    shown: dict[str, Any] = self.json("logs", "show", row["id"])
                    return shown
            time.sleep(0.2)
        raise AssertionError(f"no row of {request_id} has ended: {rows}")


def hypercorn_arguments(*options: str) -> list[str]:
    """Return how Hypercorn is told what `fastgate serve` is told; other options are its own."""
    told = dict(zip(options[::2], options[1::2], strict=True))
    port, workers = told.pop("--port"), told.pop("--workers", "1")
    own = ["--bind", f"127.0.0.1:{port}", "--workers", workers]
    own += ["--graceful-timeout", told.pop("--graceful-timeout", "30")]
    return [*own, *(part for option in told.items() for part in option), "proxy.runtime.app:create_app()"]


@dataclass(frozen=True)
class Stack:
    """A mock backend, a gateway with one route to it, and a key."""

    fastgate: Fastgate
    mock: Running
    gateway: Running
    key: str
    key_id: str
