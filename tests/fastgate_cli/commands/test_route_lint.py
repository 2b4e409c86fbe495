"""`fastgate routes lint`: what it prints, and how it ends."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path

Cli = Callable[..., subprocess.CompletedProcess[str]]


def add(cli: Cli, *arguments: str) -> None:
    done = cli("routes", "add", "--to", "http://127.0.0.1:1", *arguments)
    assert done.returncode == 0, done.stderr


def test_no_faults_end_with_zero(cli: Cli) -> None:
    add(cli, "--id", "a", "--match", "/v1/*")
    done = cli("routes", "lint", "--json")
    assert (done.returncode, json.loads(done.stdout)) == (0, [])


def test_faults_are_rows_and_end_with_one(cli: Cli, environment: dict[str, str]) -> None:
    for route_id in ("a", "b", "broken"):
        add(cli, "--id", route_id, "--match", "/v1/*")
    (path,) = Path(environment["XDG_DATA_HOME"]).rglob("*.db")
    with sqlite3.connect(path) as database:
        database.execute("UPDATE proxy_routes SET match_path = 'v1' WHERE route_id = 'broken'")
    done = cli("routes", "lint", "--json")
    assert done.returncode == 1
    rows = json.loads(done.stdout)
    assert [(row["route_id"], row["level"], row["rule"]) for row in rows] == [
        ("broken", "error", "unusable"),
        ("b", "error", "duplicate"),
    ]
    assert cli("routes", "lint", "-o", "id").stdout.split() == ["broken", "b"]


def test_own_pages_follow_the_configured_prefix(cli: Cli) -> None:
    add(cli, "--id", "a", "--match", "/health")
    assert cli("routes", "lint").returncode == 1
    assert cli("routes", "lint", env={"FASTGATE_APP_SYSTEM_PREFIX": "/-"}).returncode == 0


def test_reads_without_a_database_say_so(cli: Cli) -> None:
    assert cli("routes", "lint").returncode == 4
