"""The gateway of a quickstart is one like any other: what `serve` runs, with the mock beside it."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from proxy.running import RunningFile

Cli = Callable[..., subprocess.CompletedProcess[str]]
AGREES = "the gateway answers as the backend does"


def test_the_commands_for_a_gateway_that_runs_find_it(
    cli: Cli, tmp_path: Path, environment: dict[str, str], free_port: int
) -> None:
    command = [sys.executable, "-m", "fastgate_cli", "quickstart", "--port", str(free_port)]
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True) as trial:
        assert trial.stderr is not None
        try:
            told = [next(trial.stderr)]
            while "Ctrl-C" not in told[-1]:
                told.append(next(trial.stderr))
            assert json.loads(cli("status", "--json").stdout)["pid"] == trial.pid
            # One that finds everything running checks it; one that cannot run changes nothing.
            again = subprocess.run(
                [*command, "--check"], cwd=tmp_path, env=environment, capture_output=True, text=True
            )
            assert (again.returncode, again.stderr.splitlines()[-1]) == (0, AGREES)
            routes = cli("routes", "list", "--json").stdout
            refused = cli("quickstart", "--port", "0", "--check")
            assert (refused.returncode, "runs already" in refused.stderr) == (2, True)
            assert cli("routes", "list", "--json").stdout == routes
            # What --port says goes on counting, and so does the terminal, which is not for the log.
            assert cli("reload").returncode == 0
            assert cli("stop").stderr == f"stopped the gateway on http://127.0.0.1:{free_port}\n"
            assert trial.wait(20) == 0
            assert trial.stderr.read() == ""
        finally:
            trial.kill()


def test_on_the_journal_of_another_gateway_it_ends_with_all_that_it_has_begun(
    process_cli: Cli, tmp_path: Path, free_port: int
) -> None:
    with RunningFile(tmp_path / "data" / "journal"):
        refused = process_cli("quickstart", "--port", str(free_port))
    assert refused.returncode == 2
    assert "error: another gateway is running on the journal" in refused.stderr


def test_a_check_that_is_interrupted_says_nothing_else(
    tmp_path: Path, environment: dict[str, str], free_port: int
) -> None:
    command = [sys.executable, "-m", "fastgate_cli", "quickstart", "--check", "--port", str(free_port)]
    with socket.create_server(("127.0.0.1", 0)) as silent:
        upstream = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with subprocess.Popen(
            [*command, "--upstream", upstream],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as trial:
            asked, _ = silent.accept()  # for its models; the check waits for the answer
            with asked:
                trial.send_signal(signal.SIGINT)
                out, err = trial.communicate(timeout=30)
    assert (trial.returncode, out) == (130, ""), err
    assert "error" not in err, err
