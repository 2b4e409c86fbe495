"""A secret is printed where it was asked for, and nowhere else."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fastgate_cli.commands.key_secrets import print_secret, print_unwritten
from fastgate_cli.output import OutputOptions

SECRET = "fg_" + "s" * 36
ROW: dict[str, Any] = {"key_id": "key_1", "source_path": "ci", "status": "active", "rotated_at": None}


def printed(capsys: pytest.CaptureFixture[str], options: OutputOptions) -> tuple[str, str]:
    print_secret("new secret", ROW, SECRET, {"key": "key_1"}, options)
    captured = capsys.readouterr()
    return captured.out, captured.err


def test_a_pipe_gets_the_secret_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys, OutputOptions()) == (f"{SECRET}\n", "")


def test_json_has_it_beside_the_key_and_a_person_in_a_panel(capsys: pytest.CaptureFixture[str]) -> None:
    out, err = printed(capsys, OutputOptions("json"))
    assert (json.loads(out)["key"], json.loads(out)["key_id"], err) == (SECRET, "key_1", "")
    assert f"│  {SECRET}" in printed(capsys, OutputOptions("table"))[0]


@pytest.mark.parametrize("options", [OutputOptions("id"), OutputOptions(fields=("key_id", "status"))])
def test_who_does_not_ask_for_it_is_told(capsys: pytest.CaptureFixture[str], options: OutputOptions) -> None:
    out, err = printed(capsys, options)
    assert "key_1" in out
    assert SECRET not in out + err
    assert err.startswith("note: the secret was not asked for")


def test_its_field_alone_is_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys, OutputOptions("tsv", fields=("key",))) == (f"key\n{SECRET}\n", "")


@pytest.mark.parametrize("fields", [(), ("key_id",), ("key", "key_id"), ("previous_expires_at", "key_id")])
@pytest.mark.parametrize("format", ["json", "table", None])
def test_a_dry_run_has_none_whatever_is_asked_for(
    capsys: pytest.CaptureFixture[str], format: Any, fields: tuple[str, ...]
) -> None:
    print_unwritten(ROW, OutputOptions(format, fields))
    captured = capsys.readouterr()
    assert "key_1" in captured.out
    assert captured.err == "dry run: nothing was written\n"
    assert fields or "previous" not in captured.out or format != "table"
