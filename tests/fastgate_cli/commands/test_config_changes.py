"""`fastgate config set` and `unset`, run as people and scripts run them."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.running import Note, RunningFile

Cli = Callable[..., subprocess.CompletedProcess[str]]
TEXT = """\
# Ours.
app:
  port:   8514   # where it listens
  host: '127.0.0.1'

audit: {directory: journal}  # beside this file
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "fastgate.yaml"
    path.write_text(TEXT)
    path.chmod(0o640)
    return path


def test_a_value_changes_and_no_other_byte_does(cli: Cli, file: Path) -> None:
    done = cli("config", "set", "app.port", "9000", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == {"setting": "app.port", "value": 9000, "origin": f"{file}:3"}
    assert file.read_text() == TEXT.replace("8514", "9000")
    assert file.stat().st_mode & 0o7777 == 0o640
    assert cli("config", "get", "app.port").stdout == "9000\n"


def test_what_is_not_there_is_put_in_and_can_be_taken_out(cli: Cli, file: Path) -> None:
    assert cli("config", "set", "proxy.strip_headers", "[host, X-A]").returncode == 0
    assert file.read_text() == f"{TEXT}\nproxy:\n  strip_headers: [host, X-A]\n"
    assert cli("config", "set", "app.name", "Gate").returncode == 0
    assert cli("config", "unset", "app.name").returncode == 0
    assert cli("config", "unset", "proxy.strip_headers").returncode == 0
    assert file.read_text() == f"{TEXT}\nproxy:\n"
    again = cli("config", "unset", "app.name")
    assert (again.returncode, "says so already" in again.stderr) == (0, True)


def test_what_would_be_invalid_leaves_the_file_as_it_was(cli: Cli, file: Path) -> None:
    done = cli("config", "set", "app.port", "99999")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(
        "error: fastgate.yaml:3:11: app.port must be a whole number from 0 to 65535"
    )
    assert file.read_text() == TEXT
    assert cli("config", "set", "app.prot", "1").returncode == 2
    assert file.read_text() == TEXT


def test_a_faulty_value_can_be_mended(cli: Cli, file: Path) -> None:
    file.write_text(TEXT.replace("8514", "many"))
    assert cli("config", "get", "app.port").returncode == 2
    assert cli("config", "set", "app.port", "8514").returncode == 0
    assert file.read_text() == TEXT


def test_a_dry_run_checks_and_writes_nothing(cli: Cli, file: Path) -> None:
    done = cli("config", "set", "app.port", "9000", "-n", "--fields", "value")
    assert (done.returncode, done.stdout) == (0, "value\n9000\n")
    assert done.stderr.endswith("dry run: nothing was written\n")
    assert file.read_text() == TEXT
    assert cli("config", "set", "app.port", "x", "-n").returncode == 2


def test_a_link_is_followed(cli: Cli, file: Path, tmp_path: Path) -> None:
    place = tmp_path / "kept" / "real.yaml"
    place.parent.mkdir()
    file.rename(place)
    file.symlink_to("kept/real.yaml")
    assert cli("config", "set", "app.port", "9000").returncode == 0
    assert file.is_symlink()
    assert "9000" in place.read_text()


def test_a_variable_that_is_stronger_is_told(cli: Cli, file: Path) -> None:
    done = cli("config", "set", "app.port", "9000", env={"APP_PORT": "7000"})
    assert done.returncode == 0
    assert "note: the environment variable APP_PORT is stronger than the file" in done.stderr
    assert "9000" in file.read_text()


@pytest.mark.parametrize(
    ("setting", "value", "told"),
    [("proxy.timeout", "60", "takes it with 'fastgate reload'"), ("app.port", "9000", "is started again")],
)
def test_what_a_running_gateway_needs_is_told(
    cli: Cli, file: Path, tmp_path: Path, setting: str, value: str, told: str
) -> None:
    with RunningFile(tmp_path / "journal") as running:
        running.write(Note(os.getpid(), "http://127.0.0.1:8514", 1, [2], "1.0", 1.5))
        assert told in cli("config", "set", setting, value).stderr
        assert "gateway" not in cli("config", "set", setting, value).stderr  # it says so already
    assert "gateway" not in cli("config", "unset", setting).stderr


def test_a_gateway_is_found_where_it_was_started(cli: Cli, file: Path, tmp_path: Path) -> None:
    with RunningFile(tmp_path / "journal") as running:
        running.write(Note(os.getpid(), "http://127.0.0.1:8514", 1, [2], "1.0", 1.5))
        told = cli("config", "set", "audit.directory", "other").stderr
        assert f"is not found there; end it with 'kill {os.getpid()}'" in told


def test_without_a_file_there_is_nothing_to_set(cli: Cli, tmp_path: Path) -> None:
    done = cli("config", "set", "app.port", "9000")
    assert (done.returncode, done.stdout) == (2, "")
    assert "fastgate init" in done.stderr
    assert not (tmp_path / "fastgate.yaml").exists()


def test_a_secret_is_not_shown(cli: Cli, file: Path) -> None:
    done = cli("config", "set", "security.admin_token", "hunter2")
    assert "hunter2" not in done.stdout + done.stderr
    assert "hunter2" in file.read_text()
