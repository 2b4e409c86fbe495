"""`fastgate serve` as a process with several workers, its database, and a backend that the test plays."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from queue import Queue
from typing import Any

from proxy.running import Note, read_running
from proxy.store.database import open_database
from proxy.store.keys import create_key
from proxy.store.log_filter import LogFilter
from proxy.store.logs import list_logs
from proxy.store.routes import NewRoute, add_route, delete_routes, list_routes

ROOT = Path(__file__).parents[2]
WAIT_SECONDS = 15
_ADDRESS = re.compile(r"listens on http://127\.0\.0\.1:(\d+)")
_STREAM = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n"
)


def await_that(is_so: Callable[[], bool]) -> None:
    """Ask again until it is so: another process gets there, and has no event to wait for."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def has_ended(pid: int) -> bool:
    """Tell whether a process is gone, or dead and not yet collected."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].startswith("Z")
    except (FileNotFoundError, ProcessLookupError):
        return True


class ServedGateway:
    """A gateway in a folder of its own; what it writes to standard error is in `lines`."""

    def __init__(
        self, folder: Path, *, workers: int = 2, grace_seconds: float = 30, log: str = "", **environ: str
    ) -> None:
        self.folder = folder
        self.backend = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.backend.settimeout(WAIT_SECONDS)
        self.database = folder / "fastgate.db"
        self.journal = folder / "journal"
        with open_database(self.database, create=True) as database:
            target = f"127.0.0.1:{self.backend.getsockname()[1]}"
            delete_routes(database, [row["route_id"] for row in list_routes(database)])
            add_route(database, NewRoute("/v1/*", target), datetime.now(UTC))
        self.key = self.create_key()
        self.environ = {name: value for name, value in os.environ.items() if not name.startswith("FASTGATE_")}
        self.environ |= {"HOME": str(folder), "PYTHONPATH": str(ROOT), **environ}
        self.configure(workers=workers, grace_seconds=grace_seconds, log=log)
        self.lines: list[str] = []
        self.process = self._start()
        found: Queue[int] = Queue()
        threading.Thread(target=self._read, args=(self.process, found), daemon=True).start()
        self.port = found.get(timeout=WAIT_SECONDS)
        assert self.port, self.lines

    def configure(
        self, *, workers: int = 2, grace_seconds: float = 30, more: str = "", log: str = ""
    ) -> None:
        """Write the configuration; `more` is of the section app, `log` the section logging."""
        (self.folder / "fastgate.yaml").write_text(
            f"app: {{port: 0, workers: {workers}{more}}}\ndatabase: {{url: 'sqlite:///{self.database}'}}\n"
            f"proxy: {{shutdown_grace: {grace_seconds}}}\naudit: {{directory: '{self.journal}'}}\n"
            "security: {admin_token: 'token-of-the-test'}\nrate_limiting: {enabled: false}\n"
            f"logging: {{{log}}}\n"
        )

    def _start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "fastgate_cli", "serve"],
            cwd=self.folder,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def _read(self, process: subprocess.Popen[str], found: Queue[int]) -> None:
        assert process.stderr is not None
        for line in process.stderr:
            self.lines.append(line)
            if match := _ADDRESS.search(line):
                found.put(int(match[1]))
        found.put(0)

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a `fastgate` command on this gateway's configuration."""
        return subprocess.run(
            [sys.executable, "-m", "fastgate_cli", *arguments],
            cwd=self.folder,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=WAIT_SECONDS * 2,
            check=False,
        )

    def create_key(self) -> str:
        """Return the secret of a new key."""
        with open_database(self.database, create=False) as database:
            return create_key(database, key_prefix="fg_", now=datetime.now(UTC))[1]

    def note(self) -> Note:
        """Return what the gateway says of itself."""
        return read_running(self.journal)

    def connect(self, path: str = "/v1/x", key: str = "") -> socket.socket:
        """Send a request on a new connection."""
        client = socket.create_connection(("127.0.0.1", self.port), WAIT_SECONDS)
        head = f"GET {path} HTTP/1.1\r\nhost: x\r\nx-api-key: {key or self.key}\r\nconnection: close\r\n\r\n"
        client.sendall(head.encode())
        return client

    def ask(self, path: str, key: str = "") -> int:
        """Return the status of the answer to a request on a new connection; 0 if there was none."""
        with self.connect(path, key) as client:
            answer = read_rest(client)
        return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else 0

    def start_stream(self) -> tuple[socket.socket, socket.socket]:
        """Return both ends of a stream whose first piece has arrived."""
        client = self.connect()
        wire, _ = self.backend.accept()
        wire.settimeout(WAIT_SECONDS)
        wire.recv(65536)
        wire.sendall(_STREAM)
        seen = b""
        while not seen.endswith(b"3\r\none\r\n"):
            seen += client.recv(65536)
        return client, wire

    def start_stream_on(self, worker_pid: int) -> tuple[socket.socket, socket.socket]:
        """Return both ends of a stream that one worker serves: the others are asleep meanwhile."""
        others = [pid for pid in self.note().worker_pids if pid != worker_pid]
        for pid in others:
            os.kill(pid, signal.SIGSTOP)
        try:
            return self.start_stream()
        finally:
            for pid in others:
                os.kill(pid, signal.SIGCONT)

    def refuses_connections(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return True
        return False

    def rows(self) -> list[dict[str, Any]]:
        """Return every row of the audit trail, the newest first."""
        with open_database(self.database, create=False) as database:
            return list(list_logs(database, LogFilter(), limit=0))

    def outcomes(self) -> list[tuple[int | None, str | None]]:
        """Return status and error of every row."""
        return [(row["status_code"], row["error_message"]) for row in self.rows()]

    def text(self) -> str:
        """Return what it has written to standard error so far."""
        return "".join(self.lines)

    def end(self) -> int:
        """Have it drain, and return the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(WAIT_SECONDS)

    def close(self) -> None:
        """End whatever is left of it."""
        self.process.kill()
        self.process.wait(WAIT_SECONDS)
        self.backend.close()


def read_rest(client: socket.socket) -> bytes:
    """Return what comes until the other side ends, or breaks off."""
    rest = b""
    try:
        while piece := client.recv(65536):
            rest += piece
    except ConnectionResetError:
        pass
    return rest
