"""`fastgate init`: a configuration that loads, a database beside it, and perhaps a route."""

from __future__ import annotations

import json
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from fastgate_cli.commands.init import write_private
from proxy.errors import ConflictError, InvalidInputError

Cli = Callable[..., subprocess.CompletedProcess[str]]


def test_the_next_steps_are_those_of_the_configuration_that_was_written(cli: Cli, tmp_path: Path) -> None:
    done = cli("-c", "other place/gate.yaml", "init")
    place = tmp_path / "other place" / "gate.yaml"
    assert done.stderr.startswith(f"next:\n  fastgate -c '{place}' keys create")


def test_a_new_folder_gets_configuration_and_database(cli: Cli, tmp_path: Path) -> None:
    done = cli("init", "--json")
    assert done.returncode == 0
    row = json.loads(done.stdout)
    assert row == {
        "config": str(tmp_path / "fastgate.yaml"),
        "database": str(tmp_path / "data" / "fastgate.db"),
        "route_id": None,
    }
    for file in (row["config"], row["database"]):
        assert stat.S_IMODE(Path(file).stat().st_mode) == 0o600
    assert done.stderr.startswith("next:\n  fastgate keys create")
    assert "fastgate routes add" in done.stderr
    assert cli("keys", "list", "--json").stdout == "[]\n"
    assert cli("db", "status").returncode == 0


@pytest.mark.parametrize(
    ("sample", "target", "headers"),
    [
        ("ollama", "http://127.0.0.1:11434", {}),
        ("vllm", "http://127.0.0.1:8000", {}),
        ("openai", "https://api.openai.com", {"Authorization": "Bearer ${env:OPENAI_API_KEY}"}),
    ],
)
def test_a_sample_is_a_route_to_that_backend(
    cli: Cli, sample: str, target: str, headers: dict[str, str]
) -> None:
    assert cli("init", "--sample", sample).returncode == 0
    route = json.loads(cli("routes", "show", sample, "--json").stdout)
    assert f"{route['target_protocol']}://{route['target_host']}" == target
    assert (route["match_path"], route["add_headers"]) == ("/v1/*", headers)


def test_a_configuration_is_never_overwritten_unasked(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "fastgate.yaml").write_text("app: {port: 9999}\n")
    done = cli("init")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--force" in done.stderr
    assert (tmp_path / "fastgate.yaml").read_text() == "app: {port: 9999}\n"


def test_force_replaces_the_configuration_and_keeps_the_data(cli: Cli, tmp_path: Path) -> None:
    cli("init", "--sample", "ollama")
    cli("keys", "create")
    (tmp_path / "fastgate.yaml").write_text("app: [broken\n")
    done = cli("init", "--force", "--sample", "ollama", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["route_id"] is not None
    assert len(cli("keys", "list", "-o", "id").stdout.split()) == 1
    assert len(cli("routes", "list", "-o", "id").stdout.split()) == 1


def test_the_place_is_what_config_names(cli: Cli, tmp_path: Path) -> None:
    assert cli("-c", "etc/gateway.yaml", "init").returncode == 0
    assert (tmp_path / "etc" / "gateway.yaml").exists()
    assert (tmp_path / "etc" / "data" / "fastgate.db").exists()
    assert cli("init", env={"FASTGATE_CONFIG": str(tmp_path / "etc" / "gateway.yaml")}).returncode == 2


def test_a_dry_run_writes_nothing(cli: Cli, tmp_path: Path) -> None:
    assert cli("init", "-n").returncode == 0
    assert not (tmp_path / "fastgate.yaml").exists()
    assert not (tmp_path / "data").exists()


def test_a_sample_that_is_not_known_is_refused(cli: Cli, tmp_path: Path) -> None:
    assert cli("init", "--sample", "llama").returncode == 2
    assert not (tmp_path / "fastgate.yaml").exists()


def test_a_private_file_is_new_or_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "a" / "file"
    write_private(path, "one", replace=False)
    path.chmod(0o644)
    with pytest.raises(ConflictError):
        write_private(path, "two", replace=False)
    assert path.read_text() == "one"
    write_private(path, "two", replace=True)
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("two", 0o600)
    assert [file.name for file in path.parent.iterdir()] == ["file"]


def test_a_place_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInputError, match="cannot be written"):
        write_private(tmp_path / "file" / "fastgate.yaml", "x", replace=False)
