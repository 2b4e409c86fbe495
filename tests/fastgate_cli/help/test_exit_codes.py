"""The page has every exit code there is, and commands end with them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable

import pytest

from fastgate_cli import failures
from fastgate_cli.help.exit_codes import CODES, DONE, ERROR, build_page

Cli = Callable[..., subprocess.CompletedProcess[str]]


def test_every_exit_code_is_explained() -> None:
    declared = {value for name, value in vars(failures).items() if name.isupper() and isinstance(value, int)}
    assert set(CODES) == {DONE, *declared}
    rows = dict(row for block in build_page().blocks for row in getattr(block, "rows", ()))
    assert rows == {str(code): meaning for code, meaning in CODES.items()}


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ("keys create", 0),
        ("status", 1),
        ("routes lint --nosuch", 2),
        ("-c nosuch.yaml keys list", 2),
        ("keys show nosuch", 3),
        ("routes show nosuch", 3),
        ("logs show nosuch", 3),
    ],
)
def test_commands_end_as_the_page_says(cli: Cli, arguments: str, code: int) -> None:
    cli("keys", "create")
    assert cli(*arguments.split()).returncode == code


def test_a_database_that_is_not_there_ends_with_4(cli: Cli) -> None:
    assert cli("keys", "list").returncode == failures.UNREACHABLE
    assert cli("diff", "-f", "nosuch.yaml").returncode == failures.MISUSED


def test_with_json_an_error_is_the_object_on_the_page(cli: Cli) -> None:
    cli("keys", "create")
    assert json.loads(cli("keys", "show", "x", "--json").stderr) == json.loads("".join(ERROR))
