"""`fastgate export`, run as people and scripts run it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Cli = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(autouse=True)
def content(cli: Cli) -> None:
    assert cli("keys", "create", "--source", "mobile").returncode == 0
    header = ["--set-header", "Authorization: Bearer sk-hunter2hunter2"]
    assert (
        cli("routes", "add", "--match", "/v1/*", "--to", "http://a:1", "--id", "one", *header).returncode == 0
    )


def test_the_document_goes_to_stdout_and_is_the_same_each_time(cli: Cli) -> None:
    done = cli("export")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("# Keys and routes of FastGate")
    assert "source_path: mobile" in done.stdout
    assert "route_id: one" in done.stdout
    assert cli("export").stdout == done.stdout


def test_secrets_are_in_it_only_if_asked_for(cli: Cli) -> None:
    assert "hunter2" not in cli("export").stdout
    assert "value_hash" not in cli("export").stdout
    done = cli("export", "--secrets")
    assert "Bearer sk-hunter2hunter2" in done.stdout
    assert "value_hash: " in done.stdout


def test_one_kind_alone(cli: Cli) -> None:
    assert "routes:" not in cli("export", "--only", "keys").stdout
    assert "keys:" not in cli("export", "--only", "routes").stdout
    assert cli("export", "--only", "logs").returncode == 2


def test_a_file_is_replaced_whole_and_is_its_owners_alone(cli: Cli, tmp_path: Path) -> None:
    place = tmp_path / "gateway.yaml"
    place.write_text("old")
    place.chmod(0o644)
    done = cli("export", "--out", "gateway.yaml")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "written to gateway.yaml: keys 1, routes 1\n"
    assert place.read_text() == cli("export").stdout
    assert place.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir() if "gateway" in path.name] == ["gateway.yaml"]


def test_a_place_that_cannot_be_written_is_told(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for place in ("folder", "nosuch/x.yaml", "/proc/nosuch/x.yaml"):
        done = cli("export", "--out", place)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("error: ")


def test_without_a_database_there_is_nothing_to_export_and_nothing_is_made(cli: Cli, tmp_path: Path) -> None:
    done = cli("export", "--out", "x.yaml", env={"DATABASE_URL": f"sqlite:///{tmp_path}/nosuch.db"})
    assert (done.returncode, done.stdout) == (4, "")
    assert not (tmp_path / "x.yaml").exists()
    assert not (tmp_path / "nosuch.db").exists()


def test_times_are_in_the_configured_zone(cli: Cli) -> None:
    cli("keys", "create", "--expires", "2030-12-31T00:00:00Z")
    text = cli("export", env={"FASTGATE_APP_TIMEZONE": "+05:00"}).stdout
    assert 'expires_at: "2030-12-31T05:00:00+05:00"' in text
