"""Records the documents' pictures: real commands on a real terminal, drawn as SVG by Rich.

    .venv/bin/python docs/record_terminal.py            all of them, into docs/
    .venv/bin/python docs/record_terminal.py top        one

Every command runs in a pseudo-terminal, in a folder of its own, against a real mock and a real gateway; what
it prints is what the picture shows, with `~` for that folder. Those named `-wide` are for a wide terminal.
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
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import httpx
from rich.console import Console
from rich.text import Text

DOCS = Path(__file__).parent
LINES = 24
PROMPT = Text("$ ", "bold green")
FASTGATE = [sys.executable, "-m", "fastgate_cli"]
FOLLOWED_SECONDS = 1.5  # of a command that would go on
BODY = {"model": "fastgate-mock", "messages": [{"role": "user", "content": "Hello"}]}


class Picture(NamedTuple):
    """Commands as people type them; {mock} is the demo backend's address, {log} the id of a stream's row."""

    columns: int
    typed: Sequence[str]


PICTURES = {
    "terminal": Picture(
        100,
        (
            "fastgate keys create --source mobile-app",
            "fastgate routes add --match '/v1/*' --to {mock}",
            "fastgate logs tail",
        ),
    ),
    "logs-show": Picture(80, ("fastgate logs show {log}",)),
    "logs-show-wide": Picture(120, ("fastgate logs show {log}",)),
    "metrics-now": Picture(80, ("fastgate metrics now --since 1h",)),
    "top": Picture(80, ("fastgate top --once",)),
    "top-wide": Picture(160, ("fastgate top --once",)),
    "doctor": Picture(80, ("fastgate doctor",)),
}


class Stage:
    """A folder with a configuration, a mock, a gateway, and traffic of the last minute between them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("FASTGATE_")},
            "HOME": str(folder),
            "TERM": "xterm-256color",
            "PYTHONPATH": str(DOCS.parent),
        }
        self._servers: list[subprocess.Popen[str]] = []
        self.mock = ""
        self.log = ""

    def __enter__(self) -> Self:
        self._run("init")
        self._run("config", "set", "audit.include_body", "true")
        self.mock = self._start("mock", "--port", "0", "--ttfb", "120", "--tps", "40")
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        for server in reversed(self._servers):
            server.terminate()
            server.wait(10)

    def play(self, picture: Picture) -> list[tuple[str, str]]:
        """Return each command of a picture with what it printed."""
        played = []
        for typed in picture.typed:
            # What is about traffic needs some, and the gateway that has it; what makes a route comes before.
            if not typed.startswith(("fastgate keys create", "fastgate routes add")) and not self.log:
                self._make_traffic()
            command = typed.format(mock=self.mock, log=self.log)
            played.append((command, self._run_on_terminal(command, picture.columns)))
        return played

    def _make_traffic(self) -> None:
        """Send what the pictures show: plain, streamed, an unknown key, no route."""
        if not self._run("routes", "list", "-o", "id"):
            self._run("routes", "add", "--match", "/v1/*", "--to", self.mock, "--name", "demo")
        keys = [self._run("keys", "create", "--source", source) for source in ("web", "batch")]
        url = self._start("serve", "--port", "0")
        with httpx.Client(base_url=url, trust_env=False) as client:
            for key in keys:
                client.headers["Authorization"] = f"Bearer {key}"
                client.get("/v1/models")
                client.post("/v1/chat/completions", json=BODY)
                client.post("/v1/chat/completions", json={**BODY, "stream": True})
            client.get("/v2/models")
            client.post("/v1/chat/completions", json=BODY, headers={"Authorization": "Bearer fg_unknown"})
        while len(self._run("logs", "list", "-o", "id").split()) < 4 * len(keys):
            time.sleep(0.1)
        self.log = self._run("logs", "list", "--stream", "-n", "1", "-o", "id")

    def _run(self, *arguments: str) -> str:
        return subprocess.run(
            [*FASTGATE, *arguments],
            cwd=self._folder,
            env=self._environ,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()

    def _start(self, *arguments: str) -> str:
        """Start `mock` or `serve` and return its address."""
        server = subprocess.Popen(
            [*FASTGATE, *arguments], cwd=self._folder, env=self._environ, stderr=subprocess.PIPE, text=True
        )
        self._servers.append(server)
        assert server.stderr
        return next(line for line in server.stderr if "listens on" in line).split()[-1]

    def _run_on_terminal(self, command: str, columns: int) -> str:
        """Return what a command prints on a terminal; one that would go on is stopped with Ctrl-C."""
        controller, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, columns, 0, 0))
        process = subprocess.Popen(
            [*FASTGATE, *command.replace("'", "").split()[1:]],
            cwd=self._folder,
            env=self._environ,
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
        )
        os.close(terminal)
        if command.endswith(" tail"):
            time.sleep(FOLLOWED_SECONDS)
            process.send_signal(signal.SIGINT)
        printed = b""
        with closing(os.fdopen(controller, "rb", buffering=0)) as screen:
            try:
                while data := screen.read(65536):
                    printed += data
            except OSError:
                pass  # the other end is closed: the command has ended
        process.wait()
        text = printed.decode().replace("\r\n", "\n").replace("^C", "")
        return text.replace(str(self._folder), "~")


def draw(name: str, picture: Picture) -> None:
    """Record one picture and write its file."""
    with tempfile.TemporaryDirectory() as folder, Path(os.devnull).open("w") as nowhere:
        console = Console(record=True, width=picture.columns, file=nowhere, force_terminal=True)
        with Stage(Path(folder)) as stage:
            for command, printed in stage.play(picture):
                console.print(PROMPT + Text(command, "bold"))
                console.print(Text.from_ansi(printed.strip("\n")))
                console.print()
        console.save_svg(str(DOCS / f"{name}.svg"), title="FastGate")


def main() -> None:
    for name in sys.argv[1:] or PICTURES:
        draw(name, PICTURES[name])


if __name__ == "__main__":
    main()
