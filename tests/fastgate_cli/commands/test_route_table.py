"""Every route of a database, compiled for the commands that reason about all of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from fastgate_cli.commands.route_table import read_table
from proxy.store.database import open_database
from proxy.store.routes import NewRoute, add_route

NOW = datetime(2026, 1, 31, tzinfo=UTC)


def test_every_route_is_there_in_order_or_has_a_problem(tmp_path: Path) -> None:
    plain = NewRoute("/v1/*", "h:1")
    with open_database(tmp_path / "f.db", create=True) as database:
        for route in (
            replace(plain, route_id="last", priority=200),
            replace(plain, route_id="off", is_active=False, priority=1),
            replace(plain, route_id="bad", match_path="no-slash"),
            replace(plain, route_id="exact", match_path="/v1/x", add_body_fields={"token": "s3cret", "n": 1}),
        ):
            add_route(database, route, NOW)
        table = read_table(database, iter(["x-strip"]))
    assert [one.route.route_id for one in table.compiled] == ["off", "exact", "last"]
    assert [route_id for route_id, _ in table.problems] == ["bad"]
    assert all(b"x-strip" in one.header_rules.dropped for one in table.compiled)
    assert dict(table.compiled[1].route.add_body_fields) == {"token": '"•••"'.encode(), "n": b"1"}
