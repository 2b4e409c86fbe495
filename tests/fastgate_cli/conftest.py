"""The real command as a subprocess, in a folder and a home of its own, in a pipe or on a terminal."""

from __future__ import annotations

import os
import pty
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from fcntl import ioctl
from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path

import pytest

from fastgate_cli.main import run_command

Cli = Callable[..., subprocess.CompletedProcess[str]]
TerminalCli = Callable[..., tuple[int, str]]
_ROOT = Path(__file__).parents[2]
_TIMEOUT_SECONDS = 30
_COMMAND = (sys.executable, "-m", "fastgate_cli")


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """An environment that knows nothing of whoever runs the tests."""
    home = tmp_path / "home"
    home.mkdir(exist_ok=True)
    return {
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / "config"),
        "XDG_DATA_HOME": str(home / "data"),
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(_ROOT),
        "LANG": "C.UTF-8",
        "TERM": "xterm-256color",
    }


@pytest.fixture
def cli(tmp_path: Path, environment: dict[str, str]) -> Cli:
    """`cli(*arguments, env=…, input=…)`: run a command as in a pipe, in this process, which is quick."""

    def run(
        *arguments: str, env: Mapping[str, str] | None = None, input: str = ""
    ) -> subprocess.CompletedProcess[str]:
        keyboard = TextIOWrapper(BytesIO(input.encode()))
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(StringIO()) as out:
            patch.setattr("os.environ", {**environment, **(env or {})})
            patch.setattr("sys.stdin", keyboard)
            patch.chdir(tmp_path)
            with redirect_stderr(StringIO()) as err:
                code = run_command(arguments)
        return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())

    return run


@pytest.fixture
def process_cli(tmp_path: Path, environment: dict[str, str]) -> Cli:
    """The same, as a process of its own."""

    def run(
        *arguments: str, env: Mapping[str, str] | None = None, input: str = ""
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*_COMMAND, *arguments],
            env={**environment, **(env or {})},
            cwd=tmp_path,
            input=input,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_SECONDS,
            check=False,
        )

    return run


@pytest.fixture
def terminal_cli(tmp_path: Path, environment: dict[str, str]) -> TerminalCli:
    """`terminal_cli(*arguments, typed=…, interrupted_at=…)`: on a terminal; the exit code and the screen."""

    def run(
        *arguments: str, env: Mapping[str, str] | None = None, typed: str = "", interrupted_at: str = ""
    ) -> tuple[int, str]:
        return _run_on_terminal(
            arguments, {**environment, **(env or {})}, tmp_path, typed, interrupted_at.encode()
        )

    return run


def _run_on_terminal(
    arguments: Sequence[str], env: Mapping[str, str], folder: Path, typed: str, interrupted_at: bytes
) -> tuple[int, str]:
    ours, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = subprocess.Popen(
        [*_COMMAND, *arguments], env=dict(env), cwd=folder, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    os.write(ours, typed.encode())
    screen = b""
    try:
        while piece := os.read(ours, 65536):
            screen += piece
            if interrupted_at and interrupted_at in screen:
                process.send_signal(signal.SIGINT)
                interrupted_at = b""
    except OSError:
        pass  # Linux says so when the other side of a terminal has gone
    os.close(ours)
    return process.wait(_TIMEOUT_SECONDS), screen.decode().replace("\r\n", "\n")
