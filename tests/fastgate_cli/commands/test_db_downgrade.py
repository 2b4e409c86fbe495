"""`fastgate db downgrade`: asks, shows, refuses while a gateway runs."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.running import Note, RunningFile
from proxy.store.state import known_migrations

Cli = Callable[..., subprocess.CompletedProcess[str]]
TerminalCli = Callable[..., tuple[int, str]]
FIRST, *LATER = known_migrations()


@pytest.fixture
def migrated(cli: Cli) -> Cli:
    cli("db", "upgrade")
    return cli


def applied(cli: Cli) -> list[str]:
    return [row["name"] for row in json.loads(cli("db", "status", "--json").stdout) if row["applied"]]


def test_the_newest_migration_is_taken_back(migrated: Cli) -> None:
    done = migrated("db", "downgrade", "-y", "--json")
    assert json.loads(done.stdout) == [{"name": LATER[-1], "applied": None}]
    assert done.returncode == 0
    assert applied(migrated) == [FIRST, *LATER[:-1]]
    assert migrated("keys", "list").returncode == 4  # pending, as for any older database
    migrated("db", "upgrade")
    assert migrated("keys", "list").returncode == 0


def test_everything_after_a_name_is_taken_back(migrated: Cli) -> None:
    assert migrated("db", "downgrade", "--to", FIRST, "-y", "-o", "id").stdout.split() == LATER[::-1]
    assert applied(migrated) == [FIRST]


def test_a_dry_run_changes_nothing(migrated: Cli) -> None:
    done = migrated("db", "downgrade", "-n", "-o", "id")
    assert done.stdout.split() == LATER[-1:]
    assert "dry run" in done.stderr
    assert applied(migrated) == [FIRST, *LATER]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["--to", "0999"], 3), ([], 2), (["--to", FIRST], 2)],
)
def test_nothing_happens_without_a_yes_or_a_known_name(
    migrated: Cli, arguments: list[str], code: int
) -> None:
    assert migrated("db", "downgrade", *arguments).returncode == code
    assert applied(migrated) == [FIRST, *LATER]


def test_the_first_migration_stays(migrated: Cli) -> None:
    migrated("db", "downgrade", "--to", FIRST, "-y")
    done = migrated("db", "downgrade", "-y")
    assert done.returncode == 2
    assert "first migration" in done.stderr


def test_to_the_newest_there_is_nothing_to_take_back(migrated: Cli) -> None:
    done = migrated("db", "downgrade", "--to", LATER[-1])
    assert (done.returncode, done.stdout) == (0, "name\tapplied\n")


def test_without_a_database_it_is_exit_4_and_nothing_is_created(
    cli: Cli, environment: dict[str, str]
) -> None:
    assert cli("db", "downgrade", "-y").returncode == 4
    assert not Path(environment["XDG_DATA_HOME"]).exists()


def test_it_is_refused_while_the_gateway_runs(migrated: Cli, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    environ = {"FASTGATE_AUDIT_DIRECTORY": str(journal)}
    with RunningFile(journal) as running:
        running.write(Note(os.getpid(), "http://127.0.0.1:1", 1, [2], "1.0", 1.5))
        done = migrated("db", "downgrade", "-y", env=environ)
        assert done.returncode == 2
        assert "is running" in done.stderr
        assert "fastgate stop" in done.stderr
    assert applied(migrated) == [FIRST, *LATER]
    assert migrated("db", "downgrade", "-y", env=environ).returncode == 0


def test_on_a_terminal_it_asks(migrated: Cli, terminal_cli: TerminalCli) -> None:
    code, screen = terminal_cli("db", "downgrade", typed="n\n")
    assert code == 1
    assert f"take back {LATER[-1]}" in screen
    assert applied(migrated) == [FIRST, *LATER]
    code, screen = terminal_cli("db", "downgrade", typed="y\n")
    assert code == 0
    assert "older FastGate" in screen
    assert applied(migrated) == [FIRST, *LATER[:-1]]
