"""`fastgate routes update`, `enable`, `disable` and `toggle`, run as people and scripts run them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

Cli = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(autouse=True)
def routes(cli: Cli) -> None:
    for name in ("one", "two"):
        arguments = [
            "--match",
            "/v1/*",
            "--to",
            "http://a:1/base",
            "--id",
            name,
            "--header",
            "X-A=1",
            "--timeout",
            "9",
        ]
        assert cli("routes", "add", *arguments, "--set-header", "X-Key: sk-very-secret-9876").returncode == 0


def rows_of(cli: Cli) -> dict[str, dict[str, Any]]:
    return {row["route_id"]: row for row in json.loads(cli("routes", "list", "--json").stdout)}


def changed(cli: Cli, *arguments: str) -> dict[str, Any]:
    """Run `routes update one` and return the columns that it changed."""
    before = rows_of(cli)
    done = cli("routes", "update", "one", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    after = rows_of(cli)
    assert json.loads(done.stdout) == after["one"]
    assert after["two"] == before["two"]
    new = {name: value for name, value in after["one"].items() if value != before["one"][name]}
    assert new.pop("updated_at")
    return new


@pytest.mark.parametrize(
    ("arguments", "columns"),
    [
        (["--timeout", "60"], {"timeout": 60}),
        (["--name", "first"], {"route_name": "first"}),
        (["--to", "https://b"], {"target_host": "b", "target_protocol": "https", "target_path": ""}),
        (["--to", "http://a:1/base", "--to", "http://b:2"], {"targets": ["http://b:2"]}),
        (["--target-path", "/x"], {"target_path": "/x"}),
        (
            ["--match", "/v2/{id}", "--target-path", "/x/{id}"],
            {"match_path": "/v2/{id}", "target_path": "/x/{id}"},
        ),
        (["--strip-prefix"], {"strip_path_prefix": True}),
        (["--pass-credential", "--keep-redirects"], {"pass_credential": True, "keep_redirects": True}),
        (["--encoded-slash"], {"encoded_slash": True}),
        (["--header", "X-B"], {"match_headers": {"X-B": None}}),
        (["--unset", "header", "--unset", "timeout"], {"match_headers": {}, "timeout": None}),
        (["--unset", "header", "--header", "X-C"], {"match_headers": {"X-C": None}}),
        (["--retries", "2", "--retry-on", "429"], {"retry_count": 2, "retry_statuses": [429]}),
        (["--set-body", "seed=1"], {"add_body_fields": {"seed": 1}}),
        (["--disabled"], {"is_active": False}),
    ],
)
def test_only_what_is_given_changes(cli: Cli, arguments: list[str], columns: dict[str, Any]) -> None:
    assert changed(cli, *arguments) == columns


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--target-path", "/{nosuch}"],
        ["--match", "no-slash"],
        ["--retries", "4"],
        ["--tls-insecure"],
        ["--unset", "to"],
        ["--name", "two"],
        ["--name", ""],
        ["--id", "other"],
        ["--body-schema", '{"type": "nonsense"}'],
        ["--set-body", "a=1", "--set-body", "a.b=2"],
    ],
)
def test_bad_input_changes_nothing(cli: Cli, arguments: list[str]) -> None:
    before = rows_of(cli)
    done = cli("routes", "update", "two", "one", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert rows_of(cli) == before


def test_several_routes_change_together_and_an_unknown_one_stops_all(cli: Cli) -> None:
    before = rows_of(cli)
    assert cli("routes", "update", "one", "nosuch", "--timeout", "60").returncode == 3
    assert rows_of(cli) == before
    done = cli("routes", "update", "one", "two", "--timeout", "60", "--json")
    assert [row["timeout"] for row in json.loads(done.stdout)] == [60, 60]


def test_secrets_are_masked_and_a_literal_is_noted(cli: Cli) -> None:
    done = cli("routes", "update", "one", "--set-header", "Authorization: sk-very-secret-5432", "--json")
    assert json.loads(done.stdout)["add_headers"] == {"Authorization": "•••5432"}
    assert "very-secret" not in done.stdout + done.stderr
    assert "${env:NAME}" in done.stderr
    assert cli("routes", "update", "one", "--timeout", "60").stderr == ""


def test_a_dry_run_checks_and_writes_nothing(cli: Cli) -> None:
    before = rows_of(cli)
    for command in (["update", "one", "--timeout", "60"], ["disable", "one"], ["toggle", "one", "two"]):
        done = cli("routes", *command, "-n")
        assert (done.returncode, done.stderr) == (0, "dry run: nothing was written\n")
    assert cli("routes", "update", "one", "--name", "two", "-n").returncode == 2
    assert rows_of(cli) == before


def test_routes_are_switched_on_off_and_over(cli: Cli) -> None:
    def states() -> list[bool]:
        return [row["is_active"] for row in rows_of(cli).values()]

    assert json.loads(cli("routes", "disable", "one", "--json").stdout)["is_active"] is False
    assert states() == [False, True]
    assert len(json.loads(cli("routes", "toggle", "one", "two", "--json").stdout)) == 2
    assert states() == [True, False]
    assert cli("routes", "enable", "two", "one").returncode == 0
    assert states() == [True, True]
    assert cli("routes", "disable", "one", "nosuch").returncode == 3
    assert states() == [True, True]


@pytest.mark.parametrize("command", [["update", "one", "--timeout", "5"], ["enable", "one"]])
def test_without_a_database_there_is_nothing_to_change(cli: Cli, command: list[str]) -> None:
    assert cli("routes", *command, env={"DATABASE_URL": "sqlite:///nosuch.db"}).returncode == 4
