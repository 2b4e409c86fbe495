"""`fastgate routes move`, run as people and scripts run it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable

import pytest

Cli = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(autouse=True)
def routes(cli: Cli) -> None:
    for name in ("one", "two", "three"):
        assert cli("routes", "add", "--match", "/v1/*", "--to", "http://a", "--id", name).returncode == 0


def listed(cli: Cli) -> list[str]:
    return cli("routes", "list", "-o", "id").stdout.split()


@pytest.mark.parametrize(
    ("arguments", "order"),
    [
        (["three", "--before", "two"], ["one", "three", "two"]),
        (["one", "--after", "two"], ["two", "one", "three"]),
        (["three", "--first"], ["three", "one", "two"]),
        (["one", "--last"], ["two", "three", "one"]),
    ],
)
def test_the_list_has_the_new_order_and_what_changed_is_printed(
    cli: Cli, arguments: list[str], order: list[str]
) -> None:
    before = {row["route_id"]: row["priority"] for row in json.loads(cli("routes", "list", "--json").stdout)}
    done = cli("routes", "move", *arguments, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert listed(cli) == order
    after = {row["route_id"]: row["priority"] for row in json.loads(cli("routes", "list", "--json").stdout)}
    printed = {row["route_id"]: row["priority"] for row in json.loads(done.stdout)}
    assert printed == {name: after[name] for name in after if after[name] != before[name]}
    assert printed


def test_a_route_that_is_there_already_is_no_fault(cli: Cli) -> None:
    done = cli("routes", "move", "one", "--first", "--json")
    assert (done.returncode, json.loads(done.stdout)) == (0, [])
    assert cli("routes", "move", "one", "--first", "-o", "table").stderr == "one is there already\n"


def test_a_dry_run_shows_what_would_change_and_writes_nothing(cli: Cli) -> None:
    done = cli("routes", "move", "three", "--first", "-n", "-o", "id")
    assert (done.returncode, done.stdout, done.stderr) == (0, "three\n", "dry run: nothing was written\n")
    assert listed(cli) == ["one", "two", "three"]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["one"], 2),
        (["one", "--first", "--last"], 2),
        (["one", "--before", "two", "--after", "three"], 2),
        (["one", "--before", "one"], 2),
        (["one", "--before", "nosuch"], 3),
        (["nosuch", "--last"], 3),
    ],
)
def test_bad_input_moves_nothing(cli: Cli, arguments: list[str], code: int) -> None:
    done = cli("routes", "move", *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith("error: ")
    assert listed(cli) == ["one", "two", "three"]


def test_without_a_database_there_is_nothing_to_move(cli: Cli) -> None:
    done = cli("routes", "move", "one", "--last", env={"DATABASE_URL": "sqlite:///nosuch.db"})
    assert done.returncode == 4
