"""`fastgate quickstart`: what it tells to paste, and what it refuses before it makes anything."""

from __future__ import annotations

import json
import re
import shlex
import socketserver
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastgate_cli.commands.quickstart import build_curl, build_tail_command
from fastgate_cli.context import Invocation

Cli = Callable[..., subprocess.CompletedProcess[str]]
TerminalCli = Callable[..., tuple[int, str]]


@settings(max_examples=30)
@given(st.text(min_size=1))
def test_a_shell_reads_the_curl_line_as_it_is_meant_whatever_the_model(model: str) -> None:
    lines = build_curl("http://127.0.0.1:8514", "fg_key", model)
    assert [line.endswith(" \\") for line in lines] == [True, True, True, False]
    words = shlex.split(" ".join(line.removesuffix(" \\") for line in lines))
    assert words[:3] == ["curl", "-N", "http://127.0.0.1:8514/v1/chat/completions"]
    assert words[3:7] == ["-H", "Authorization: Bearer fg_key", "-H", "Content-Type: application/json"]
    body = json.loads(words[8])
    assert (words[7], body["model"], body["stream"]) == ("-d", model, True)


def test_a_model_that_is_not_known_is_left_to_be_filled_in() -> None:
    assert '"model":"MODEL"' in build_curl("http://127.0.0.1:8514", "fg_key", None)[-1]


def test_the_log_is_watched_with_the_same_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    environ = {"HOME": str(tmp_path / "home")}
    for name in ("fastgate.yaml", "my gate.yaml"):
        (tmp_path / name).write_text("app: {port: 0}\n")
    assert build_tail_command(Invocation(None, environ)) == "fastgate logs tail"
    other = tmp_path / "my gate.yaml"
    assert build_tail_command(Invocation(other, environ)) == f"fastgate -c '{other}' logs tail"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--upstream", "ftp://x"],
        ["--upstream", "http://127.0.0.1:1/api"],
        ["--port", "70000"],
        ["--check", "--fields", "nope"],
        ["--check", "--json", "-o", "csv"],
    ],
)
def test_misuse_is_one_error_and_makes_nothing(cli: Cli, tmp_path: Path, arguments: list[str]) -> None:
    refused = cli("quickstart", *arguments)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "error" in refused.stderr.splitlines()[0]
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


@contextmanager
def hang_up_on(port: int) -> Iterator[None]:
    """Listen, and close every connection without a word."""

    class Server(socketserver.TCPServer):
        allow_reuse_address = True

    with Server(("127.0.0.1", port), socketserver.BaseRequestHandler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("part", ["gateway", "mock"])
def test_a_port_that_something_else_has_names_the_option_and_makes_no_database(
    cli: Cli, tmp_path: Path, free_port: int, part: str
) -> None:
    with hang_up_on(free_port + (part == "mock")):
        refused = cli("quickstart", "--port", str(free_port))
    assert (refused.returncode, refused.stdout) == (2, "")
    *_, error, hint = refused.stderr.splitlines()
    assert error.endswith(f"on 127.0.0.1 is in use, and not by a {part}")
    assert "--port" in hint
    assert not (tmp_path / "data").exists()


def test_a_terminal_is_told_what_to_paste_once_and_an_interrupt_ends_it(
    terminal_cli: TerminalCli, free_port: int
) -> None:
    port = str(free_port)
    code, screen = terminal_cli("quickstart", "--port", port, interrupted_at="Ctrl-C stops it.")
    assert code == 0, screen
    lines = screen.splitlines()
    assert [line for line in lines if len(line) > 80 and not line.startswith("    -d '{")] == []
    told = [line for line in lines if line.strip("^C ")]
    assert len(told) == len(set(told))
    assert f"FastGate listens on http://127.0.0.1:{port}" in lines
    assert re.search(r"Bearer fg_\w{36}'", screen)
    assert "Traceback" not in screen
    # Again, with everything there: nothing is made.
    code, screen = terminal_cli("quickstart", "--port", port, "--check", env={"NO_COLOR": "1"})
    assert code == 0, screen
    lines = [line.rstrip() for line in screen.splitlines()]
    assert max(map(len, lines)) <= 80
    assert not any(line.startswith(("wrote", "created", "the route")) for line in lines)
    assert [line.split()[0] for line in lines if "You said" in line] == ["plain", "streamed"]
    table = next(number for number, line in enumerate(lines) if line.startswith("TIME"))
    assert [line.split()[2] for line in lines[table + 1 : table + 3]] == ["200", "200"]
    assert lines[-1] == "the gateway answers as the backend does"


def test_help_opens_with_examples_in_80_columns(cli: Cli) -> None:
    page = cli("quickstart", "-h").stdout
    assert page.startswith("Examples:\n  fastgate quickstart")
    assert max(map(len, page.splitlines())) <= 80
