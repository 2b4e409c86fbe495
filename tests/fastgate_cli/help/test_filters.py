"""What the page says of filters is what they let through."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from fastgate_cli.groups import build_group
from fastgate_cli.help.filters import build_page, list_filters
from proxy.store.database import open_database
from proxy.store.log_filter import TEXT_LENGTH_MAX
from tests.proxy.store.rows import begin, record

Cli = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def trail(cli: Cli) -> Callable[..., list[str]]:
    """`trail(*filters)`: the names of the requests that `logs list` shows with them."""
    cli("keys", "create")
    with open_database(Path(cli("db", "path").stdout.strip()), create=False) as database:
        record(database, "ok", path="/v1/chat/completions", source_path="a")
        record(database, "lost", second=1, path="/v1/models", method="GET", status_code=404, source_path="b")
        record(database, "bad", second=2, path="/V1/models", status_code=502, error_message="Refused it")
        begin(database, "open", second=3, path="/v2/chat")

    def run(*filters: str) -> list[str]:
        done = cli("logs", "list", "-o", "id", *filters)
        assert done.returncode == 0, done.stderr
        return [line.removeprefix("log_") for line in done.stdout.split()]

    return run


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        ("--status 404 --status 5xx", ["bad", "lost"]),
        ("--status 404 --source a", []),
        ("--status 404 --source a --source b", ["lost"]),
        ("--path /v1/*", ["lost", "ok"]),
        ("--path /?1/models", ["bad", "lost"]),
        ("--path /[vw]1/models", ["lost"]),
        ("--path /v1", []),
        ("--grep MODELS", ["bad", "lost"]),
        ("--grep refused", ["bad"]),
        ("--grep m*s", []),
        ("--method get", ["lost"]),
        ("--status 100-599", ["bad", "lost", "ok"]),
        ("--min-ms 0", ["bad", "lost", "ok"]),
    ],
)
def test_filters_let_through_what_the_page_says(
    trail: Callable[..., list[str]], filters: str, names: list[str]
) -> None:
    assert trail(*filters.split()) == names


def test_the_bound_of_a_text_is_the_one_in_force(cli: Cli, trail: Callable[..., list[str]]) -> None:
    for option in ("--path", "--grep"):
        assert trail(option, "x" * TEXT_LENGTH_MAX) == []
        assert cli("logs", "list", option, "x" * (TEXT_LENGTH_MAX + 1)).returncode == 2


def test_every_filter_of_the_command_is_on_the_page_and_no_other_option() -> None:
    from fastgate_cli.commands.logs import app

    group = build_group(app, "logs")
    ctx = typer.Context(group)
    command = group.get_command(ctx, "list")
    terms = [term for term, _ in list_filters()]
    others = {
        "--before ID",
        "--after ID",
        "-n, --limit N",
        "-o, --output FORMAT",
        "--json",
        "--fields A,B",
        "--help",
    }
    known = [param.get_help_record(ctx)[0] for param in command.get_params(ctx)]
    assert terms == [term for term in known if term not in others]
    assert len(terms) >= 13
    rows = dict(row for block in build_page().blocks for row in getattr(block, "rows", ()))
    assert rows == dict(list_filters())
