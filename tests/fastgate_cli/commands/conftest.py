"""Keys for the tests of commands: made and listed as scripts do it, and aged as only time could."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

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
