"""The snapshot follows the database, and outlives it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from proxy.errors import DatabaseError
from proxy.gateway.snapshot import SnapshotSource
from proxy.policy.credentials import digest_secret
from proxy.store.database import Database, open_database
from proxy.store.key_changes import rotate_key
from proxy.store.keys import create_key, set_keys_active
from proxy.store.models import ApiKeyRow, ProxyRouteRow
from proxy.store.routes import NewRoute, add_route, delete_routes

Fixture = Any
RELOAD_SECONDS_MAX = 1.0


def wait_until(condition: Callable[[], bool], seconds: float = RELOAD_SECONDS_MAX) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.005)


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "fastgate.db"


@pytest.fixture
def database(path: Path) -> Iterator[Database]:
    with open_database(path, create=True) as opened:
        yield opened


@pytest.fixture
def source(database: Database, path: Path, tmp_path: Path) -> Iterator[SnapshotSource]:
    made = SnapshotSource(
        lambda: open_database(path, create=False), environ={"TOKEN": "s3cr3t"}, folder=tmp_path
    )
    yield made
    made.stop()


def test_the_snapshot_says_whether_the_gateway_answers_preflights(path: Path, tmp_path: Path) -> None:
    with open_database(path, create=True) as database:
        for has_cors in (False, True):
            source = SnapshotSource(lambda: database, environ={}, folder=tmp_path, has_cors=has_cors)
            source.refresh(database)
            assert source.current.has_cors is has_cors


def test_a_change_counts_with_the_next_look_and_there_are_some_within_a_second(tmp_path: Path) -> None:
    path = tmp_path / "fastgate.db"
    open_database(path, create=True).close()
    source = SnapshotSource(lambda: open_database(path, create=False), environ={}, folder=tmp_path)
    seen: list[int] = []

    class Looks(threading.Event):
        """What the source waits with between two looks: each time a key comes, and nobody waits."""

        def wait(self, timeout: float | None = None) -> bool:
            assert timeout is not None
            assert 2 * timeout <= 1
            seen.append(source.current.count_keys())
            with open_database(path, create=False) as database:
                create_key(database, key_prefix="fg_", now=datetime.now(UTC))
            if len(seen) == 4:
                self.set()
            return self.is_set()

    source._stopping = Looks()
    source.start()
    source._thread.join(30)
    assert seen == [0, 1, 2, 3]


def test_the_first_snapshot_is_there_when_start_returns(database: Database, source: SnapshotSource) -> None:
    row, secret = create_key(database, key_prefix="fg_", now=now())
    add_route(database, NewRoute("/v1/*", "h:1"), now())
    source.start()
    assert source.current.keys[digest_secret(secret.encode())].key.key_id == row["key_id"]
    assert source.current.routes.size == 1


def test_changes_count_within_a_second(database: Database, source: SnapshotSource) -> None:
    source.start()
    row, secret = create_key(database, key_prefix="fg_", now=now())
    digest = digest_secret(secret.encode())
    wait_until(lambda: digest in source.current.keys)
    set_keys_active(database, False, key_ids=[row["key_id"]], now=now())
    wait_until(lambda: not source.current.keys[digest].key.is_active)
    route = add_route(database, NewRoute("/v1/*", "h:1"), now())
    wait_until(lambda: source.current.routes.size == 1)
    delete_routes(database, [route["route_id"]])
    wait_until(lambda: source.current.routes.size == 0)


def test_a_rotated_key_is_there_under_both_its_digests(database: Database, source: SnapshotSource) -> None:
    row, secret = create_key(database, key_prefix="fg_", permissions=["/v1/*"], now=now())
    source.start()
    hour = timedelta(hours=1)
    rotation = rotate_key(database, row["key_id"], key_prefix="fg_", grace=hour, now=now())
    old, new = digest_secret(secret.encode()), digest_secret(rotation.secret.encode())
    wait_until(lambda: new in source.current.keys)
    entries = source.current.keys
    assert {digest: entry.key.is_previous for digest, entry in entries.items()} == {new: False, old: True}
    assert {entry.key.key_id for entry in entries.values()} == {row["key_id"]}
    assert all(entry.permissions.rules for entry in entries.values())
    assert source.current.count_keys() == 1


def test_nothing_is_built_while_nothing_changes(database: Database, source: SnapshotSource) -> None:
    source.refresh(database)
    first = source.current
    source.refresh(database)
    assert source.current is first


def test_a_missing_database_stops_the_start(path: Path, tmp_path: Path) -> None:
    source = SnapshotSource(lambda: open_database(path, create=False), environ={}, folder=tmp_path)
    with pytest.raises(DatabaseError):
        source.start()
    source.stop()


def test_the_last_snapshot_stays_while_the_database_is_gone_and_the_next_one_is_taken_up(
    database: Database, source: SnapshotSource, path: Path, log: Fixture
) -> None:
    _, secret = create_key(database, key_prefix="fg_", now=now())
    source.start()
    database.close()
    for file in path.parent.glob("fastgate.db*"):
        file.unlink()
    wait_until(lambda: "keys and routes stay as they were" in log.text)
    assert digest_secret(secret.encode()) in source.current.keys
    # Another database with the same revision and other keys: as after a restored backup.
    with open_database(path, create=True) as other:
        _, new_secret = create_key(other, key_prefix="fg_", now=now())
    wait_until(lambda: digest_secret(new_secret.encode()) in source.current.keys, 5)
    assert digest_secret(secret.encode()) not in source.current.keys
    assert log.text.count("keys and routes stay as they were") <= 3


def test_a_fault_that_nobody_foresaw_does_not_end_the_following(
    database: Database, path: Path, tmp_path: Path, log: Fixture
) -> None:
    is_broken = threading.Event()

    def open_or_fail() -> Database:
        if is_broken.is_set():
            raise ZeroDivisionError("a bug")
        return open_database(path, create=False)

    source = SnapshotSource(open_or_fail, environ={}, folder=tmp_path)
    with open_database(path, create=False) as opened:
        source.refresh(opened)
    is_broken.set()
    source._thread.start()
    wait_until(lambda: "ZeroDivisionError" in log.text)
    is_broken.clear()
    _, secret = create_key(database, key_prefix="fg_", now=now())
    wait_until(lambda: digest_secret(secret.encode()) in source.current.keys)
    source.stop()
    assert log.text.count("Traceback") == 1


def test_references_are_resolved_and_a_route_without_its_secret_is_left_out(
    database: Database, source: SnapshotSource, log: Fixture
) -> None:
    add_route(database, NewRoute("/a/*", "h:1", add_headers={"authorization": "Bearer ${env:TOKEN}"}), now())
    broken = NewRoute("/b/*", "h:1", route_id="rt_b", add_headers={"authorization": "x${env:ABSENT}y"})
    add_route(database, broken, now())
    source.refresh(database)
    (compiled,) = source.current.routes.candidates(b"/a/x")
    assert compiled.header_rules.added == ((b"authorization", b"Bearer s3cr3t"),)
    assert source.current.routes.size == 1
    assert "rt_b" in log.text
    assert "${env:ABSENT}" in log.text
    assert "s3cr3t" not in log.text + repr(source.current)
    stored = ProxyRouteRow.select(ProxyRouteRow.add_headers)
    assert "s3cr3t" not in repr(database.fetch(stored))


def test_what_cannot_be_compiled_is_left_out_alone(
    database: Database, source: SnapshotSource, log: Fixture
) -> None:
    row, _ = create_key(database, key_prefix="fg_", now=now())
    bad, _ = create_key(database, key_prefix="fg_", now=now())
    add_route(database, NewRoute("/good/*", "h:1"), now())
    add_route(database, NewRoute("/bad/*", "h:1", route_id="rt_bad"), now())
    with database.transaction():
        ApiKeyRow.update(permissions=["no permission"]).where(ApiKeyRow.key_id == bad["key_id"]).execute(
            database.peewee
        )
        ProxyRouteRow.update(match_path="/{").where(ProxyRouteRow.route_id == "rt_bad").execute(
            database.peewee
        )
    source.refresh(database)
    assert [entry.key.key_id for entry in source.current.keys.values()] == [row["key_id"]]
    assert source.current.routes.size == 1
    assert bad["key_id"] in log.text
    assert "rt_bad" in log.text


def test_stripped_headers_reach_the_rules(database: Database, path: Path, tmp_path: Path) -> None:
    add_route(database, NewRoute("/a/*", "h:1"), now())
    source = SnapshotSource(
        lambda: open_database(path, create=False), strip_headers=("X-Mine",), environ={}, folder=tmp_path
    )
    source.refresh(database)
    assert b"x-mine" in source.current.routes.candidates(b"/a/x")[0].header_rules.dropped
