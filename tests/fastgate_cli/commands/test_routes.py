"""`fastgate routes`, run as people and scripts run it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Cli = Callable[..., subprocess.CompletedProcess[str]]
TerminalCli = Callable[..., tuple[int, str]]
SECRET = "sk-very-secret-value-9876"


@pytest.fixture
def add(cli: Cli) -> Callable[..., dict[str, Any]]:
    """Add a route and return its row."""

    def run(*arguments: str, to: str = "http://127.0.0.1:8000", match: str = "/v1/*") -> dict[str, Any]:
        done = cli("routes", "add", "--match", match, "--to", to, "--json", *arguments)
        assert done.returncode == 0, done.stderr
        row: dict[str, Any] = json.loads(done.stdout)
        return row

    return run


def listed(cli: Cli) -> list[dict[str, Any]]:
    done = cli("routes", "list", "--json")
    assert done.returncode == 0, done.stderr
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    return rows


def test_the_shortest_form_has_the_defaults_of_the_contract(add: Callable[..., dict[str, Any]]) -> None:
    row = add()
    assert row["route_id"].startswith("rt_")
    expected = {
        "route_name": row["route_id"],
        "match_path": "/v1/*",
        "match_method": "ANY",
        "target_protocol": "http",
        "target_host": "127.0.0.1:8000",
        "target_path": "",
        "strip_path_prefix": False,
        "pass_credential": False,
        "encoded_slash": False,
        "keep_redirects": False,
        "retry_count": 0,
        "is_active": True,
        "priority": 100,
    }
    assert {field: row[field] for field in expected} == expected


def test_every_option_reaches_its_column(cli: Cli, add: Callable[..., dict[str, Any]]) -> None:
    row = add(
        *("--name", "llm", "--id", "rt-llm", "--description", "the model", "--method", "get,POST"),
        *("--header", "X-Tenant=a*", "--header", "X-Any", "--strip-prefix", "--timeout", "9"),
        *(
            "--set-header",
            "X-Team: ${env:TEAM}",
            "--remove-header",
            "X-Debug",
            "--priority",
            "5",
            "--disabled",
        ),
        *(
            "--to",
            "http://10.0.0.1:8000",
            "--balance",
            "round-robin",
            "--retries",
            "2",
            "--retry-on",
            "429,503",
        ),
        *("--total-timeout", "60", "--http2", "--tls-insecure", "--on-client-abort", "drain"),
        *("--pass-credential", "--encoded-slash", "--keep-redirects"),
        *("--body", "model=qwen3", "--set-body", "seed=123456789012345678901", "--set-body", 'user="é"'),
        to="https://api.example.com:8443/base",
    )
    expected = {
        "route_id": "rt-llm",
        "route_name": "llm",
        "description": "the model",
        "match_method": "GET,POST",
        "match_headers": {"X-Tenant": "a*", "X-Any": None},
        "target_protocol": "https",
        "target_host": "api.example.com:8443",
        "target_path": "/base",
        "strip_path_prefix": True,
        "add_headers": {"X-Team": "${env:TEAM}"},
        "remove_headers": ["X-Debug"],
        "timeout": 9,
        "is_active": False,
        "priority": 5,
        "targets": ["http://10.0.0.1:8000"],
        "balance": "round-robin",
        "retry_count": 2,
        "retry_statuses": [429, 503],
        "total_timeout": 60,
        "http_version": "2",
        "tls_verify": False,
        "on_client_abort": "drain",
        "pass_credential": True,
        "encoded_slash": True,
        "keep_redirects": True,
        "match_body_schema": {
            "type": "object",
            "required": ["model"],
            "properties": {"model": {"enum": ["qwen3"]}},
        },
        "add_body_fields": {"seed": 123456789012345678901, "user": "é"},
    }
    assert {field: row[field] for field in expected} == expected
    assert json.loads(cli("routes", "show", "llm", "--json").stdout) == row
    assert listed(cli) == [row]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--match", ""],
        ["--match", "v1/*"],
        ["--match", "/a/***"],
        ["--match", "/user/{id}/{id}"],
        ["--to", "localhost:8000"],
        ["--to", "ftp://a"],
        ["--to", "http://a:99999"],
        ["--to", "http://user:hunter2@a"],
        ["--to", "http://a?x=1"],
        ["--to", "http://a/{nosuch}"],
        ["--target-path", "/{nosuch}"],
        ["--target-path", "no-slash"],
        ["--method", "FETCH"],
        ["--header", "=x"],
        ["--set-header", "no colon"],
        ["--set-header", "Content-Length: 5"],
        ["--set-header", "X-A: a\r\nX-B: b"],
        ["--remove-header", "not a name"],
        ["--timeout", "0"],
        ["--priority", "high"],
        ["--id", "not an id"],
        ["--name", ""],
        ["--id", ""],
        ["--body", "no-equals"],
        ["--body-schema", '{"$ref": "http://127.0.0.1:1/"}'],
        ["--set-body", "model=unquoted"],
        ["--retries", "4"],
        ["--retry-on", "200"],
        ["--balance", "random"],
        ["--tls-insecure"],
        ["--to", "http://b/path"],
    ],
)
def test_bad_input_is_one_error_line_and_adds_nothing(
    cli: Cli, environment: dict[str, str], arguments: list[str]
) -> None:
    given = ["--match", "/v1/*", "--to", "http://127.0.0.1:8000", *arguments]
    done = cli("routes", "add", *given)
    assert (done.returncode, done.stdout) == (2, "")
    assert [line.partition(":")[0] for line in done.stderr.splitlines()] in (["error"], ["error", "hint"])
    assert "hunter2" not in done.stderr
    assert cli("routes", "list", "-o", "id").stdout == ""


def test_an_id_or_name_that_is_taken_is_a_conflict(cli: Cli, add: Callable[..., dict[str, Any]]) -> None:
    add("--id", "one", "--name", "first")
    for arguments in (["--id", "one"], ["--name", "first"]):
        done = cli("routes", "add", "--match", "/a", "--to", "http://a", *arguments)
        assert done.returncode == 2
        assert done.stderr.startswith("error: ")
    assert len(listed(cli)) == 1


def test_a_literal_secret_is_masked_wherever_it_is_printed(
    cli: Cli, terminal_cli: TerminalCli, add: Callable[..., dict[str, Any]]
) -> None:
    arguments = [
        "--match",
        "/v1/*",
        "--to",
        "http://a",
        "--id",
        "rt",
        "--set-header",
        f"Authorization: {SECRET}",
    ]
    added = cli("routes", "add", *arguments, "--json")
    assert json.loads(added.stdout)["add_headers"] == {"Authorization": "•••9876"}
    assert "${env:NAME}" in added.stderr
    outputs = [
        cli("routes", "list", "-o", format).stdout for format in ("tsv", "json", "csv", "wide", "jsonl")
    ]
    outputs += [cli("routes", "show", "rt").stdout, terminal_cli("routes", "show", "rt")[1], added.stderr]
    outputs += [cli("routes", "delete", "rt", "-y").stdout]
    assert not any(SECRET in output for output in outputs)


def test_a_reference_is_shown_as_written_and_needs_no_note(cli: Cli) -> None:
    header = "Authorization: Bearer ${env:OPENAI_API_KEY}"
    done = cli(
        "routes",
        "add",
        "--match",
        "/v1/*",
        "--to",
        "https://api.openai.com",
        "--set-header",
        header,
        "--json",
    )
    assert json.loads(done.stdout)["add_headers"] == {"Authorization": "Bearer ${env:OPENAI_API_KEY}"}
    assert done.stderr == ""


def test_routes_are_listed_by_priority(cli: Cli, add: Callable[..., dict[str, Any]]) -> None:
    for name, priority in (("last", "200"), ("first", "1"), ("middle", "100")):
        add("--id", name, "--priority", priority)
    assert cli("routes", "list", "-o", "id").stdout.split() == ["first", "middle", "last"]


def test_an_unknown_route_is_not_found(cli: Cli, add: Callable[..., dict[str, Any]]) -> None:
    add("--name", "backend")
    for command in (["show"], ["delete", "-y"]):
        done = cli("routes", *command, "backned")
        assert (done.returncode, done.stdout) == (3, "")
        error, hint = done.stderr.splitlines()
        assert "backned" in error
        assert "backend" in hint
    assert len(listed(cli)) == 1


def test_delete_needs_a_yes_and_prints_what_was_deleted(cli: Cli, add: Callable[..., dict[str, Any]]) -> None:
    row = add("--name", "a")
    add("--name", "b")
    assert cli("routes", "delete", "a").returncode == 2
    assert json.loads(cli("routes", "delete", "a", "-y", "--json").stdout)["route_id"] == row["route_id"]
    assert [left["route_name"] for left in listed(cli)] == ["b"]


def test_a_person_is_told_how_many_are_gone(
    cli: Cli, terminal_cli: TerminalCli, add: Callable[..., dict[str, Any]]
) -> None:
    add("--name", "a")
    add("--name", "b")
    _, screen = terminal_cli("routes", "delete", "a", "b", "-y")
    assert screen.splitlines()[-1] == "deleted 2 routes"
    assert listed(cli) == []


def test_a_dry_run_checks_everything_and_writes_nothing(
    cli: Cli, environment: dict[str, str], add: Callable[..., dict[str, Any]]
) -> None:
    done = cli("routes", "add", "--match", "/v1/*", "--to", "http://a", "-n")
    assert (done.returncode, done.stderr) == (0, "dry run: nothing was written\n")
    assert not Path(environment["XDG_DATA_HOME"]).exists()
    add("--id", "one")
    assert cli("routes", "add", "--match", "/v1/*", "--to", "http://a", "--id", "one", "-n").returncode == 2
    assert cli("routes", "delete", "one", "-n").returncode == 0
    assert [row["route_id"] for row in listed(cli)] == ["one"]


def test_reads_without_a_database_say_so(cli: Cli) -> None:
    assert cli("routes", "list").returncode == 4
    assert cli("routes", "show", "x").returncode == 4


def test_a_terminal_shows_a_table_of_80_columns(
    terminal_cli: TerminalCli, add: Callable[..., dict[str, Any]]
) -> None:
    row = add(to="https://a-backend-with-a-very-long-name.internal.example.com:8443/and/a/path")
    code, screen = terminal_cli("routes", "list", env={"NO_COLOR": "1"})
    assert code == 0
    assert row["route_id"] in screen
    assert all(len(line) <= 80 for line in screen.splitlines())


def test_a_terminal_names_a_route_by_its_name_and_wide_by_its_id_too(
    terminal_cli: TerminalCli, add: Callable[..., dict[str, Any]]
) -> None:
    row = add("--name", "ollama", to="http://gpu:1")
    assert row["route_id"] not in terminal_cli("routes", "list")[1]
    assert "ollama" in terminal_cli("routes", "list")[1]
    assert row["route_id"] in terminal_cli("routes", "list", "-o", "wide")[1]


def test_a_sheet_of_a_route_fits_a_screen_and_names_what_is_not_set(
    terminal_cli: TerminalCli, cli: Cli, add: Callable[..., dict[str, Any]]
) -> None:
    row = add("--name", "ollama", to="http://gpu:1")
    code, screen = terminal_cli("routes", "show", "ollama", env={"NO_COLOR": "1"})
    lines = [line.rstrip() for line in screen.splitlines()]
    assert (code, len(lines) <= 23) == (0, True)
    assert f"route_id           {row['route_id']}" in lines
    fields = json.loads(cli("routes", "show", "ollama", "--json").stdout)
    empty = [name for name, value in fields.items() if value in (None, "", [], {})]
    assert "add_headers" in empty
    assert "not set " + ", ".join(empty) == " ".join(screen[screen.index("not set") :].split())
    assert not any(line.startswith(tuple(empty)) for line in lines)
