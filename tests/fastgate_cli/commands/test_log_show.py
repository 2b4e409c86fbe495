"""`fastgate logs show`: one request whole, as data, as a sheet, and as a curl command."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.clock import now_us
from proxy.ids import encode_ulid, to_uuid
from proxy.running import Note, RunningFile
from tests.fastgate_cli.commands.trails import PLAIN, Record, begin, end

Cli = Callable[..., subprocess.CompletedProcess[str]]
TerminalCli = Callable[..., tuple[int, str]]


@pytest.mark.parametrize("ref", [f"log_{PLAIN}", f"req_{PLAIN}", to_uuid(PLAIN)])
def test_one_request_is_shown_whole_by_any_of_its_ids(cli: Cli, trail: list[str], ref: str) -> None:
    shown = json.loads(cli("logs", "show", ref, "--json").stdout)
    assert shown["id"] == trail[0]
    assert shown["request_headers"] == [["accept", "*/*"], ["x-tag", "one"], ["x-tag", "two"]]
    assert shown["request_body"] == '{"a":\n1}'


def test_several_requests_are_a_list_and_an_unknown_one_is_not_found(cli: Cli, trail: list[str]) -> None:
    rows = json.loads(cli("logs", "show", trail[1], trail[0], "--json").stdout)
    assert [row["id"] for row in rows] == [trail[1], trail[0]]
    refused = cli("logs", "show", trail[0], "log_nosuch")
    assert (refused.returncode, refused.stdout) == (3, "")
    assert "log_nosuch" in refused.stderr


def test_a_person_gets_a_sheet_of_each(cli: Cli, trail: list[str]) -> None:
    shown = cli("logs", "show", trail[0], trail[2], "-o", "table", env={"COLUMNS": "80"})
    heads = [line for line in shown.stdout.splitlines() if line.startswith(("POST ", "GET "))]
    assert heads == ["POST /v1/chat/completions  200  took 32.0ms", "GET /other  401  took 0.10ms"]
    picked = cli("logs", "show", trail[0], "-o", "table", "--fields", "method,request_headers")
    assert [line.split() for line in picked.stdout.splitlines()] == [
        ["method", "POST"],
        ["request_headers", "accept:", "*/*"],
        ["x-tag:", "one"],
        ["x-tag:", "two"],
    ]


@pytest.fixture
def long(record: Record) -> str:
    """A request with a body that no screen holds."""
    ulid, at_us = encode_ulid(7, bytes(10)), now_us()
    record([begin(ulid, at_us), end(ulid, at_us, 10, body=json.dumps(list(range(300))).encode())])
    return f"log_{ulid}"


def test_a_terminal_sees_a_part_of_a_long_body_and_how_to_see_all(
    terminal_cli: TerminalCli, long: str
) -> None:
    code, screen = terminal_cli("logs", "show", long)
    assert code == 0
    assert "242 more lines: logs show log_" in screen
    assert "\x1b[" in screen
    assert "299" not in screen
    _, screen = terminal_cli("logs", "show", long, "-o", "wide", env={"NO_COLOR": "1"})
    assert "    299\n" in screen
    assert "\x1b[" not in screen


def test_with_a_pager_it_sees_all_in_that(terminal_cli: TerminalCli, long: str, tmp_path: Path) -> None:
    pager = tmp_path / "pager"
    pager.write_text(f"#!/bin/sh\ncat > {tmp_path}/paged\n")
    pager.chmod(0o700)
    code, screen = terminal_cli("logs", "show", long, env={"PAGER": str(pager), "PATH": os.environ["PATH"]})
    assert (code, screen) == (0, "")
    assert "299" in (tmp_path / "paged").read_text()


def test_a_curl_command_goes_to_the_configured_gateway(cli: Cli, trail: list[str]) -> None:
    done = cli("logs", "show", trail[0], "--curl", env={"FASTGATE_APP_HOST": "0.0.0.0"})
    assert done.stdout.splitlines() == [
        "curl http://127.0.0.1:8514/v1/chat/completions \\",
        "  -H 'x-tag: one' \\",
        "  -H 'x-tag: two' \\",
        '  -H "Authorization: Bearer $FASTGATE_KEY" \\',
        "  -H 'Content-Type:' \\",
        """  --data-raw '{"a":""",
        "1}'",
    ]
    assert done.stderr == ""


def test_a_curl_command_goes_to_the_gateway_that_is_running(
    cli: Cli, trail: list[str], tmp_path: Path
) -> None:
    with RunningFile(tmp_path / "journal") as running:
        running.write(Note(1, "http://127.0.0.1:4711", 1, [], "0", 0.0))
        done = cli("logs", "show", trail[2], trail[2], "--curl")
    assert done.stdout.splitlines()[0] == "curl -X GET http://127.0.0.1:4711/other \\"
    assert done.stdout.count("curl ") == 2
    assert "FASTGATE_KEY" not in done.stdout  # it came without one


@pytest.mark.parametrize("more", [["--json"], ["-o", "csv"], ["--fields", "id"], ["--raw"]], ids=" ".join)
def test_a_curl_command_comes_alone(cli: Cli, trail: list[str], more: list[str]) -> None:
    refused = cli("logs", "show", trail[0], "--curl", *more)
    assert (refused.returncode, refused.stdout) == (2, "")
