"""`fastgate doctor`, run as people and scripts run it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.hardening.faults import FaultBackend
from tests.proxy.gateways import ServedGateway

Cli = Callable[..., subprocess.CompletedProcess[str]]
TerminalCli = Callable[..., tuple[int, str]]
ANY_PORT = {"FASTGATE_APP_PORT": "0"}


@pytest.fixture
def backend() -> Iterator[FaultBackend]:
    made = FaultBackend()
    yield made
    made.close()


def run(cli: Cli, code: int, *arguments: str, **env: str) -> dict[str, list[dict[str, Any]]]:
    """Return the lines by the name of their check."""
    done = cli("doctor", "--json", *arguments, env={**ANY_PORT, **env})
    assert (done.returncode, done.stderr) == (code, ""), done.stdout
    lines: dict[str, list[dict[str, Any]]] = {}
    for line in json.loads(done.stdout):
        assert list(line) == ["check", "status", "detail", "fix"]
        assert bool(line["fix"]) is (line["status"] != "passed")
        lines.setdefault(line["check"], []).append(line)
    return lines


def names_below(folder: Path) -> set[str]:
    return {str(path) for path in folder.rglob("*")}


def test_where_nothing_is_set_up_it_says_the_next_step_and_makes_nothing(cli: Cli, tmp_path: Path) -> None:
    before = names_below(tmp_path)
    lines = run(cli, 0)
    assert names_below(tmp_path) == before
    assert lines["database"][0]["fix"] == "fastgate init"
    assert "failed" not in {line["status"] for found in lines.values() for line in found}


def test_a_fault_ends_with_one_and_warnings_alone_with_zero(cli: Cli, backend: FaultBackend) -> None:
    assert cli("init").returncode == 0
    assert cli("keys", "create", "--expires", "3d").returncode == 0
    assert cli("routes", "add", "--id", "one", "--match", "/v1/*", "--to", backend.url).returncode == 0
    lines = run(cli, 0)
    assert lines["backend"][0]["status"] == "passed"
    assert lines["keys"][0]["status"] == "warning"
    target = ["--to", backend.url.replace("http:", "https:")]
    assert cli("routes", "add", "--id", "tls", "--match", "/t/*", *target).returncode == 0
    lines = run(cli, 1, "--timeout", "0.5")
    assert sorted(line["status"] for line in lines["backend"]) == ["failed", "passed"]
    assert backend.calls == []


def test_a_broken_configuration_is_told_with_its_place(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "fastgate.yaml").write_text("app: {prot: 1}\nproxy: {timeout: soon}\n")
    lines = run(cli, 1)
    assert [line["status"] for line in lines["configuration"]] == ["failed", "failed"]
    assert lines["configuration"][0]["detail"].startswith("fastgate.yaml:1:")
    assert set(lines) == {"configuration", "clock"}


def test_a_running_gateway_holds_its_port_and_has_its_variables(tmp_path: Path) -> None:
    served = ServedGateway(tmp_path, FASTGATE_TEST_TOKEN="s3cr3t")
    try:
        add = ["routes", "add", "--id", "ref", "--match", "/ref/*", "--to", "http://127.0.0.1:1"]
        assert served.command(*add, "--set-header", "X-A: ${env:FASTGATE_TEST_TOKEN}").returncode == 0
        del served.environ["FASTGATE_TEST_TOKEN"]
        served.environ["FASTGATE_APP_PORT"] = str(served.port)
        done = served.command("doctor", "--json")
    finally:
        served.close()
    lines = {line["check"]: line for line in json.loads(done.stdout)}
    assert lines["port"]["detail"].endswith(f"is held by this gateway ({served.process.pid})")
    assert (lines["gateway"]["status"], lines["routes"]["status"]) == ("passed", "passed")
    assert "the gateway may open" in lines["open files"]["detail"]
    assert "s3cr3t" not in done.stdout


def test_serve_names_what_others_can_read(tmp_path: Path) -> None:
    served = ServedGateway(tmp_path)
    try:
        assert served.end() == 0
        assert "the database" not in served.text()
        assert f"chmod o= {tmp_path / 'fastgate.yaml'}" in served.text()  # its token is written out
        assert "token-of-the-test" not in served.text()
        served.database.chmod(0o644)
    finally:
        served.close()
    again = ServedGateway(tmp_path)
    try:
        assert again.end() == 0
        assert f"chmod 600 {again.database}" in again.text()
        assert " WARNING " in again.text()
    finally:
        again.close()


def test_a_terminal_shows_marks_what_to_do_and_a_summary(terminal_cli: TerminalCli) -> None:
    code, screen = terminal_cli("doctor", env={**ANY_PORT, "NO_COLOR": "1"})
    assert code == 0, screen
    lines = screen.splitlines()
    assert lines[0] == "✓  configuration  there is no file: the defaults hold"
    assert "                  → fastgate init" in lines
    assert lines[-2] == ""
    assert lines[-1].endswith(" passed")
    assert "\x1b" not in screen
    assert max(map(len, lines)) <= 80


def test_a_pipe_gets_lines_and_the_exit_code(cli: Cli) -> None:
    done = cli("doctor", env=ANY_PORT)
    assert (done.returncode, done.stderr) == (0, "")
    header, *lines = done.stdout.splitlines()
    assert header == "check\tstatus\tdetail\tfix"
    assert all(line.count("\t") == 3 for line in lines)
    assert cli("doctor", "--fields", "check,nosuch").returncode == 2
