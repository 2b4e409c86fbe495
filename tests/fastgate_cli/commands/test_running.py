"""`status`, `reload` and `stop`: against a real gateway, and against none."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

import pytest

from fastgate_cli.columns import format_uptime
from fastgate_cli.commands import running as running_module
from fastgate_cli.context import Invocation
from proxy.running import Note, RunningFile
from tests.proxy.gateways import WAIT_SECONDS, ServedGateway, await_that, read_rest

Cli = Callable[..., subprocess.CompletedProcess[str]]
TerminalCli = Callable[..., tuple[int, str]]


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[ServedGateway]:
    made = ServedGateway(tmp_path)
    yield made
    made.close()


@pytest.fixture
def held(tmp_path: Path) -> Iterator[RunningFile]:
    """The note of a gateway that is this very process, in a configuration's folder."""
    (tmp_path / "fastgate.yaml").write_text("audit: {directory: journal}\n")
    with RunningFile(tmp_path / "journal") as running:
        running.write(Note(os.getpid(), "http://127.0.0.1:1", 1, [2], "1.0", 1.5))
        yield running


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (0.9, "0s"), (59, "59s"), (60, "1m0s"), (3_725, "1h2m"), (86_400, "1d0h"), (266_399, "3d1h")],
)
def test_uptime_reads_in_its_two_largest_units(seconds: float, text: str) -> None:
    assert format_uptime(seconds, UTC) == text


@pytest.mark.parametrize("command", ["status", "reload", "stop"])
def test_without_a_gateway_the_answer_is_no(cli: Cli, command: str) -> None:
    done = cli(command)
    assert (done.returncode, done.stdout) == (1, "")
    error, hint = done.stderr.splitlines()
    assert error == "error: no gateway of this configuration is running"
    assert "fastgate serve" in hint


def test_the_note_of_a_gateway_is_found_if_there_is_one(tmp_path: Path, held: RunningFile) -> None:
    config = tmp_path / "fastgate.yaml"
    found = running_module.find_note(Invocation(config, {}))
    assert found
    assert found.address == "http://127.0.0.1:1"
    config.write_text("audit: {directory: elsewhere}\n")
    assert running_module.find_note(Invocation(config, {})) is None


def test_programs_get_the_reason_as_json(cli: Cli) -> None:
    done = cli("status", "--json")
    assert (done.returncode, done.stdout) == (1, "")
    assert json.loads(done.stderr)["error"]["code"] == "not_running"


def test_status_tells_what_runs(gateway: ServedGateway) -> None:
    shown = gateway.command("status", "--json")
    assert (shown.returncode, shown.stderr) == (0, "")
    told = json.loads(shown.stdout)
    assert told["pid"] == gateway.process.pid
    assert told["address"] == f"http://127.0.0.1:{gateway.port}"
    assert (told["workers"], len(told["worker_pids"])) == (2, 2)
    assert 0 <= told["uptime_s"] < WAIT_SECONDS
    age = datetime.now(UTC) - datetime.fromisoformat(told["started"])
    assert 0 <= age.total_seconds() < WAIT_SECONDS
    header, line = gateway.command("status", "--fields", "pid,workers").stdout.splitlines()
    assert (header, line) == ("pid\tworkers", f"{gateway.process.pid}\t2")
    assert gateway.command("status", "-o", "id").stdout == f"{gateway.process.pid}\n"


def test_reload_returns_when_the_workers_have_been_replaced(gateway: ServedGateway) -> None:
    first = gateway.note().worker_pids
    gateway.configure(workers=1)
    done = gateway.command("reload", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    assert told["workers"] == 1
    assert not set(told["worker_pids"]) & set(first)


def test_reload_tells_what_is_wrong_and_the_gateway_stays(gateway: ServedGateway) -> None:
    gateway.configure(more=", name: [")
    # The command reads the configuration too: of its folders it finds none in a broken one.
    broken = gateway.command("reload")
    assert broken.returncode == 2
    assert "fastgate.yaml:" in broken.stderr
    gateway.configure()
    gateway.environ["FASTGATE_DATABASE_URL"] = f"sqlite:///{gateway.database}"
    gateway.database.rename(aside := gateway.folder / "aside.db")
    failed = gateway.command("reload")
    aside.rename(gateway.database)
    assert (failed.returncode, failed.stdout) == (2, "")
    assert failed.stderr.startswith("error: not reloaded: ")
    assert gateway.ask("/elsewhere") == 404


def test_stop_returns_when_the_gateway_has_ended(gateway: ServedGateway) -> None:
    client, wire = gateway.start_stream()
    stopping = subprocess.Popen(
        [sys.executable, "-m", "fastgate_cli", "stop"],
        cwd=gateway.folder,
        env=gateway.environ,
        stderr=subprocess.PIPE,
        text=True,
    )
    await_that(gateway.refuses_connections)
    assert stopping.poll() is None
    wire.sendall(b"0\r\n\r\n")
    assert read_rest(client).endswith(b"0\r\n\r\n")
    told = stopping.communicate(timeout=WAIT_SECONDS)[1]
    assert (stopping.returncode, told) == (0, f"stopped the gateway on http://127.0.0.1:{gateway.port}\n")
    assert gateway.process.wait(WAIT_SECONDS) == 0
    assert gateway.outcomes() == [(200, None)]


def test_a_gateway_that_is_stopping_says_so_and_no_second_stop_cuts_its_requests(
    gateway: ServedGateway,
) -> None:
    client, wire = gateway.start_stream()
    stopping = [_stop(gateway)]
    await_that(lambda: gateway.note().is_stopping)
    stopping.append(_stop(gateway))
    state = json.loads(gateway.command("status", "--json").stdout)["state"]
    refused = gateway.command("reload")
    assert (state, refused.returncode) == ("stopping", 1)
    assert "the gateway is stopping" in refused.stderr
    assert [each.poll() for each in stopping] == [None, None]
    wire.sendall(b"0\r\n\r\n")
    assert read_rest(client).endswith(b"0\r\n\r\n")
    assert [each.wait(WAIT_SECONDS) for each in stopping] == [0, 0]
    assert gateway.outcomes() == [(200, None)]
    assert "a second signal ends them" in gateway.text()


def _stop(gateway: ServedGateway) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "fastgate_cli", "stop"]
    return subprocess.Popen(command, cwd=gateway.folder, env=gateway.environ, stderr=subprocess.DEVNULL)


def test_a_gateway_that_does_not_end_is_told(
    held: RunningFile, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running_module, "STOP_SECONDS_MAX", 0.1)
    monkeypatch.setenv("FASTGATE_PROXY_SHUTDOWN_GRACE", "0")
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr("os.kill", lambda pid, number: sent.append((pid, number)))
    done = cli("stop", env={"FASTGATE_PROXY_SHUTDOWN_GRACE": "0"})
    assert done.returncode == 1
    assert f"({os.getpid()}) has not ended" in done.stderr
    assert sent == [(os.getpid(), signal.SIGTERM)]


def test_a_gateway_that_does_not_reload_is_told(
    held: RunningFile, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running_module, "RELOAD_SECONDS_MAX", 0.1)
    monkeypatch.setattr("os.kill", lambda pid, number: None)
    done = cli("reload")
    assert (done.returncode, done.stdout) == (1, "")
    assert "has not reloaded yet" in done.stderr


@pytest.mark.parametrize(
    ("error", "code", "text"), [(ProcessLookupError, 1, "just ended"), (PermissionError, 2, "another user")]
)
def test_a_gateway_that_cannot_be_told_is_told(
    held: RunningFile,
    cli: Cli,
    monkeypatch: pytest.MonkeyPatch,
    error: type[OSError],
    code: int,
    text: str,
) -> None:
    def refuse(pid: int, number: int) -> None:
        raise error

    monkeypatch.setattr("os.kill", refuse)
    done = cli("stop")
    assert done.returncode == code
    assert text in done.stderr


def test_on_a_terminal_it_is_a_sheet(held: RunningFile, terminal_cli: TerminalCli) -> None:
    code, screen = terminal_cli("status")
    assert code == 0
    assert "http://127.0.0.1:1" in screen


class Screen(StringIO):
    def isatty(self) -> bool:
        return True


def test_a_person_sees_the_seconds_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", screen := Screen())
    assert running_module.await_that(lambda: "waiting: 1 s" in screen.getvalue(), WAIT_SECONDS, "waiting")
    assert screen.getvalue().endswith("\r\x1b[K")
