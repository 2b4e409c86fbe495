"""What the page says of formats is what is printed."""

from __future__ import annotations

import csv
import io
import json
import subprocess
from collections.abc import Callable
from typing import get_args

import pytest

from fastgate_cli.help.output import VARIABLES, build_page, describe_formats
from fastgate_cli.output import Format

Cli = Callable[..., subprocess.CompletedProcess[str]]


def test_every_format_is_explained() -> None:
    assert [name for name, _ in describe_formats()] == list(get_args(Format))
    rows = dict(row for block in build_page().blocks for row in getattr(block, "rows", ()))
    assert rows == {**dict(describe_formats()), **VARIABLES}


@pytest.fixture
def source(cli: Cli) -> str:
    """The source of the only key: it holds a backslash, and a spreadsheet would run it."""
    assert cli("keys", "create", "--source", "=a\\b").returncode == 0
    return "=a\\b"


def test_formats_are_as_the_page_describes_them(cli: Cli, source: str) -> None:
    def listed(form: str) -> str:
        return cli("keys", "list", "-o", form, "--fields", "key_id,source_path,expires_at").stdout

    (row,) = json.loads(listed("json"))
    assert json.loads(listed("jsonl")) == row
    assert row["source_path"] == source
    assert row["expires_at"].endswith("+08:00")
    assert list(csv.reader(io.StringIO(listed("csv"))))[1][1] == f"'{source}"
    assert "\r" not in listed("csv")
    assert listed("tsv").splitlines()[1].split("\t")[1] == "=a\\\\b"
    assert cli("keys", "list").stdout.startswith("key_id\t")
    assert listed("id") == f"{row['key_id']}\n"
    assert json.loads(cli("keys", "show", row["key_id"], "--json").stdout)["key_id"] == row["key_id"]


def test_variables_are_honoured(process_cli: Cli, source: str) -> None:
    def table(**env: str) -> str:
        return process_cli("keys", "list", "-o", "table", env=env).stdout

    assert "\x1b" in table(FORCE_COLOR="1")
    assert "\x1b" not in table(FORCE_COLOR="1", NO_COLOR="1")
    assert "\x1b" not in table()


def test_a_table_is_as_wide_as_it_is_told(process_cli: Cli) -> None:
    process_cli("routes", "add", "--match", "/" + "x" * 50, "--to", f"http://{'y' * 50}", "--name", "r")
    for width in (60, 100):
        shown = process_cli("routes", "list", "-o", "table", env={"COLUMNS": str(width)}).stdout
        assert max(map(len, shown.splitlines())) == width


def test_in_a_pipe_a_new_key_is_its_secret_alone(cli: Cli) -> None:
    assert cli("keys", "create").stdout.strip().startswith("fg_")
