"""Records the README's picture: real commands on a real terminal, drawn as SVG by Rich.

    .venv/bin/python docs/record_terminal.py docs/terminal.svg

Every command runs in a pseudo-terminal of 100 columns, in a folder of its own, against a real mock and a real
gateway; what it prints is what the picture shows.
"""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
from pathlib import Path

import httpx
from rich.console import Console
from rich.text import Text

COLUMNS, LINES = 100, 50
PROMPT = Text("$ ", "bold green")
FASTGATE = [sys.executable, "-m", "fastgate_cli"]
# Drawn as people type it; {mock} is the demo backend's address.
TYPED = ("fastgate keys create --source mobile-app", "fastgate routes add --match '/v1/*' --to {mock}")


def run_on_terminal(arguments: list[str], folder: Path, stop_after_seconds: float = 0) -> str:
    """Return what a command prints on a terminal; one that does not end is stopped with Ctrl-C."""
    controller, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    environ = {**os.environ, "HOME": str(folder), "TERM": "xterm-256color", "PYTHONPATH": str(Path.cwd())}
    process = subprocess.Popen(
        [*FASTGATE, *arguments], cwd=folder, env=environ, stdin=terminal, stdout=terminal, stderr=terminal
    )
    os.close(terminal)
    if stop_after_seconds:
        time.sleep(stop_after_seconds)
        process.send_signal(signal.SIGINT)
    printed = b""
    try:
        while data := os.read(controller, 65536):
            printed += data
    except OSError:
        pass  # the other end is closed: the command has ended
    process.wait()
    return printed.decode().replace("\r\n", "\n").replace("^C", "")


def start_server(folder: Path, *arguments: str) -> tuple[subprocess.Popen[str], str]:
    """Start `mock` or `serve` and return it with its address."""
    environ = {**os.environ, "HOME": str(folder), "PYTHONPATH": str(Path.cwd())}
    process = subprocess.Popen(
        [*FASTGATE, *arguments], cwd=folder, env=environ, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr
    line = next(line for line in process.stderr if "listens on" in line)
    return process, line.split()[-1]


def send_requests(url: str, key: str) -> None:
    """Send what the picture's log shows: plain, streamed, unknown key, no route."""
    body = {"model": "fastgate-mock", "messages": [{"role": "user", "content": "Hello"}]}
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, trust_env=False) as client:
        client.get("/v1/models")
        client.post("/v1/chat/completions", json=body)
        client.post("/v1/chat/completions", json={**body, "stream": True})
        client.post("/v1/chat/completions", json=body, headers={"Authorization": "Bearer fg_unknown"})
        client.get("/v2/models")
    time.sleep(1)


def record(console: Console, folder: Path) -> None:
    """Run the commands and print them with their output."""
    mock, mock_url = start_server(folder, "mock", "--port", "0", "--ttfb", "120", "--tps", "40")
    try:
        for command in TYPED:
            typed = command.format(mock=mock_url)
            show(console, typed, run_on_terminal(typed.replace("'", "").split()[1:], folder))
        key = subprocess.run(
            [*FASTGATE, "keys", "create", "--source", "web"],
            cwd=folder,
            env={**os.environ, "HOME": str(folder), "PYTHONPATH": str(Path.cwd())},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        gateway, url = start_server(folder, "serve", "--port", "0")
        try:
            send_requests(url, key)
            show(console, "fastgate logs tail", run_on_terminal(["logs", "tail"], folder, 1.5))
        finally:
            gateway.terminate()
            gateway.wait(10)
    finally:
        mock.terminate()
        mock.wait(10)


def show(console: Console, typed: str, printed: str) -> None:
    """Print one command and its output."""
    console.print(PROMPT + Text(typed, "bold"))
    console.print(Text.from_ansi(printed.strip("\n")))
    console.print()


def main() -> None:
    with tempfile.TemporaryDirectory() as name, Path(os.devnull).open("w") as nowhere:
        console = Console(record=True, width=COLUMNS, file=nowhere, force_terminal=True)
        record(console, Path(name))
    console.save_svg(sys.argv[1], title="FastGate")


if __name__ == "__main__":
    main()
