"""What `serve` would meet: each thing that can be in its way is a check that failed."""

from __future__ import annotations

import os
import socket
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fastgate_cli.commands.config_checks import Check, check_places, check_port, find_checks
from proxy.listening import bind_listener
from proxy.running import Note, RunningFile
from proxy.settings import Settings, load_settings
from proxy.store.database import open_database
from proxy.store.routes import NewRoute, add_route, list_routes
from proxy.store.state import known_migrations

NOW = datetime(2026, 1, 31, tzinfo=UTC)


def load(folder: Path, text: str = "") -> Settings:
    (folder / "fastgate.yaml").write_text(f"app: {{port: 0}}\ndatabase: {{url: 'sqlite:///f.db'}}\n{text}")
    return load_settings(environ={"HOME": str(folder)}, cwd=folder)


def checks(settings: Settings, folder: Path, **environ: str) -> dict[str, Check]:
    return {check.check: check for check in find_checks(settings, environ, folder)}


@pytest.fixture
def taken() -> Iterator[socket.socket]:
    with bind_listener("127.0.0.1", 0) as listener:
        yield listener


def on_port(folder: Path, port: int) -> Settings:
    (folder / "fastgate.yaml").write_text(f"app: {{port: {port}}}\naudit: {{directory: journal}}\n")
    return load_settings(environ={"HOME": str(folder)}, cwd=folder)


def test_a_new_configuration_is_ok_and_nothing_is_made(tmp_path: Path) -> None:
    found = checks(load(tmp_path), tmp_path)
    assert {check.status for check in found.values()} == {"ok"}
    assert list(found) == ["configuration", "port", "journal", "limits", "database"]
    assert "serve makes it" in found["database"].detail
    assert [path.name for path in tmp_path.iterdir()] == ["fastgate.yaml"]


def test_a_port_that_somebody_else_has_is_a_fault(tmp_path: Path, taken: socket.socket) -> None:
    port = taken.getsockname()[1]
    check = check_port(on_port(tmp_path, port))
    assert (check.status, check.detail) == ("failed", f"port {port} on 127.0.0.1 is in use")
    assert check.fix


def test_a_port_that_this_gateway_holds_is_not(tmp_path: Path, taken: socket.socket) -> None:
    port = taken.getsockname()[1]
    settings = on_port(tmp_path, port)
    with RunningFile(tmp_path / "journal") as running:
        running.write(Note(os.getpid(), f"http://127.0.0.1:{port}", 1, [2], "1.0", 1.5))
        assert check_port(settings).status == "ok"
        running.write(Note(os.getpid(), "http://127.0.0.1:1", 1, [2], "1.0", 1.5))
        assert check_port(settings).status == "failed"


def test_a_free_port_is_free_afterwards_too(tmp_path: Path, taken: socket.socket) -> None:
    port = taken.getsockname()[1]
    taken.close()
    settings = on_port(tmp_path, port)
    assert [check_port(settings).status for _ in range(2)] == ["ok", "ok"]


def test_an_address_that_is_not_this_machines_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "fastgate.yaml").write_text("app: {host: 192.0.2.1, port: 0}\n")
    settings = load_settings(environ={"HOME": str(tmp_path)}, cwd=tmp_path)
    assert check_port(settings).status == "failed"


def test_places_below_a_file_and_of_the_wrong_kind_are_faults(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    settings = load(
        tmp_path,
        "audit: {directory: file}\nrate_limiting: {file: file/limits}\nlogging: {file: folder}\n",
    )
    found = {check.check: check for check in check_places(settings)}
    assert {name: check.status for name, check in found.items()} == dict.fromkeys(
        ("journal", "limits", "log"), "failed"
    )
    assert found["limits"].detail == f"{tmp_path}/file is no folder"
    assert found["log"].fix == "set logging.file"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everything")
def test_a_place_that_cannot_be_written_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "shut").mkdir(mode=0o500)
    (check,) = check_places(
        load(tmp_path, "audit: {directory: shut/journal}\nrate_limiting: {enabled: false}\n")
    )
    assert (check.status, "cannot be written" in check.detail) == ("failed", True)


def test_what_is_not_used_is_not_looked_at(tmp_path: Path) -> None:
    text = "audit: {enabled: false}\nrate_limiting: {enabled: false}\n"
    assert list(check_places(load(tmp_path, text))) == []


def test_a_database_that_cannot_be_used_is_a_fault_and_stays(tmp_path: Path) -> None:
    (tmp_path / "f.db").write_bytes(b"no database at all" * 100)
    found = checks(load(tmp_path), tmp_path)
    assert found["database"].status == "failed"
    assert "routes" not in found
    assert (tmp_path / "f.db").read_bytes() == b"no database at all" * 100


def test_pending_migrations_are_a_warning_and_stay_pending(tmp_path: Path) -> None:
    (tmp_path / "f.db").write_bytes(b"")
    check = checks(load(tmp_path), tmp_path)["database"]
    assert check.status == "warning"
    assert known_migrations()[-1] in check.detail
    assert "db upgrade" in check.fix


def test_routes_that_refer_to_nothing_are_faults_each(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s3cret\n")
    references = {
        "env": "Bearer ${env:NOSUCH}",
        "file": "${file:nosuch}",
        "good": "${file:secret}",
        "off": "${env:NO}",
    }
    with open_database(tmp_path / "f.db", create=True) as database:
        for name, value in references.items():
            route = NewRoute("/v1/*", "a:1", route_id=name, add_headers={"X-Key": value})
            add_route(database, replace(route, is_active=name != "off"), NOW)
    found = checks(load(tmp_path), tmp_path)
    assert [(name, check.status) for name, check in found.items() if name.startswith("route")] == [
        ("route env", "failed"),
        ("route file", "failed"),
    ]
    assert "${env:NOSUCH}" in found["route env"].detail
    found = checks(load(tmp_path), tmp_path, NOSUCH="x")
    assert "route env" not in found
    assert "s3cret" not in repr(found)


def test_a_route_that_would_be_left_out_is_a_fault(tmp_path: Path) -> None:
    with open_database(tmp_path / "f.db", create=True) as database:
        for name in ("odd", "broken", "good"):
            add_route(database, NewRoute("/v1/*", "a:1", route_id=name), NOW)
    with sqlite3.connect(tmp_path / "f.db") as connection:
        connection.execute("UPDATE proxy_routes SET match_headers = '{oops' WHERE route_id = 'odd'")
        connection.execute("UPDATE proxy_routes SET match_path = 'oops' WHERE route_id = 'broken'")
    connection.close()
    found = checks(load(tmp_path), tmp_path)
    failed = {name for name, check in found.items() if check.status == "failed"}
    assert failed == {"route odd", "route broken"}
    with open_database(tmp_path / "f.db", create=False) as database:
        assert len(list_routes(database)) == 3
