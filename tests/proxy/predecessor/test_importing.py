"""A plan is written whole or not at all, and clients, routes and requests are found again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from proxy.policy.credentials import digest_secret
from proxy.predecessor.importing import find_clashes, write_plan
from proxy.predecessor.plan import ImportRefusedError, OnConflict, Part, Plan, Wishes, build_plan
from proxy.predecessor.reading import open_predecessor
from proxy.store.database import Database, open_database
from proxy.store.importing import LOGS_PER_CHUNK
from proxy.store.keys import create_key, list_keys, load_keys
from proxy.store.log_filter import LogFilter
from proxy.store.logs import get_log, list_logs
from proxy.store.routes import NewRoute, add_route, list_routes
from tests.proxy.predecessor.old_database import (
    KEY,
    LOG,
    OTHER_SECRET,
    SECRET,
    UNFINISHED,
    build_old_database,
    make_logs,
)

NOW = datetime(2026, 2, 1, tzinfo=UTC)
ALL: frozenset[Part] = frozenset(("keys", "routes", "logs"))


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with open_database(tmp_path / "new.db", create=True) as opened:
        yield opened


def take(
    database: Database, path: Path, parts: frozenset[Part] = ALL, on_conflict: OnConflict = "fail"
) -> tuple[Plan, list[int]]:
    """Import what a file holds; return the plan, and what the progress was."""
    steps: list[int] = []
    wishes = Wishes(parts=parts, on_conflict=on_conflict)
    with open_predecessor(path) as old:
        plan = build_plan(old, wishes)
        with database.transaction():
            write_plan(database, old, plan, wishes, NOW, steps.append)
    return plan, steps


def tally(plan: Plan, part: Part) -> tuple[int, int, int, int]:
    counts = plan.tallies[part]
    return counts.found, counts.imported, counts.skipped, counts.replaced


def requests(database: Database) -> list[dict[str, Any]]:
    return list(list_logs(database, LogFilter(), newest_first=False))


def test_everything_comes_over(database: Database, tmp_path: Path) -> None:
    logs = [
        LOG,
        {**LOG, "id": "l2", "request_id": "req_2", "request_time": "2026-01-31 08:02:00", **UNFINISHED},
    ]
    plan, steps = take(database, build_old_database(tmp_path / "old.db", logs=logs))
    assert [key.digest for key in load_keys(database)] == [digest_secret(SECRET.encode())]
    assert [route["route_id"] for route in list_routes(database)] == ["general"]
    rows = requests(database)
    assert [row["request_id"] for row in rows] == ["req_0123456789ab", "req_2"]
    assert [row["error_message"] for row in rows] == [None, "interrupted"]
    assert {row["api_key"] for row in rows} == {"fg_0123456789ab"}
    assert [row["id"] for row in rows] == sorted(row["id"] for row in rows)
    assert all(row["id"].startswith("log_") and len(row["id"]) == 30 for row in rows)
    assert [tally(plan, part) for part in ("keys", "routes", "logs")] == [
        (1, 1, 0, 0),
        (1, 1, 0, 0),
        (2, 2, 0, 0),
    ]
    assert steps == [2]


def test_no_file_of_ours_holds_a_secret(database: Database, tmp_path: Path) -> None:
    folder = tmp_path / "apart"
    folder.mkdir()
    logs = [{**LOG, "path": f"/{SECRET}"}, {**LOG, "id": "l2", "api_key": OTHER_SECRET}]
    keys = [KEY, {**KEY, "key_id": "k2", "key_value": OTHER_SECRET}]
    take(database, build_old_database(folder / "old.db", keys=keys, logs=logs))
    for file in tmp_path.glob("new.db*"):
        assert SECRET.encode() not in file.read_bytes()
        assert OTHER_SECRET.encode() not in file.read_bytes()


def test_requests_find_the_keys_that_came_before(database: Database, tmp_path: Path) -> None:
    path = build_old_database(tmp_path / "old.db")
    take(database, path, frozenset(("keys",)))
    take(database, path, frozenset(("logs",)))
    assert requests(database)[0]["api_key"] == "fg_0123456789ab"


def test_requests_of_a_key_that_was_left_behind_name_none(database: Database, tmp_path: Path) -> None:
    take(database, build_old_database(tmp_path / "old.db"), frozenset(("logs",)))
    assert requests(database)[0]["api_key"] is None


def test_a_second_import_is_refused_with_every_clash_and_changes_nothing(
    database: Database, tmp_path: Path
) -> None:
    path = build_old_database(tmp_path / "old.db")
    take(database, path)
    with pytest.raises(ImportRefusedError) as caught:
        take(database, path)
    assert [str(problem).split(": ")[1].split(" ")[0] for problem in caught.value.problems] == [
        "key",
        "route",
        "log",
    ]
    assert (len(list_keys(database, now=NOW)), len(requests(database))) == (1, 1)


def test_skip_brings_only_what_is_missing(database: Database, tmp_path: Path) -> None:
    take(database, build_old_database(tmp_path / "old.db"))
    keys = [{**KEY, "permissions": '["x"]'}, {**KEY, "key_id": "k2", "key_value": OTHER_SECRET}]
    logs = [LOG, {**LOG, "id": "l2", "request_id": "req_2"}, {**LOG, "id": "l3", "request_id": "req_2"}]
    plan, _ = take(database, build_old_database(tmp_path / "more.db", keys=keys, logs=logs), ALL, "skip")
    assert [tally(plan, part) for part in ("keys", "routes", "logs")] == [
        (2, 1, 1, 0),
        (1, 0, 1, 0),
        (3, 2, 1, 0),
    ]
    assert sorted(row["key_id"] for row in list_keys(database, now=NOW)) == ["fg_0123456789ab", "k2"]
    # A request that the old audit trail names twice is no clash with itself.
    assert sorted(row["request_id"] for row in requests(database)) == ["req_0123456789ab", "req_2", "req_2"]
    assert [note.kind for note in plan.notes if note.kind != "log"] == []


def test_a_request_that_is_named_twice_far_apart_is_no_clash_with_itself(
    database: Database, tmp_path: Path
) -> None:
    logs = [*make_logs(LOGS_PER_CHUNK + 1), {**make_logs(1)[0], "id": "again"}]
    plan, steps = take(database, build_old_database(tmp_path / "old.db", logs=logs))
    assert tally(plan, "logs") == (LOGS_PER_CHUNK + 2, LOGS_PER_CHUNK + 2, 0, 0)
    assert steps == [LOGS_PER_CHUNK, LOGS_PER_CHUNK + 2]


def test_replace_puts_the_old_gateways_rows_in_place(database: Database, tmp_path: Path) -> None:
    create_key(database, key_prefix="fg_", value=SECRET, source="mine", now=NOW)
    add_route(database, NewRoute("/mine", "mine:1", route_name="general"), NOW)
    logs = make_logs(2)
    take(database, build_old_database(tmp_path / "logs.db", logs=logs), frozenset(("logs",)))
    path = build_old_database(tmp_path / "old.db", logs=[*logs, {**logs[0], "id": "again"}])
    plan, _ = take(database, path, ALL, "replace")
    assert [tally(plan, part) for part in ("keys", "routes", "logs")] == [
        (1, 1, 0, 1),
        (1, 1, 0, 1),
        (3, 3, 0, 2),
    ]
    assert [row["source_path"] for row in list_keys(database, now=NOW)] == ["team-a"]
    assert [row["match_path"] for row in list_routes(database)] == ["/v1/*"]
    assert len(requests(database)) == 3


def test_clashes_are_found_by_secret_and_by_name_too(database: Database, tmp_path: Path) -> None:
    key, _ = create_key(database, key_prefix="fg_", value=SECRET, now=NOW)
    route = add_route(database, NewRoute("/mine", "mine:1", route_name="general"), NOW)
    wishes = Wishes()
    with open_predecessor(build_old_database(tmp_path / "old.db")) as old:
        clashes = find_clashes(database, old, build_plan(old, wishes), wishes)
    assert [key["key_id"] in clashes[0], route["route_id"] in clashes[1], len(clashes)] == [True, True, 2]


def test_an_interruption_half_way_leaves_nothing(database: Database, tmp_path: Path) -> None:
    path = build_old_database(tmp_path / "old.db", logs=make_logs(2500))
    wishes = Wishes(parts=ALL)

    def interrupt(done: int) -> None:
        if done >= 2000:
            raise KeyboardInterrupt

    with open_predecessor(path) as old, pytest.raises(KeyboardInterrupt), database.transaction():
        write_plan(database, old, build_plan(old, wishes), wishes, NOW, interrupt)
    assert (list_keys(database, now=NOW), list_routes(database), requests(database)) == ([], [], [])


def test_a_whole_row_is_found_by_its_old_request_id(database: Database, tmp_path: Path) -> None:
    take(database, build_old_database(tmp_path / "old.db"))
    row = get_log(database, "req_0123456789ab")
    assert row["request_headers"] == [["host", "gw"], ["authorization", "[redacted]"]]
    assert row["response_body"] == '{"ok":1}'
    assert row["created_at"].isoformat() == "2026-01-31T08:01:00.600000+08:00"
