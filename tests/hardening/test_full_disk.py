"""Row 42: the journal cannot be written: new requests are refused, streams finish, it recovers by itself."""

from __future__ import annotations

import json
import resource
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.processes import Fastgate
from tests.hardening.gate import Gate, run_gate, wait_for
from tests.hardening.plays import stream_pieces

PIECE = b"data: x\n\n"


@pytest.fixture(scope="module", params=["refuse", "forward"])
def gate(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Gate]:
    settings = f"audit: {{on_failure: {request.param}}}\n"
    with run_gate(Fastgate(tmp_path_factory.mktemp("gate")), settings) as gate:
        yield gate


def find_workers(gate: Gate) -> list[int]:
    tasks = Path(f"/proc/{gate.pid}/task").iterdir()
    children = [int(child) for task in tasks for child in (task / "children").read_text().split()]
    return [pid for pid in children if b"proxy.runtime.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()]


@contextmanager
def full_disk(gate: Gate) -> Iterator[None]:
    """Let the workers write nothing more to any file."""
    olds = {pid: resource.prlimit(pid, resource.RLIMIT_FSIZE) for pid in find_workers(gate)}
    assert olds
    for pid, old in olds.items():
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, old[1]))
    try:
        yield
    finally:
        for pid, old in olds.items():
            resource.prlimit(pid, resource.RLIMIT_FSIZE, old)


def read_health(gate: Gate) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"{gate.running.url}/health") as page:
            return page.status, json.load(page)["status"]
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)["status"]


def refuses(gate: Gate) -> bool:
    return "refuse" in (gate.fastgate.folder / "fastgate.yaml").read_text()


def test_new_requests_are_refused_or_let_through_as_configured(gate: Gate) -> None:
    path = gate.new_path()
    with full_disk(gate):
        answer = gate.ask(gate.head(path))
        if refuses(gate):
            assert (answer.status, answer.code) == (503, "overloaded")
            assert answer.values(b"retry-after")
            assert gate.backend.seen(path) == []
        else:
            assert answer.status == 200
        # A refusal needs no room: it is told all the same, and written down later.
        assert gate.ask(gate.head(path, key="fg_wrong")).status == 401
        assert read_health(gate) == (503, "unhealthy")
    wait_for(lambda: read_health(gate), lambda health: health == (200, "healthy"))
    gate.check_serves()
    expected = {(401, "unknown_api_key")} | (set() if refuses(gate) else {(200, None)})
    rows = gate.rows("path = ?", path, count=len(expected))
    assert {(row["status_code"], row["error_message"]) for row in rows} == expected


def test_a_stream_in_flight_finishes_and_its_row_has_its_end(gate: Gate) -> None:
    path = gate.new_path(stream_pieces(PIECE, count=40, pause_seconds=0.02))
    client = gate.connect()
    client.send(gate.head(path))
    status, _ = client.read_head()
    with full_disk(gate):
        whole = client.read_until_end_of_chunks()
    assert (status, whole.count(PIECE)) == (200, 40)
    (row,) = gate.rows("path = ?", path)
    assert (row["status_code"], row["error_message"]) == (200, None)
    assert row["response_size"] == 40 * len(PIECE)


def test_nothing_was_lost_in_the_end(gate: Gate) -> None:
    gate.check_serves()
    wait_for(
        lambda: gate.read("SELECT SUM(accepted) AS accepted, SUM(stored) AS stored FROM journal_writers")[0],
        lambda account: account["accepted"] and account["accepted"] == account["stored"],
    )
    assert gate.metric("fastgate_audit_events_lost_total") == 0
