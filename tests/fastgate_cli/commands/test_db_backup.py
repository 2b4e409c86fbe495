"""`fastgate db backup`: where it goes, what it prints, and how it is restored."""

from __future__ import annotations

import json
import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Cli = Callable[..., subprocess.CompletedProcess[str]]
TerminalCli = Callable[..., tuple[int, str]]


@pytest.fixture
def database(cli: Cli) -> Path:
    cli("keys", "create", "--source", "kept")
    return Path(cli("db", "path").stdout.strip())


def test_a_backup_is_made_and_told(cli: Cli, database: Path, tmp_path: Path) -> None:
    done = cli("db", "backup", "b.db", "--json")
    path = tmp_path / "b.db"
    assert json.loads(done.stdout) == {"path": str(path), "size": path.stat().st_size}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["-"], 2), (["."], 2), (["nowhere/b.db"], 2), (["there.db"], 2), ([], 2), (["there.db", "--force"], 0)],
)
def test_places(cli: Cli, database: Path, tmp_path: Path, arguments: list[str], code: int) -> None:
    (tmp_path / "there.db").write_text("precious")
    done = cli("db", "backup", *arguments)
    assert done.returncode == code
    assert ((tmp_path / "there.db").read_text(errors="replace") == "precious") is (code != 0)
    assert code == 0 or done.stderr.startswith("error: ")


def test_the_database_itself_is_no_place(cli: Cli, database: Path) -> None:
    before = database.read_bytes()
    assert cli("db", "backup", str(database), "--force").returncode == 2
    assert database.read_bytes() == before


def test_without_a_database_it_is_exit_4(cli: Cli, tmp_path: Path) -> None:
    assert cli("db", "backup", "b.db").returncode == 4
    assert not (tmp_path / "b.db").exists()


def test_a_backup_is_restored_as_the_help_says(cli: Cli, database: Path, tmp_path: Path) -> None:
    cli("db", "downgrade", "-y")  # a backup of an older FastGate
    assert cli("db", "backup", "b.db").returncode == 0
    cli("db", "upgrade")
    cli("keys", "create", "--source", "late")
    shutil.copy(tmp_path / "b.db", database)
    for suffix in ("-wal", "-shm"):
        Path(f"{database}{suffix}").unlink(missing_ok=True)
    assert cli("keys", "list").returncode == 4
    assert cli("db", "upgrade").returncode == 0
    assert [row["source_path"] for row in json.loads(cli("keys", "list", "--json").stdout)] == ["kept"]
    assert cli("db", "check").returncode == 0


def test_a_terminal_sees_the_bar_and_then_the_result(database: Path, terminal_cli: TerminalCli) -> None:
    code, screen = terminal_cli("db", "backup", "b.db")
    assert code == 0
    assert "copying" in screen
    assert str(database.parent) not in screen
    assert "size" in screen.rstrip().splitlines()[-1]
