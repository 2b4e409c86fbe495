"""What `serve` would meet: each thing that can be in its way is a check that failed."""

from __future__ import annotations

import socket
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from proxy.checks.configuration import examine_configuration
from proxy.checks.examination import Subject
from proxy.checks.result import Check
from proxy.errors import DatabaseError
from proxy.settings import load_settings
from proxy.store.database import open_database
from proxy.store.routes import NewRoute, add_route

NOW = datetime(2026, 1, 31, tzinfo=UTC)


def checks(folder: Path, text: str = "", *, port: int = 0, **environ: str) -> list[Check]:
    file = folder / "fastgate.yaml"
    file.write_text(f"app: {{port: {port}}}\ndatabase: {{url: 'sqlite:///f.db'}}\n{text}")
    settings = load_settings(environ={"HOME": str(folder)}, cwd=folder)
    return list(examine_configuration(Subject(settings, environ, folder, NOW, 1.0)))


def statuses(found: list[Check]) -> dict[str, str]:
    return {check.check: check.status for check in found}


def test_a_new_configuration_has_no_fault_and_nothing_is_made(tmp_path: Path) -> None:
    assert statuses(checks(tmp_path)) == {
        "configuration": "passed",
        "port": "passed",
        "journal": "passed",
        "limits": "passed",
        "database": "warning",
    }
    assert [path.name for path in tmp_path.iterdir()] == ["fastgate.yaml"]


def test_a_port_that_is_taken_and_a_journal_that_cannot_be_are_faults(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        found = checks(tmp_path, "audit: {directory: file/journal}\n", port=taken.getsockname()[1])
    assert {name for name, status in statuses(found).items() if status == "failed"} == {"port", "journal"}


def test_a_database_that_cannot_be_used_is_a_fault_and_stays(tmp_path: Path) -> None:
    (tmp_path / "f.db").write_bytes(b"no database at all" * 100)
    found = statuses(checks(tmp_path))
    assert found["database"] == "failed"
    assert "routes" not in found
    assert (tmp_path / "f.db").read_bytes() == b"no database at all" * 100


def test_a_database_that_cannot_be_written_is_a_fault_and_its_routes_are_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "f.db"
    open_database(path, create=True).close()
    monkeypatch.setattr("os.access", lambda place, _: place != path)  # root may write anywhere
    with pytest.raises(DatabaseError, match="cannot be written"):
        open_database(path, create=True)  # which is how the gateway opens it
    found = checks(tmp_path)
    assert (statuses(found)["database"], "routes" in statuses(found)) == ("failed", True)


def test_references_to_nothing_are_faults_where_the_gateway_is_to_be_started(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s3cret\n")
    headers = {"env": "${env:NOSUCH}", "file": "${file:nosuch}", "good": "${file:secret}", "off": "${env:NO}"}
    with open_database(tmp_path / "f.db", create=True) as database:
        for name, value in headers.items():
            route = NewRoute("/v1/*", "a:1", route_id=name, add_headers={"X-Key": value})
            add_route(database, replace(route, is_active=name != "off"), NOW)
    faults = [check.detail for check in checks(tmp_path) if check.status == "failed"]
    assert [fault.partition(":")[0] for fault in faults] == ["env", "file"]
    found = checks(tmp_path, NOSUCH="value")
    assert [check.detail.partition(":")[0] for check in found if check.status == "failed"] == ["file"]
    assert "s3cret" not in repr(found)


def test_a_route_that_would_be_left_out_is_a_fault(tmp_path: Path) -> None:
    with open_database(tmp_path / "f.db", create=True) as database:
        for name in ("broken", "good"):
            add_route(database, NewRoute("/v1/*", "a:1", route_id=name), NOW)
        database.connection().execute("UPDATE proxy_routes SET match_path = 'oops' WHERE route_id = 'broken'")
    (fault,) = [check for check in checks(tmp_path) if check.status == "failed"]
    assert fault.detail.startswith("broken cannot be used")
