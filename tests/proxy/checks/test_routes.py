"""Routes that cannot be used, and what routes refer to."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import trustme

from proxy.checks.routes import check_routes, find_active_routes
from proxy.policy.model import Route
from proxy.store.database import open_database
from proxy.store.models import Row
from proxy.store.routes import NewRoute, add_route

SECRET = "s3cr3t-value"


def make_row(folder: Path, **changes: object) -> Row:
    with open_database(folder / "routes.db", create=True) as database:
        return add_route(database, NewRoute("/v1/*", "h"), datetime.now(UTC)) | changes


def route(**fields: object) -> Route:
    return Route("rt_1", "my route", "/*", "h", **fields)  # type: ignore[arg-type]


def statuses(routes: list[Route], folder: Path, *, served: bool = False, **environ: str) -> list[str]:
    return [check.status for check in check_routes(routes, environ, folder, are_all_served=served)]


def test_routes_in_use_are_told_from_those_that_cannot_be(tmp_path: Path) -> None:
    rows = [
        make_row(tmp_path),
        make_row(tmp_path, is_active=False, match_path="no-slash"),
        make_row(tmp_path, route_name="odd one", match_path="no-slash"),
        make_row(tmp_path, match_headers="text"),
    ]
    routes, faults = find_active_routes(rows)
    assert [one.route_id for one in routes] == [rows[0]["route_id"]]
    assert [check.status for check in faults] == ["failed", "failed"]
    assert faults[0].detail.startswith("odd one cannot be used: ")
    assert faults[0].fix == "fastgate routes show 'odd one'"


def test_no_route_is_a_warning_with_the_next_step(tmp_path: Path) -> None:
    (check,) = check_routes([], {}, tmp_path, are_all_served=False)
    assert check.status == "warning"
    assert check.fix.startswith("fastgate routes add")


def test_a_variable_may_be_set_where_the_gateway_runs(tmp_path: Path) -> None:
    asked = [route(add_headers=(("a", "Bearer ${env:TOKEN}"),))]
    assert statuses(asked, tmp_path) == ["warning"]
    assert statuses(asked, tmp_path, served=True) == ["passed"]
    assert statuses(asked, tmp_path, TOKEN=SECRET) == ["passed"]


def test_a_file_has_to_be_there(tmp_path: Path) -> None:
    asked = [route(add_headers=(("a", "${file:token}"),))]
    assert statuses(asked, tmp_path, served=True) == ["failed"]
    (tmp_path / "token").write_text(SECRET)
    assert statuses(asked, tmp_path) == ["passed"]


def test_authorities_have_to_be_there(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    asked = [route(tls_ca=str(file))]
    (check,) = check_routes(asked, {}, tmp_path, are_all_served=True)
    assert (check.status, check.fix) == ("failed", "fastgate routes update 'my route' --tls-ca FILE")
    trustme.CA().cert_pem.write_to_path(str(file))
    assert statuses(asked, tmp_path) == ["passed"]
