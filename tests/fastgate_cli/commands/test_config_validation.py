"""`fastgate config validate`, run as people and scripts run it."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Cli = Callable[..., subprocess.CompletedProcess[str]]
TerminalCli = Callable[..., tuple[int, str]]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "fastgate.yaml"
    path.write_text("app: {port: 0}\n")
    return path


def test_a_good_configuration_is_0_with_a_line_for_each_check(cli: Cli, file: Path) -> None:
    done = cli("config", "validate", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    rows = json.loads(done.stdout)
    assert [set(row) for row in rows] == [{"check", "status", "detail", "fix"}] * len(rows)
    assert {row["status"] for row in rows} == {"passed", "warning"}  # there is no database yet
    assert cli("config", "validate").stdout.splitlines()[0] == "check\tstatus\tdetail\tfix"


def test_an_invalid_file_is_2_with_every_fault(cli: Cli, file: Path) -> None:
    file.write_text("app:\n  prot: 1\n  host: []\n")
    done = cli("config", "validate")
    assert (done.returncode, done.stdout) == (2, "")
    assert [line.split(": ")[1] for line in done.stderr.splitlines()[:2]] == [
        "fastgate.yaml:2:3",
        "fastgate.yaml:3:9",
    ]


def test_a_check_that_fails_is_1_with_what_mends_it(cli: Cli, file: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        file.write_text(f"app: {{port: {taken.getsockname()[1]}}}\n")
        done = cli("config", "validate", "--json")
    assert done.returncode == 1
    (failed,) = [row for row in json.loads(done.stdout) if row["status"] == "failed"]
    assert failed["check"] == "port"
    assert failed["fix"]


def test_another_file_can_be_looked_at(cli: Cli, file: Path, tmp_path: Path) -> None:
    (tmp_path / "new.yaml").write_text("app: {port: 0, workers: 2}\n")
    done = cli("config", "validate", "new.yaml", "--json")
    assert json.loads(done.stdout)[0]["detail"] == f"{tmp_path}/new.yaml"
    (tmp_path / "new.yaml").write_text("app: {workers: 0}\n")
    assert "new.yaml:1:16" in cli("config", "validate", "new.yaml").stderr
    assert cli("config", "validate", "nosuch.yaml").returncode == 2


def test_without_a_file_the_defaults_are_checked(cli: Cli) -> None:
    done = cli("config", "validate", "--json", env={"APP_PORT": "0"})
    assert done.returncode == 0
    assert json.loads(done.stdout)[0]["detail"] == "there is no file: the defaults hold"


def test_a_person_sees_a_line_for_each_and_below_it_what_mends_it(
    terminal_cli: TerminalCli, file: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        file.write_text(f"app: {{port: {taken.getsockname()[1]}}}\n")
        code, screen = terminal_cli("config", "validate", env={"NO_COLOR": "1"})
    assert code == 1
    lines = screen.splitlines()
    place = next(number for number, line in enumerate(lines) if "port " in line)
    assert "app.port" in "".join(lines[place:])
    assert "\x1b" not in screen
