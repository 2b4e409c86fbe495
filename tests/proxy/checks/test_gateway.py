"""The port, the gateway that runs, and what it says of itself: of real processes and sockets."""

from __future__ import annotations

import http.server
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from proxy import __version__
from proxy.checks.gateway import (
    Gateway,
    ask_health,
    check_gateway,
    check_metrics,
    check_port,
    check_served,
    find_gateway,
    is_alive,
)
from proxy.checks.result import Check
from proxy.running import Note, RunningFile
from proxy.settings import Settings
from tests.ports import reserve_port
from tests.proxy.gateways import ServedGateway

HEALTH = {"status": "healthy", "version": __version__, "routes": 1}


def note_of(**changes: Any) -> Note:
    fields = {"pid": 1, "address": "http://127.0.0.1:1", "workers": 1, "worker_pids": [os.getpid()]}
    return Note(**{**fields, "version": __version__, "started": 1.0, **changes})


def at_port(settings: Settings, port: int) -> Settings:
    return replace(settings, app=replace(settings.app, port=port))


def only(checks: Iterator[Check]) -> Check:
    (check,) = checks
    return check


@contextmanager
def page(body: bytes, prefix: str = "") -> Iterator[str]:
    """Serve one page at `/health` below a prefix."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == f"{prefix}/health" else 404)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_free_port_is_free_and_stays_so(bare: Settings) -> None:
    with reserve_port() as port:
        with socket.create_server(("127.0.0.1", port)):
            check = only(check_port(at_port(bare, port), Gateway()))
            assert (check.status, check.detail) == ("failed", f"port {port} on 127.0.0.1 is in use")
            assert f":{port}" in check.fix
            mine = Gateway(note_of(pid=77, address=f"http://127.0.0.1:{port}"))
            check = only(check_port(at_port(bare, port), mine))
            held = f"{port} on 127.0.0.1 is held by this gateway (77)"
            assert (check.status, check.detail) == ("passed", held)
            other = Gateway(note_of(address="http://127.0.0.1:1"))
            assert only(check_port(at_port(bare, port), other)).status == "failed"
        assert only(check_port(at_port(bare, port), Gateway())).status == "passed"
        with socket.create_server(("127.0.0.1", port)):
            pass
    assert only(check_port(at_port(bare, 0), Gateway())).status == "passed"


def test_that_none_runs_is_no_fault(bare: Settings) -> None:
    gateway = find_gateway(bare, 1)
    assert gateway.note is None
    check = only(check_gateway(gateway))
    assert (check.status, check.fix) == ("warning", "fastgate serve")
    assert not bare.audit.directory.exists()


def test_a_gateway_is_asked_how_it_is(tmp_path: Path, bare: Settings) -> None:
    served = ServedGateway(tmp_path)
    try:
        settings = replace(bare, audit=replace(bare.audit, directory=served.journal))
        gateway = find_gateway(settings, 15)
        assert gateway.note is not None
        assert gateway.note.pid == served.process.pid
        assert gateway.routes == 1
        assert only(check_gateway(gateway)).status == "passed"
        assert only(check_port(at_port(settings, served.port), gateway)).status == "passed"
    finally:
        served.close()
    assert find_gateway(settings, 1).note is None


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"<html>"])
def test_a_page_that_is_not_its_own_is_no_answer(bare: Settings, body: bytes) -> None:
    with RunningFile(bare.audit.directory) as running, page(body) as address:
        running.write(note_of(address=address))
        check = only(check_gateway(find_gateway(bare, 5)))
    assert check.status == "failed"
    assert address in check.detail


def test_a_gateway_that_does_not_answer_has_failed(bare: Settings) -> None:
    with RunningFile(bare.audit.directory) as running, socket.create_server(("127.0.0.1", 0)) as silent:
        running.write(note_of(address=f"http://127.0.0.1:{silent.getsockname()[1]}"))
        gateway = find_gateway(bare, 0.1)
    assert gateway.health is None
    assert only(check_gateway(gateway)).status == "failed"


def test_the_page_is_below_the_configured_prefix() -> None:
    with page(json.dumps(HEALTH).encode(), "/-") as address:
        assert ask_health(address, "/-", 5) == HEALTH


@pytest.mark.parametrize(
    ("note", "health", "status", "words"),
    [
        ({}, {}, "passed", "healthy"),
        ({"version": "0.0.1"}, {}, "warning", "0.0.1"),
        ({}, {"version": "9.9.9"}, "warning", "9.9.9"),
        ({}, {"status": "unhealthy"}, "failed", "unhealthy"),
        ({"trouble": "it is odd"}, {}, "warning", "it is odd"),
        ({"worker_pids": [2**22 + 1]}, {}, "failed", str(2**22 + 1)),
        ({"is_stopping": True}, {}, "warning", "is stopping"),
    ],
)
def test_what_is_wrong_with_it_is_told(
    note: dict[str, Any], health: dict[str, Any], status: str, words: str
) -> None:
    check = only(check_gateway(Gateway(note_of(**note), {**HEALTH, **health})))
    assert check.status == status
    assert words in check.detail
    assert bool(check.fix) is (status != "passed")


def test_routes_that_it_leaves_out_are_told_when_it_has_had_time(bare: Settings) -> None:
    waits: list[float] = []

    def check(served: int, then: int, active: int) -> list[str]:
        waits.clear()
        with (
            RunningFile(bare.audit.directory) as running,
            page(json.dumps({**HEALTH, "routes": then}).encode()) as address,
        ):
            running.write(note_of(address=address))
            gateway = Gateway(note_of(address=address), {**HEALTH, "routes": served})
            found = check_served(bare, gateway, lambda: active, 5, waits.append)
            return [one.detail for one in found]

    assert check(2, 2, 2) == []
    assert waits == []
    assert check(1, 2, 2) == []
    assert len(waits) == 1
    (detail,) = check(1, 1, 2)
    assert detail.startswith("it serves 1 of 2 active routes")
    assert list(check_served(bare, Gateway(), lambda: 5, 5, waits.append)) == []


def test_a_process_is_alive_until_it_is_collected() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert is_alive(process.pid)
    process.kill()
    process.communicate()
    assert not is_alive(process.pid)
    assert is_alive(1)


def test_metrics_that_nobody_may_read_are_told_of(settings: Settings) -> None:
    assert not list(check_metrics(settings))
    wide = replace(settings, app=replace(settings.app, host="0.0.0.0"))
    check = only(check_metrics(wide))
    assert check.status == "warning"
    assert "security.admin_token" in check.fix
    guarded = replace(wide, security=replace(wide.security, admin_token="t" * 20))
    assert not list(check_metrics(guarded))
