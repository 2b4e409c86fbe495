"""`fastgate config show`, `get` and `path`, run as people and scripts run them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Cli = Callable[..., subprocess.CompletedProcess[str]]
TerminalCli = Callable[..., tuple[int, str]]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "fastgate.yaml"
    path.write_text("app:\n  port: 9000\nsecurity:\n  admin_token: hunter2hunter2\n")
    return path


def test_every_setting_is_shown_with_where_it_came_from(cli: Cli, file: Path) -> None:
    rows = json.loads(cli("config", "show", "--json", env={"APP_HOST": "0.0.0.0"}).stdout)
    settings = {row["setting"]: (row["value"], row["origin"]) for row in rows}
    assert settings["app.port"] == (9000, f"{file}:2")
    assert settings["app.host"] == ("0.0.0.0", "environment:APP_HOST")
    assert settings["proxy.timeout"] == (300, "default")
    assert [set(row) for row in rows] == [{"setting", "value", "origin"}] * len(rows)


def test_in_a_pipe_it_is_tsv_and_in_a_table_origin_is_an_option(cli: Cli, file: Path) -> None:
    assert cli("config", "show").stdout.splitlines()[0] == "setting\tvalue\torigin"
    plain, full = (cli("config", "show", *more, "-o", "table") for more in ([], ["--origin"]))
    assert "ORIGIN" not in plain.stdout
    assert "fastgate.yaml:2" in full.stdout
    assert "100MB" in plain.stdout
    assert plain.stderr == f"from {file}\n"
    assert cli("config", "show", "--fields", "setting,value").stdout.splitlines()[3] == "app.port\t9000"


def test_secrets_are_masked_everywhere(cli: Cli, file: Path) -> None:
    for arguments in (["show"], ["show", "--json"], ["show", "-o", "wide"], ["get", "security.admin_token"]):
        done = cli("config", *arguments)
        assert "hunter2" not in done.stdout + done.stderr
    assert cli("config", "get", "security.admin_token").stdout == "•••\n"


def test_one_value_is_printed_bare(cli: Cli, file: Path) -> None:
    done = cli("config", "get", "app.port")
    assert (done.returncode, done.stdout, done.stderr) == (0, "9000\n", "")
    assert cli("config", "get", "proxy.max_body_size").stdout == f"{32 << 20}\n"
    assert json.loads(cli("config", "get", "app.port", "--json").stdout) == {
        "setting": "app.port",
        "value": 9000,
        "origin": f"{file}:2",
    }


def test_what_is_no_setting_is_an_error_with_a_suggestion(cli: Cli, file: Path) -> None:
    done = cli("config", "get", "app.prot")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: there is no setting 'app.prot'\nhint: did you mean app.port?\n"


def test_the_path_is_told_even_of_a_file_that_cannot_be_used(cli: Cli, file: Path, tmp_path: Path) -> None:
    assert cli("config", "path").stdout == f"{file}\n"
    file.write_text("app: [")
    assert cli("config", "path").stdout == f"{file}\n"
    assert cli("config", "show").returncode == 2
    assert json.loads(cli("config", "path", "--json").stdout) == {"path": str(file)}
    (tmp_path / "other.yaml").write_text("")
    assert cli("-c", "other.yaml", "config", "path").stdout == f"{tmp_path}/other.yaml\n"
    assert cli("-c", "nosuch.yaml", "config", "path").returncode == 2


def test_without_a_file_the_defaults_are_shown_and_there_is_no_path(cli: Cli) -> None:
    done = cli("config", "path")
    assert (done.returncode, done.stdout) == (1, "")
    assert "fastgate init" in done.stderr
    assert {row["origin"] for row in json.loads(cli("config", "show", "--json").stdout)} == {"default"}


def test_on_a_terminal_of_80_columns_nothing_is_cut_off(terminal_cli: TerminalCli, file: Path) -> None:
    code, screen = terminal_cli("config", "show", "--origin", env={"NO_COLOR": "1"})
    assert code == 0
    *lines, source = screen.splitlines()
    assert max(map(len, lines)) <= 80
    assert source == f"from {file}"
    assert "rate_limiting.default_requests_per_minute" in screen
    assert "…" not in screen
