"""All checks together: on a sound machine, on one where nothing is set up, and where one of them breaks."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from proxy.checks import examination
from proxy.checks.examination import Subject, examine, examine_broken
from proxy.checks.result import Check
from proxy.errors import ConfigurationError, InvalidInputError, Problem
from proxy.settings import Settings, database_path
from proxy.store.database import open_database
from proxy.store.keys import create_key
from proxy.store.routes import NewRoute, add_route
from tests.hardening.faults import FaultBackend

NOW = datetime.now(UTC)
ALWAYS = ["configuration", "permissions", "database"]
LAST = ["clock", "open files"]


def subject_of(settings: Settings, folder: Path) -> Subject:
    return Subject(settings, {}, folder, NOW, 10.0)


def snapshot_of(folder: Path) -> dict[str, tuple[int, int]]:
    """Return everything below a folder with its size and the time of its last change."""
    found = {str(path): path.stat() for path in folder.rglob("*")}
    return {name: (status.st_size, status.st_mtime_ns) for name, status in found.items()}


@pytest.fixture
def backend() -> Iterator[FaultBackend]:
    made = FaultBackend()
    yield made
    made.close()


def test_a_sound_configuration_passes_in_order_and_nothing_is_touched(
    settings: Settings, tmp_path: Path, backend: FaultBackend
) -> None:
    with open_database(database_path(settings), create=False) as database:
        create_key(database, key_prefix="fg_", now=NOW)
        add_route(database, NewRoute("/v1/*", f"127.0.0.1:{backend.port}"), NOW)
    before = snapshot_of(tmp_path)
    checks = list(examine(subject_of(settings, tmp_path)))
    assert snapshot_of(tmp_path) == before
    middle = ["integrity", "disk", "journal", "limits", "port", "gateway", "routes", "backend", "keys"]
    assert [check.check for check in checks] == [*ALWAYS, *middle, *LAST]
    assert {check.status for check in checks if check.check not in ("gateway", "disk", "open files")} == {
        "passed"
    }
    assert all(bool(check.fix) is (check.status != "passed") for check in checks)
    assert backend.calls == []


def test_a_database_that_no_gateway_could_write_has_failed_and_hides_nothing(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = database_path(settings)
    monkeypatch.setattr("os.access", lambda place, _: place != path)  # root may write anywhere
    found = {check.check: check.status for check in examine(subject_of(settings, tmp_path))}
    assert (found["database"], found["integrity"]) == ("failed", "passed")
    assert "keys" in found


def test_where_nothing_is_set_up_the_rest_is_told_and_nothing_made(bare: Settings, tmp_path: Path) -> None:
    before = snapshot_of(tmp_path)
    checks = list(examine(subject_of(bare, tmp_path)))
    assert snapshot_of(tmp_path) == before
    middle = ["disk", "journal", "limits", "port", "gateway"]
    assert [check.check for check in checks] == [*ALWAYS, *middle, *LAST]
    assert "failed" not in {check.status for check in checks}


@pytest.mark.parametrize(
    ("function", "name"),
    [
        ("check_permissions", "permissions"),
        ("examining", "database"),
        ("check_integrity", "integrity"),
        ("check_room", "disk"),
        ("check_journal", "journal"),
        ("check_retention", "retention"),
        ("check_places", "places"),
        ("check_port", "port"),
        ("check_metrics", "metrics"),
        ("find_gateway", "gateway"),
        ("check_gateway", "gateway"),
        ("check_served", "gateway"),
        ("find_active_routes", "routes"),
        ("check_routes", "routes"),
        ("check_backends", "backend"),
        ("check_keys", "keys"),
        ("check_clock", "clock"),
        ("check_open_files", "open files"),
    ],
)
@pytest.mark.parametrize("error", [RuntimeError("s3cret"), InvalidInputError("told", hint="mend it")])
def test_a_check_that_breaks_has_failed_and_the_others_go_on(
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    function: str,
    name: str,
    error: Exception,
) -> None:
    def broken(*_: object, **__: object) -> Iterator[Check]:
        raise error

    monkeypatch.setattr(examination, function, broken)
    checks = list(examine(subject_of(settings, tmp_path)))
    (failed,) = [check for check in checks if check.status == "failed"]
    assert failed.check == name
    assert failed.fix
    assert "s3cret" not in repr(checks)
    assert [check.check for check in checks][-1] == "open files"


def test_a_configuration_that_cannot_be_used_is_told_with_its_places() -> None:
    error = ConfigurationError(
        [Problem("odd", "a.yaml", 1, 2), Problem("bad", "a.yaml", 3, 4)], hint="mend it"
    )
    first, second, clock = examine_broken(error, NOW)
    assert [first.status, second.status, clock.check] == ["failed", "failed", "clock"]
    assert (first.detail, second.detail) == ("a.yaml:1:2: odd", "a.yaml:3:4: bad")
    assert first.fix == "mend it"
    other, _ = examine_broken(InvalidInputError("odd", hint="x"), NOW)
    assert (other.check, other.detail) == ("configuration", "odd")
