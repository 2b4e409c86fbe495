"""The recorder's mask follows the routes of the database."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from proxy.audit.masking.names import MASK
from proxy.audit.masking.source import MaskSource
from proxy.store.database import open_database
from proxy.store.routes import NewRoute, add_route, delete_routes

NOW = datetime(2026, 1, 31, tzinfo=UTC)


def test_a_route_s_secrets_are_masked_from_then_on(tmp_path: Path) -> None:
    masks = MaskSource({"TOKEN": "backend-token"}, tmp_path, "fg_")
    with open_database(tmp_path / "f.db", create=True) as database:
        assert masks.find(database).apply(b"backend-token") == b"backend-token"
        headers = {"Authorization": "Bearer ${env:TOKEN}"}
        add_route(database, NewRoute("/v1/*", "b:80", route_id="rt_1", add_headers=headers), NOW)
        mask = masks.find(database)
        assert mask.apply(b"backend-token") == MASK
        assert masks.find(database) is mask
        # What is recorded now may have been answered before.
        delete_routes(database, ["rt_1"])
        assert masks.find(database).apply(b"backend-token") == MASK


def test_a_secret_that_is_replaced_in_its_file_is_masked_and_so_is_the_old_one(tmp_path: Path) -> None:
    masks = MaskSource({}, tmp_path, "fg_")
    (tmp_path / "key").write_text("first-secret")
    with open_database(tmp_path / "f.db", create=True) as database:
        headers = {"X-Token": "${file:key}", "X-None": "${file:none}"}
        add_route(database, NewRoute("/v1/*", "b:80", add_headers=headers), NOW)
        assert masks.find(database).apply(b"first-secret") == MASK
        (tmp_path / "new").write_text("another-secret")
        (tmp_path / "new").replace(tmp_path / "key")
        assert masks.find(database).apply(b"another-secret first-secret") == MASK + b" " + MASK
        (tmp_path / "key").unlink()
        assert masks.find(database).apply(b"another-secret") == MASK


def test_what_is_remembered_has_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.audit.masking.source.SECRETS_MAX", 3)
    masks = MaskSource({}, tmp_path, "fg_")
    (tmp_path / "key").touch()
    with open_database(tmp_path / "f.db", create=True) as database:
        add_route(database, NewRoute("/v1/*", "b:80", add_headers={"X-Token": "${file:key}"}), NOW)
        for number in range(9):
            (tmp_path / "key").write_text("secret-" + "x" * number)
            masks.find(database)
        assert len(masks._known) == 3
        assert masks.find(database).apply(b"secret-" + b"x" * 8) == MASK
