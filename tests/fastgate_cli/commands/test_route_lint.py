"""`fastgate routes lint`: what it prints, and how it ends."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path

import trustme

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


def test_what_a_route_refers_to_has_to_be_there(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret")
    (tmp_path / "ca.pem").write_text("no certificate")
    references = ["--set-header", "A: ${env:GONE}", "--set-header", "B: ${file:nosuch}"]
    add(cli, "--id", "a", "--match", "/a", *references, "--set-header", "C: ${file:token}")
    add(cli, "--id", "off", "--match", "/off", "--disabled", *references)
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    secure = ["--to", "https://127.0.0.1:2", "--tls-ca", str(tmp_path / "ca.pem")]
    add(cli, "--id", "tls", "--match", "/tls", *secure)
    (tmp_path / "ca.pem").unlink()
    done = cli("routes", "lint", "--json")
    assert done.returncode == 1
    rows = json.loads(done.stdout)
    assert [(row["route_id"], row["level"], row["rule"]) for row in rows] == [
        ("tls", "error", "unusable"),
        ("a", "warning", "unresolved"),
        ("a", "error", "unresolved"),
    ]
    assert "${env:GONE}" in rows[-2]["message"]
    assert "${file:nosuch}" in rows[-1]["message"]
    rows = json.loads(cli("routes", "lint", "--json", env={"GONE": "here"}).stdout)
    assert [row["level"] for row in rows] == ["error", "error"]


def test_own_pages_follow_the_configured_prefix(cli: Cli) -> None:
    add(cli, "--id", "a", "--match", "/health")
    assert cli("routes", "lint").returncode == 1
    assert cli("routes", "lint", env={"FASTGATE_APP_SYSTEM_PREFIX": "/-"}).returncode == 0


def test_reads_without_a_database_say_so(cli: Cli) -> None:
    assert cli("routes", "lint").returncode == 4
