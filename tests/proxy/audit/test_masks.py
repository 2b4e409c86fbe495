"""The recorder's mask follows the routes of the database."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from proxy.audit.masks import MaskSource
from proxy.audit.redact import MASK
from proxy.store.database import open_database
from proxy.store.routes import NewRoute, add_route, delete_routes

NOW = datetime(2026, 1, 31, tzinfo=UTC)


def test_a_route_s_secrets_are_masked_as_long_as_there_is_the_route(tmp_path: Path) -> None:
    masks = MaskSource({"TOKEN": "backend-token"}, tmp_path, "fg_")
    with open_database(tmp_path / "f.db", create=True) as database:
        assert masks.find(database).apply(b"backend-token") == b"backend-token"
        headers = {"Authorization": "Bearer ${env:TOKEN}"}
        add_route(database, NewRoute("/v1/*", "b:80", route_id="rt_1", add_headers=headers), NOW)
        mask = masks.find(database)
        assert mask.apply(b"backend-token") == MASK
        assert masks.find(database) is mask
        delete_routes(database, ["rt_1"])
        assert masks.find(database).apply(b"backend-token") == b"backend-token"
