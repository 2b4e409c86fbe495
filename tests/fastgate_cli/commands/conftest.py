"""What the tests of commands work on: keys as scripts make them, and a database with an audit trail."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from shutil import copyfile
from typing import Any

import pytest

from proxy.audit.events import AuditEvent
from proxy.clock import now_us
from proxy.store.database import open_database
from tests.fastgate_cli.commands.trails import (
    CONFIGURATION,
    FAILED,
    MINUTE_US,
    PLAIN,
    REFUSED,
    RUNNING,
    STREAM,
    Record,
    begin,
    end,
    first,
)
from tests.ports import reserve_neighbours
from tests.proxy.store.rows import record_events

Cli = Callable[..., subprocess.CompletedProcess[str]]
Create = Callable[..., dict[str, Any]]
Listed = Callable[..., list[dict[str, Any]]]
Execute = Callable[..., None]


@pytest.fixture
def create(cli: Cli) -> Create:
    """Create a key and return its row, the secret among it."""

    def run(*arguments: str) -> dict[str, Any]:
        done = cli("keys", "create", "--json", *arguments)
        assert (done.returncode, done.stderr) == (0, "")
        row: dict[str, Any] = json.loads(done.stdout)
        return row

    return run


@pytest.fixture
def listed(cli: Cli) -> Listed:
    """Return the keys that `keys list` lists."""

    def run(*arguments: str) -> list[dict[str, Any]]:
        done = cli("keys", "list", "--json", *arguments)
        assert done.returncode == 0, done.stderr
        rows: list[dict[str, Any]] = json.loads(done.stdout)
        return rows

    return run


@pytest.fixture
def execute(environment: dict[str, str]) -> Execute:
    """Change the database behind the program's back: `execute(sql, *parameters)`."""

    def run(sql: str, *parameters: object) -> None:
        path = Path(environment["XDG_DATA_HOME"]) / "fastgate" / "fastgate.db"
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute(sql, parameters)

    return run


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database to copy, which is quicker than to migrate one for every test."""
    path = tmp_path_factory.mktemp("empty") / "fastgate.db"
    open_database(path, create=True).close()
    return path


@pytest.fixture
def record(tmp_path: Path, empty_database: Path) -> Record:
    """Write events to the database as a recorder does."""
    (tmp_path / "fastgate.yaml").write_text(CONFIGURATION)
    copyfile(empty_database, tmp_path / "fastgate.db")

    def write(events: Sequence[AuditEvent]) -> None:
        with open_database(tmp_path / "fastgate.db", create=False) as database:
            record_events(database, events)

    return write


@pytest.fixture
def trail(record: Record) -> list[str]:
    """Five requests, ten to six minutes ago, the last of them in flight; their ids, the oldest first."""
    start = now_us() - 10 * MINUTE_US
    record(
        [
            *(begin(PLAIN, start, source="ci", agent="curl/8"), end(PLAIN, start, 32_000, size=485)),
            *(begin(STREAM, start + MINUTE_US, source="app"), end(STREAM, start + MINUTE_US, 1_500_000, 25)),
            begin(REFUSED, start + 2 * MINUTE_US, source=None, path="/other", method="GET"),
            end(REFUSED, start + 2 * MINUTE_US, 100, status=401, error="unknown_api_key"),
            begin(FAILED, start + 3 * MINUTE_US, source="ci", address="10.0.0.7"),
            end(FAILED, start + 3 * MINUTE_US, 5_000, status=502, error="upstream_unreachable"),
            *(begin(RUNNING, start + 4 * MINUTE_US, source="app"), first(RUNNING, start + 4 * MINUTE_US)),
        ]
    )
    return [f"log_{ulid}" for ulid in (PLAIN, STREAM, REFUSED, FAILED, RUNNING)]


@pytest.fixture
def free_port() -> Iterator[int]:
    """A port that is the test's, as is its neighbour."""
    with reserve_neighbours(2) as (port, _):
        yield port
