"""`fastgate mock`: where it listens, how slow it can be made, and how it ends."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from proxy.mock.openai import MODEL_ID

Cli = Callable[..., subprocess.CompletedProcess[str]]
TTFB_SECONDS = 0.15


def test_it_says_where_it_listens_waits_as_told_and_ends_with_0(
    environment: dict[str, str], tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "fastgate_cli", "mock", "--port", "0", "--ttfb", "150", "--tps", "100"]
    mock = subprocess.Popen(command, env=environment, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    assert mock.stderr
    url = mock.stderr.readline().split()[-1]
    question = {"model": MODEL_ID, "messages": [{"role": "user", "content": "hi"}], "stream": True}
    with httpx.Client(base_url=url, trust_env=False) as client:
        assert client.get("/v1/models").json()["data"][0]["id"] == MODEL_ID
        asked = time.monotonic()
        with client.stream("POST", "/v1/chat/completions", json=question) as response:
            arrivals = [time.monotonic() - asked for _ in response.iter_raw()]
    assert arrivals[0] >= TTFB_SECONDS
    assert arrivals[-1] - arrivals[0] >= 0.05
    mock.send_signal(signal.SIGTERM)
    assert mock.wait(10) == 0
    assert mock.stderr.read() == ""
    mock.stderr.close()
    # It is a backend: it has neither configuration nor database.
    assert [path.name for path in tmp_path.iterdir()] == ["home"]
    assert list((tmp_path / "home").iterdir()) == []


def test_a_port_in_use_is_one_error_that_names_the_option(cli: Cli) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        refused = cli("mock", "--port", str(taken.getsockname()[1]))
    assert (refused.returncode, refused.stdout) == (2, "")
    error, hint = refused.stderr.splitlines()
    assert error.endswith("on 127.0.0.1 is in use")
    assert "--port" in hint


@pytest.mark.parametrize(
    "arguments", [["--tps", "-1"], ["--ttfb", "-1"], ["--port", "65536"], ["--tps", "x"]]
)
def test_misuse_is_refused(cli: Cli, arguments: list[str]) -> None:
    refused = cli("mock", *arguments)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith(f"error: invalid value for '{arguments[0]}'")


def test_help_opens_with_examples_in_80_columns(cli: Cli) -> None:
    page = cli("mock", "-h").stdout
    assert page.startswith("Examples:\n  fastgate mock")
    assert max(map(len, page.splitlines())) <= 80
