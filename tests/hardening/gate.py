"""A real gateway, `fastgate serve` as a process of its own, in front of the recording backend.

Everything below `/t/` leads to that backend. The rows are read from the database itself, as they are.
"""

from __future__ import annotations

import sqlite3
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any, TypeVar

from tests.e2e.processes import Fastgate, Running
from tests.hardening.arrivals import BOUND_SECONDS, Arrival
from tests.hardening.backend import RecordingBackend
from tests.hardening.client import RawClient, Response
from tests.hardening.plays import Play

T = TypeVar("T")
_POLL_SECONDS = 0.02
_DATABASE = "data/fastgate.db"


@dataclass
class Gate:
    """A gateway that serves, the backend behind it, and a key without a limit."""

    fastgate: Fastgate
    backend: RecordingBackend
    running: Running
    key: str
    key_id: str
    route_id: str
    clients: list[RawClient] = field(default_factory=list)
    secrets: list[str] = field(default_factory=list)
    prefix: str = ""  # of the gateway's own pages
    _numbers: Iterator[int] = field(default_factory=count)

    @property
    def port(self) -> int:
        return int(self.running.url.rpartition(":")[2])

    @property
    def pid(self) -> int:
        return self.running.process.pid

    def new_path(self, play: Play | None = None) -> str:
        """Return a path that no other request has, and have it answered by a play."""
        path = f"/t/{next(self._numbers)}"
        if play:
            self.backend.play(path, play)
        return path

    def connect(self, *, receive_bytes: int = 0) -> RawClient:
        self.clients.append(RawClient(self.port, receive_bytes=receive_bytes))
        return self.clients[-1]

    def head(self, path: str, *lines: str, method: str = "GET", key: str | None = None) -> bytes:
        """Return the head of a good request, with more header lines."""
        own = (f"{method} {path} HTTP/1.1", "host: gate.test", f"authorization: Bearer {key or self.key}")
        return "\r\n".join((*own, *lines, "", "")).encode("latin-1")

    def ask(self, request: bytes) -> Response:
        """Send bytes on a connection of their own, and read one answer."""
        return self.connect().ask(request)

    def post(self, path: str, body: bytes, *lines: str) -> Response:
        """Send a good request with a body."""
        head = self.head(path, f"content-length: {len(body)}", *lines, method="POST")
        return self.ask(head + body)

    def seen_of(self, path: str) -> Arrival:
        """Return the one request that the backend has got for a path."""
        (arrival,) = self.backend.wait_for(path)
        return arrival

    def row(self, response: Response) -> dict[str, Any]:
        """Return the row of an answered request, once it has ended."""
        (row,) = self.rows("request_id = ?", response.request_id)
        return row

    def rows(self, condition: str, *values: object, count: int = 1) -> list[dict[str, Any]]:
        """Return the rows of ended requests for which a condition holds, once there are so many."""
        ended = f"({condition}) AND (response_time IS NOT NULL OR error_message IS NOT NULL)"
        query = f"SELECT * FROM audit_logs WHERE {ended} ORDER BY rowid"
        return wait_for(lambda: self.read(query, *values), lambda rows: len(rows) >= count)

    def reason(self, path: str) -> str | None:
        """Return the error in the one row of a path."""
        (row,) = self.rows("path = ?", path)
        reason: str | None = row["error_message"]
        return reason

    def read(self, query: str, *values: object) -> list[dict[str, Any]]:
        """Run a query on the database of the gateway."""
        file = self.fastgate.folder / _DATABASE
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=BOUND_SECONDS)) as database:
            database.row_factory = sqlite3.Row
            return [dict(row) for row in database.execute(query, values)]

    def write(self, statement: str, *values: object) -> None:
        """Change keys or routes as a command would, and return when the gateway has seen it."""
        with closing(sqlite3.connect(self.fastgate.folder / _DATABASE, timeout=BOUND_SECONDS)) as database:
            database.execute(statement, values)
            database.commit()
        self.wait_for_revision()

    def wait_for_revision(self) -> None:
        """Return when every worker has seen the keys and routes as they are now."""
        ((row),) = self.read("SELECT revision FROM gateway_state")
        wait_for(lambda: self.metric("fastgate_snapshot_revision"), lambda seen: seen >= row["revision"])

    def metric(self, name: str) -> float:
        """Return the value of a metric without labels."""
        with urllib.request.urlopen(
            f"{self.running.url}{self.prefix}/metrics", timeout=BOUND_SECONDS
        ) as page:
            lines = page.read().decode().splitlines()
        return next(float(line.split()[-1]) for line in lines if line.partition(" ")[0] == name)

    def check_serves(self) -> None:
        """Check that another client gets a good answer, and the backend exactly its request."""
        path, before = self.new_path(), len(self.backend.arrivals)
        response = self.ask(self.head(path))
        assert (response.status, response.body) == (200, path.encode())
        assert [each.target for each in self.backend.arrivals[before:]] == [path.encode()]
        assert self.running.process.poll() is None

    def check_is_secret(self, secret: str) -> None:
        """Check that a secret is in nothing that the gateway printed or wrote."""
        needle = secret.encode("latin-1")
        assert needle not in "".join(self.running.lines).encode("latin-1", "replace")
        files = [path for path in self.fastgate.folder.rglob("*") if path.is_file()]
        assert self.fastgate.folder / _DATABASE in files
        for file in files:
            assert needle not in file.read_bytes(), f"{file.name} holds a secret"

    def hang_up(self) -> None:
        """Close every connection of a client."""
        for client in self.clients:
            client.close()
        self.clients.clear()


def wait_for(read: Callable[[], T], is_so: Callable[[T], bool]) -> T:
    """Return what is read, once a condition holds for it; fails after a bound."""
    deadline = time.monotonic() + BOUND_SECONDS
    while not is_so(value := read()):
        assert time.monotonic() < deadline, str(value)[:500]
        time.sleep(_POLL_SECONDS)
    return value


@contextmanager
def run_gate(fastgate: Fastgate, settings: str = "") -> Iterator[Gate]:
    """Run a gateway with more of fastgate.yaml, and check when it ends that it ended well."""
    backend = RecordingBackend()
    file = fastgate.folder / "fastgate.yaml"
    file.write_text(f"database: {{url: 'sqlite:///{_DATABASE}'}}\n{settings}")
    try:
        made = fastgate.json("keys", "create", "--source", "tests", "--rate-limit", "0")
        route = fastgate.json("routes", "add", "--match", "/t/*", "--to", backend.url)
        running = fastgate.start("serve", "--port", "0")
        gate = Gate(fastgate, backend, running, made["key"], made["key_id"], route["route_id"])
        yield gate
        gate.hang_up()
        check_end(gate)
    finally:
        fastgate.stop_all()
        backend.close()


def check_end(gate: Gate) -> None:
    """Check that it ends by itself, and has told no secret and sent nothing malformed while it ran."""
    assert gate.running.stop() == 0, gate.running.lines
    assert not [line for line in gate.running.lines if "Traceback" in line], gate.running.lines
    assert not gate.backend.faults
    for arrival in gate.backend.arrivals:
        assert gate.key.encode() not in arrival.head
    for secret in (gate.key, *gate.secrets):
        gate.check_is_secret(secret)
