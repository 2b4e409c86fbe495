"""`fastgate serve`: what it is told, what it tells, and how it fails before it serves."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from itertools import islice
from pathlib import Path

import pytest

from fastgate_cli.commands.serve import describe_address, list_missing, override_address
from fastgate_cli.context import Invocation
from proxy.clock import from_us, now_us
from proxy.store.database import open_database
from proxy.store.keys import create_key
from proxy.store.routes import NewRoute, add_route

Cli = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.parametrize(
    ("host", "port", "shown"),
    [(None, None, ("127.0.0.9", 7000)), ("::1", None, ("::1", 7000)), (None, 0, ("127.0.0.9", 0))],
)
def test_options_are_stronger_than_the_configuration(
    tmp_path: Path, host: str | None, port: int | None, shown: tuple[str, int]
) -> None:
    path = tmp_path / "fastgate.yaml"
    path.write_text("app: {host: 127.0.0.9, port: 7000, name: Mine}\n")
    app = override_address(Invocation(path, {"HOME": str(tmp_path)}), host, port).settings.app
    assert (app.host, app.port) == shown
    assert app.name == "Mine"


def test_the_number_of_workers_is_chosen_too(tmp_path: Path) -> None:
    invocation = Invocation(environ={"HOME": str(tmp_path), "FASTGATE_APP_WORKERS": "3"})
    invocation.folder = tmp_path
    assert override_address(invocation, None, None).settings.app.workers == 3
    assert override_address(invocation, None, None, 5).settings.app.workers == 5


def test_an_address_is_a_url_that_a_browser_takes() -> None:
    assert describe_address("127.0.0.1", 8514) == "http://127.0.0.1:8514"
    assert describe_address("::1", 80) == "http://[::1]:80"


def test_what_a_gateway_still_lacks_is_listed(tmp_path: Path) -> None:
    now = from_us(now_us())
    with open_database(tmp_path / "fastgate.db", create=True) as database:
        create_key(database, key_prefix="fg_", expires_at=now, now=now - timedelta(days=1))
        assert [note.split(" yet: ")[0] for note in list_missing(database, now)] == [
            "no active key",
            "no active route",
        ]
        create_key(database, key_prefix="fg_", now=now)
        add_route(database, NewRoute(match_path="/v1/*", target_host="127.0.0.1:9"), now)
        assert list_missing(database, now) == []


def test_it_makes_the_database_says_where_it_listens_and_ends_with_0(
    environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "fastgate.yaml").write_text("database: {url: 'sqlite:///data/fastgate.db'}\n")
    command = [sys.executable, "-m", "fastgate_cli", "serve", "--port", "0"]
    gateway = subprocess.Popen(command, env=environment, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    assert gateway.stderr
    # The log goes to the same stream; its lines begin with a time.
    told = (line.rstrip("\n") for line in gateway.stderr if not line.startswith("20"))
    lines = list(islice(told, 3))
    gateway.send_signal(signal.SIGINT)
    rest = gateway.stderr.read()
    gateway.stderr.close()
    assert gateway.wait(15) == 0, rest
    assert lines[0].startswith("FastGate listens on http://127.0.0.1:")
    assert [line.split(":")[0] for line in lines[1:]] == ["no active key yet", "no active route yet"]
    assert "Traceback" not in rest
    assert (tmp_path / "data" / "fastgate.db").stat().st_mode & 0o777 == 0o600


def test_a_port_in_use_is_one_error_that_names_the_option(cli: Cli) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        refused = cli("serve", "--port", str(taken.getsockname()[1]))
    assert (refused.returncode, refused.stdout) == (2, "")
    error, hint = refused.stderr.splitlines()
    assert error.endswith("on 127.0.0.1 is in use")
    assert "--port" in hint


@pytest.mark.parametrize(
    "arguments",
    [
        ["--port", "65536"],
        ["--port", "http"],
        ["--workers"],
        ["--workers", "0"],
        ["--workers", "65"],
        ["extra"],
    ],
)
def test_misuse_is_refused_and_makes_nothing(
    cli: Cli, environment: dict[str, str], arguments: list[str]
) -> None:
    refused = cli("serve", *arguments)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert len(refused.stderr.splitlines()) == 2
    assert not Path(environment["XDG_DATA_HOME"]).exists()


def test_help_opens_with_examples_in_80_columns(cli: Cli) -> None:
    page = cli("serve", "-h").stdout
    assert page.startswith("Examples:\n  fastgate serve")
    assert max(map(len, page.splitlines())) <= 80
