"""`fastgate routes test`, run as people and scripts run it, against a backend that the test plays."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fastgate_cli.commands.route_trial import choose_method, choose_paths
from tests.hardening.answers import answer, plain
from tests.hardening.faults import Call, FaultBackend

Cli = Callable[..., subprocess.CompletedProcess[str]]
TerminalCli = Callable[..., tuple[int, str]]
SECRET = "sk-very-secret-value-9876"
FIELDS = [
    "success",
    "matched",
    "target_url",
    "status_code",
    "response_time_ms",
    "ttfb_ms",
    "error_message",
    "stages",
]


@pytest.fixture
def backend(cli: Cli) -> Iterator[FaultBackend]:
    made = FaultBackend()
    arguments = ["--id", "one", "--match", "/v1/*", "--to", made.url]
    arguments += ["--set-header", "Authorization: Bearer ${env:TOKEN}"]
    assert cli("routes", "add", *arguments).returncode == 0
    yield made
    made.close()


def snapshot_of(folder: Path) -> dict[str, tuple[int, int]]:
    """Return every file with its size and the time of its last change."""
    return {
        str(path): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


def run(cli: Cli, *arguments: str, code: int = 0, **env: str) -> dict[str, Any]:
    done = cli("routes", "test", *arguments, "--json", env={"TOKEN": SECRET, **env})
    assert (done.returncode, done.stderr) == (code, "")
    assert SECRET not in done.stdout
    row: dict[str, Any] = json.loads(done.stdout)
    assert list(row) == FIELDS
    return row


def test_a_page_of_the_gateway_reaches_no_route(cli: Cli, backend: FaultBackend) -> None:
    assert cli("routes", "add", "--id", "own", "--match", "/health", "--to", backend.url).returncode == 0
    row = run(cli, "own", code=1)
    assert (row["success"], row["matched"], row["target_url"]) == (False, False, None)
    assert "is answered by the gateway itself" in row["error_message"]
    assert not backend.calls_of("/health")


def test_a_route_that_works_has_every_field_of_the_contract(cli: Cli, backend: FaultBackend) -> None:
    row = run(cli, "one")
    assert (row["success"], row["matched"], row["status_code"], row["error_message"]) == (
        True,
        True,
        200,
        None,
    )
    assert row["target_url"] == f"{backend.url}/v1/models"
    assert 0 < row["ttfb_ms"] <= row["response_time_ms"]
    assert [list(stage) for stage in row["stages"]] == [["name", "ok", "detail"]] * 5
    assert [stage["ok"] for stage in row["stages"]] == [True] * 5
    (call,) = backend.calls
    assert call.header(b"authorization") == [f"Bearer {SECRET}".encode()]


def test_method_path_headers_and_body_are_as_given(cli: Cli, backend: FaultBackend, tmp_path: Path) -> None:
    (tmp_path / "body.json").write_text('{"model": "m"}')
    run(cli, "one", "--path", "/v1/chat?a=1", "--header", "X-A: 1", "--data", "@body.json")
    run(cli, "one", "--method", "delete", "--path", "/v1/x", "--header", "X-API-Key: mine")
    posted, deleted = backend.calls
    assert (posted.method, posted.target, posted.body) == (b"POST", b"/v1/chat?a=1", b'{"model": "m"}')
    assert posted.header(b"x-a") == [b"1"]
    assert deleted.method == b"DELETE"
    assert deleted.header(b"x-api-key") == []


def test_what_failed_is_the_answer_no(cli: Cli, backend: FaultBackend) -> None:
    backend.play("/v1/models", answer(plain(b"no", status="404 Not Found")))
    row = run(cli, "one", code=1)
    assert (row["success"], row["matched"], row["status_code"]) == (False, True, 404)
    assert row["error_message"] == row["stages"][-1]["detail"]
    row = run(cli, "one", "--path", "/other", code=1)
    assert (row["matched"], row["target_url"], row["status_code"]) == (False, None, None)
    assert [stage["ok"] for stage in row["stages"]] == [True, False, None, None, None]
    row = run(cli, "one", code=1, TOKEN="")
    assert row["error_message"] == "${env:TOKEN} stands for nothing"


def test_nothing_is_written_and_no_gateway_is_asked(cli: Cli, backend: FaultBackend, tmp_path: Path) -> None:
    before = snapshot_of(tmp_path)
    run(cli, "one")
    assert snapshot_of(tmp_path) == before


def test_a_terminal_shows_each_stage_and_the_beginning_of_the_answer(
    terminal_cli: TerminalCli, backend: FaultBackend
) -> None:
    async def echo(call: Call) -> None:
        await call.send(plain(b"\x1b[31mred " + call.header(b"authorization")[0] + b"\nline\n" * 20))

    backend.play("/v1/models", echo)
    code, screen = terminal_cli("routes", "test", "one", env={"TOKEN": SECRET, "NO_COLOR": "1"})
    assert code == 0, screen
    lines = screen.splitlines()
    marked = [line.split()[:2] for line in lines if line[:1] == "✓"]
    assert marked == [["✓", name] for name in ("config", "match", "transform", "connect", "response")]
    assert "\\x1b[31mred [redacted]" in lines
    assert lines[-1] == "…"
    assert "\x1b" not in screen
    assert SECRET not in screen
    assert max(map(len, lines)) <= 80


def test_a_terminal_shows_what_to_do_below_what_failed(
    terminal_cli: TerminalCli, backend: FaultBackend
) -> None:
    code, screen = terminal_cli("routes", "test", "one", "--path", "/x", env={"TOKEN": "t", "NO_COLOR": "1"})
    assert code == 1
    lines = [line.strip() for line in screen.splitlines()]
    assert lines[1] == "✗  match      GET /x does not reach this route: the path does not match /v1/*"
    assert lines[2] == "→ --path takes one that matches /v1/*"
    assert lines[3:] == [f"-  {name.ljust(9)}  not come to" for name in ("transform", "connect", "response")]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["nosuch"], 3),
        (["one", "--path", "v1"], 2),
        (["one", "--header", "hunter2"], 2),
        (["one", "--data", "@nosuch"], 2),
        (["one", "--timeout", "0"], 2),
        ([], 2),
    ],
)
def test_bad_input_is_an_error(cli: Cli, backend: FaultBackend, arguments: list[str], code: int) -> None:
    done = cli("routes", "test", *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith("error: ")
    assert "hunter2" not in done.stderr
    assert not backend.calls


def test_without_a_database_there_is_nothing_to_test(cli: Cli) -> None:
    assert cli("routes", "test", "x", env={"DATABASE_URL": "sqlite:///nosuch.db"}).returncode == 4


@pytest.mark.parametrize(
    ("methods", "body", "chosen"),
    [("ANY", b"", "GET"), ("ANY", b"{}", "POST"), ("PUT,GET", b"", "PUT"), (None, b"", "GET")],
)
def test_the_method_is_the_route_s_first_or_what_curl_would_take(
    methods: str | None, body: bytes, chosen: str
) -> None:
    assert choose_method({"match_method": methods}, body) == chosen


def test_the_path_is_the_given_one_or_an_example() -> None:
    row = {"match_path": "/user/{id}"}
    assert choose_paths(row, "/user/9?x") == ["/user/9?x"]
    assert choose_paths(row, None) == ["/user/1"]
    assert choose_paths({"match_path": "no-slash"}, None) == ["/"]


def test_a_person_who_has_waited_enough_can_end_it(terminal_cli: TerminalCli, backend: FaultBackend) -> None:
    backend.play("/v1/models", answer(b""))
    code, screen = terminal_cli("routes", "test", "one", env={"TOKEN": "t"}, interrupted_at="no body")
    assert code == 130
    assert "Traceback" not in screen
