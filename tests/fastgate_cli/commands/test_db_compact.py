"""`fastgate db compact`: what it prints, and whom it asks."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from proxy.running import Note, RunningFile
from proxy.store.database import open_database

Cli = Callable[..., subprocess.CompletedProcess[str]]
TerminalCli = Callable[..., tuple[int, str]]


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A database that is mostly room."""
    path = tmp_path / "f.db"
    (tmp_path / "fastgate.yaml").write_text(
        "database: {url: 'sqlite:///f.db'}\naudit: {directory: journal}\n"
    )
    with open_database(path, create=True) as database, database.transaction():
        database.connection().execute("CREATE TABLE filler (x)")
        database.connection().execute("INSERT INTO filler VALUES (zeroblob(1000000))")
        database.connection().execute("DROP TABLE filler")
    return path


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[None]:
    with RunningFile(tmp_path / "journal") as running:
        running.write(Note(1, "http://127.0.0.1:1", 1, [], "0", 0.0))
        yield


def test_it_tells_how_large_the_database_was_and_is(cli: Cli, database: Path) -> None:
    before = database.stat().st_size
    dry = json.loads(cli("db", "compact", "-n", "--json").stdout)
    assert database.stat().st_size == before == dry["before"]
    done = cli("db", "compact", "--json")
    row = json.loads(done.stdout)
    assert row == {"path": str(database), "before": before, "after": database.stat().st_size}
    assert row["after"] <= dry["after"] < before - 1_000_000
    assert done.stderr == ""


def test_a_running_gateway_is_a_question(
    cli: Cli, terminal_cli: TerminalCli, database: Path, gateway: None
) -> None:
    before = database.stat().st_size
    refused = cli("db", "compact")
    assert refused.returncode == 2
    assert "rows wait in the journal" in refused.stderr
    code, screen = terminal_cli("db", "compact", typed="n\n")
    assert (code, database.stat().st_size) == (1, before)
    assert "compact? [y/N]" in screen
    assert cli("db", "compact", "-y").returncode == 0
    assert database.stat().st_size < before


def test_a_person_is_told_that_it_takes_a_while(terminal_cli: TerminalCli, database: Path) -> None:
    code, screen = terminal_cli("db", "compact")
    assert code == 0
    assert "may take a while" in screen
    assert "BEFORE" in screen


def test_without_a_database_nothing_is_made(cli: Cli, tmp_path: Path) -> None:
    assert cli("db", "compact").returncode == 4
    assert not list(tmp_path.glob("**/*.db"))
