"""A real gateway in front of a hostile backend, and the rows that it writes.

`fastgate serve` is a process of its own, configured with real commands; a module starts one with `run_gate`.
"""

from __future__ import annotations

import json
import sqlite3
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.e2e.processes import BUILTIN, Fastgate, Running
from tests.hardening.faults import BOUND_SECONDS, FaultBackend, Play
from tests.hardening.raw import Answer, RawClient

_POLL_SECONDS = 0.02


@dataclass
class Gate:
    """A gateway that serves, its backend, and a key. `/f/*` leads to the backend."""

    fastgate: Fastgate
    backend: FaultBackend
    running: Running
    key: str
    clients: list[RawClient] = field(default_factory=list)

    @property
    def port(self) -> int:
        return int(self.running.url.rpartition(":")[2])

    @property
    def pid(self) -> int:
        return self.running.process.pid

    def connect(self, **options: int) -> RawClient:
        self.clients.append(RawClient(self.port, **options))
        return self.clients[-1]

    def request(
        self, path: str, *, method: str = "GET", headers: Sequence[str] = (), body: bytes | None = None
    ) -> bytes:
        """Return a request with the key; a body goes with a Content-Length."""
        lines = [f"{method} {path} HTTP/1.1", "host: gateway.test", f"authorization: Bearer {self.key}"]
        if body is not None:
            lines.append(f"content-length: {len(body)}")
        return "\r\n".join((*lines, *headers, "", "")).encode() + (body or b"")

    def ask(self, path: str, script: Play | None = None, **options: Any) -> Answer:
        """Send a request on a connection of its own, after telling the backend what to do with it."""
        if script:
            self.backend.play(path, script)
        return self.connect().ask(self.request(path, **options))

    def row(self, answer: Answer) -> dict[str, Any]:
        """Return the row of an answered request, once it has ended."""
        (row,) = self.wait_for_rows("request_id = ?", answer.request_id, count=1)
        return row

    def rows_of(self, path: str, count: int) -> list[dict[str, Any]]:
        """Return the rows of a path, once so many requests have ended."""
        return self.wait_for_rows("path = ?", path, count=count)

    def wait_for_rows(self, condition: str, value: str, *, count: int) -> list[dict[str, Any]]:
        """Return the rows of ended requests for which a condition holds, once there are so many."""
        deadline = time.monotonic() + BOUND_SECONDS
        while len(rows := self._read_rows(condition, value)) != count:
            assert time.monotonic() < deadline, rows
            time.sleep(_POLL_SECONDS)
        return rows

    def add_route(self, match: str, *options: str) -> None:
        """Add a route with a command, and return when the gateway uses it."""
        expected = self._count_routes() + 1
        self.fastgate("routes", "add", "--match", match, *options)
        deadline = time.monotonic() + BOUND_SECONDS
        while self._count_routes() != expected:
            assert time.monotonic() < deadline, "the gateway does not see the route"
            time.sleep(_POLL_SECONDS)

    def hang_up(self) -> None:
        """Close every connection of a client."""
        for client in self.clients:
            client.close()
        self.clients.clear()

    def _count_routes(self) -> int:
        with urllib.request.urlopen(f"{self.running.url}/health", timeout=BOUND_SECONDS) as response:
            return int(json.load(response)["routes"])

    def _read_rows(self, condition: str, value: str) -> list[dict[str, Any]]:
        file = self.fastgate.folder / "data" / "fastgate.db"
        ended = "(response_time IS NOT NULL OR error_message IS NOT NULL)"
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=BOUND_SECONDS)) as database:
            database.row_factory = sqlite3.Row
            query = f"SELECT * FROM audit_logs WHERE {condition} AND {ended}"
            return [dict(row) for row in database.execute(query, (value,))]


@contextmanager
def run_gate(
    folder: Path,
    *,
    proxy: str = "",
    routes: Sequence[Sequence[str]] = (),
    stops: bool = False,
    front: str = BUILTIN,
    serving: Sequence[str] = (),
) -> Iterator[Gate]:
    """Run a gateway with settings of `proxy` (YAML, in one line) and more routes, each as options of `add`.

    Every route leads to the one backend unless its options say `--to`. The gateway has to be
    alive in the end, or, if the test `stops` it, to have ended. `serving` are options of `serve`, or
    of another `front`.
    """
    fastgate, backend = Fastgate(folder, front), FaultBackend()
    (folder / "fastgate.yaml").write_text(
        f"database: {{url: 'sqlite:///data/fastgate.db'}}\nproxy: {{{proxy}}}\n"
    )
    try:
        key = fastgate("keys", "create", "--rate-limit", "0").stdout.strip()
        for options in (("--match", "/f/*"), *routes):
            target = () if "--to" in options else ("--to", backend.url)
            fastgate("routes", "add", *options, *target)
        gate = Gate(fastgate, backend, fastgate.start("serve", "--port", "0", *serving), key)
        yield gate
        gate.hang_up()
        assert (gate.running.process.poll() is not None) is stops, gate.running.lines
        assert not [line for line in gate.running.lines if "Traceback" in line], gate.running.lines
    finally:
        fastgate.stop_all()
        backend.close()
