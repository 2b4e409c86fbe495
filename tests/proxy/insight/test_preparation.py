"""The stages before anything is sent: whether the route can be used, whether the request reaches it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from proxy.insight.preparation import Preparation, Rehearsal
from proxy.policy.model import RequestHead
from proxy.settings import ProxySettings, Settings
from proxy.store.database import open_database
from proxy.store.routes import NewRoute, add_route, list_routes

SECRET = "sk-very-secret-value-9876"


def ask(
    method: str, path: str, body: bytes = b"", headers: Sequence[tuple[bytes, bytes]] = ()
) -> RequestHead:
    pairs = [(b"host", b"gateway.test"), (b"authorization", b"Bearer stand-in"), *headers]
    pairs += [(b"content-length", b"%d" % len(body))] if body else []
    return RequestHead(method, path.encode(), b"", pairs, peer="127.0.0.1")


def rehearse(
    folder: Path, *routes: NewRoute, proxy: ProxySettings | None = None, **environ: str
) -> Rehearsal:
    """Return the rehearsal of the first of these routes, the oldest."""
    with open_database(folder / "routes.db", create=True) as database:
        rows = [
            add_route(database, route, datetime(2026, 1, 1 + n, tzinfo=UTC)) for n, route in enumerate(routes)
        ]
        settings = replace(Settings(), proxy=proxy or ProxySettings())
        return Rehearsal(rows[0], list_routes(database), settings, environ, folder)


def prepare(rehearsal: Rehearsal, method: str = "GET", path: str = "/v1/x", body: bytes = b"") -> Preparation:
    return rehearsal.prepare([ask(method, path, body)], body)


def failed_at(prepared: Preparation) -> tuple[str, str, str]:
    """Return the last stage, which failed: there is nothing to send."""
    last = prepared.stages[-1]
    assert [stage.ok for stage in prepared.stages] == [True] * (len(prepared.stages) - 1) + [False]
    assert prepared.forward is None
    assert last.hint
    return last.name, last.detail, last.hint


@pytest.mark.parametrize(("reference", "is_reached"), [("${file:none}", True), ("${env:NOT_HERE}", False)])
def test_a_route_that_the_gateway_leaves_out_is_in_nobodys_way(
    tmp_path: Path, reference: str, is_reached: bool
) -> None:
    """Of a variable only the gateway can know."""
    rival = NewRoute("/v1/*", "gpu:2", priority=1, add_headers={"X-Key": reference})
    assert prepare(rehearse(tmp_path, NewRoute("/v1/*", "gpu:1"), rival)).matched is is_reached


def test_what_is_sent_is_described_without_its_secrets(tmp_path: Path) -> None:
    route = NewRoute(
        "/v1/*", "gpu:1", add_headers={"X-Key": SECRET, "Host": "api.test"}, add_body_fields={"seed": 7}
    )
    prepared = prepare(rehearse(tmp_path, route), "POST", body=b"{}")
    assert (prepared.matched, prepared.method, prepared.target_url) == (True, "POST", "http://gpu:1/v1/x")
    assert prepared.forward is not None
    assert (b"x-key", SECRET.encode()) in prepared.forward.headers
    lines = prepared.stages[-1].detail.splitlines()
    assert lines[0] == "POST http://gpu:1/v1/x"
    assert "host: api.test" in lines
    assert "x-key: [redacted]" in lines
    assert lines[-1] == "a body of 10 bytes, changed by the route"
    assert SECRET not in repr(prepared)


@pytest.mark.parametrize(
    ("routes", "method", "path", "body", "words", "remedy"),
    [
        ([NewRoute("/v2/*", "a")], "GET", "/v1/x", b"", "the path does not match /v2/*", "--path"),
        (
            [NewRoute("/v1/*", "a", match_method="POST,PUT")],
            "GET",
            "/v1/x",
            b"",
            "POST, PUT only",
            "POST,PUT",
        ),
        ([NewRoute("/v1/*", "a", match_headers={"X-A": "1"})], "GET", "/v1/x", b"", "header X-A", "--header"),
        (
            [NewRoute("/v1/*", "a", match_body_schema={"required": ["model"]})],
            "POST",
            "/v1/x",
            b"{}",
            '"model" is a required property',
            "--data",
        ),
        ([NewRoute("/v1/*", "a")], "GET", "/v1/../x", b"", "a segment '.' or '..' at position 4", "--path"),
        ([NewRoute("/v1/*", "a")], "BREW", "/v1/x", b"", "not supported", "--path"),
    ],
)
def test_a_request_that_does_not_reach_the_route_says_why(
    tmp_path: Path, routes: list[NewRoute], method: str, path: str, body: bytes, words: str, remedy: str
) -> None:
    prepared = prepare(rehearse(tmp_path, *routes), method, path, body)
    name, detail, hint = failed_at(prepared)
    assert (name, prepared.matched) == ("match", False)
    assert words in detail
    assert remedy in hint


def test_a_route_that_takes_the_request_first_is_named(tmp_path: Path) -> None:
    tried = NewRoute("/v1/*", "a", route_id="rt_tried")
    rival = NewRoute("/v1/*", "b", route_id="rt_rival", route_name="rival", priority=1)
    name, detail, hint = failed_at(prepare(rehearse(tmp_path, tried, rival)))
    assert (name, detail) == ("match", "GET /v1/x is served by another route: rival (rt_rival)")
    assert "fastgate routes move rt_tried --before rt_rival" in hint


@pytest.mark.parametrize(
    "rival", [{"is_active": False}, {"match_headers": ["not", "an object"]}, {"match_path": "no-slash"}]
)
def test_a_route_that_the_gateway_does_not_use_takes_nothing(
    tmp_path: Path, rival: dict[str, object]
) -> None:
    rehearsal = rehearse(tmp_path, NewRoute("/v1/*", "a"), NewRoute("/v1/*", "b", priority=1))
    (other,) = [row for row in rehearsal.rows if row["route_id"] != rehearsal.row["route_id"]]
    other.update(rival)
    assert prepare(rehearsal).matched


def test_of_several_requests_the_first_that_reaches_the_route_counts(tmp_path: Path) -> None:
    rehearsal = rehearse(tmp_path, NewRoute("/v1/*", "a"), NewRoute("/v1/models", "b"))
    rehearsal = replace(rehearsal, example_of="/v1/*")
    heads = [ask("GET", path) for path in ("/v1/models", "/v1/example", "/v1/test")]
    prepared = rehearsal.prepare(heads, b"")
    assert prepared.stages[1].detail == "GET /v1/example (an example for /v1/*) reaches this route"
    assert failed_at(rehearsal.prepare(heads[:1], b""))[0] == "match"


def test_a_route_that_is_off_is_tried_as_if_it_were_on_and_fails_all_the_same(tmp_path: Path) -> None:
    rehearsal = rehearse(tmp_path, NewRoute("/v1/*", "a", route_id="rt_off", is_active=False))
    prepared = prepare(rehearsal)
    assert [stage.ok for stage in prepared.stages] == [False, True, True]
    assert "fastgate routes enable rt_off" in prepared.stages[0].hint
    assert prepared.forward is not None


def test_references_that_stand_for_nothing_are_all_named(tmp_path: Path) -> None:
    route = NewRoute(
        "/v1/*", "a", add_headers={"A": "${env:GONE}", "B": "x ${file:nosuch}", "C": "${env:SET}"}
    )
    name, detail, _ = failed_at(prepare(rehearse(tmp_path, route, SET="set")))
    assert (name, detail) == ("config", "${env:GONE} stands for nothing; ${file:nosuch} stands for nothing")


def test_references_that_are_resolved_are_counted(tmp_path: Path) -> None:
    route = NewRoute("/v1/*", "a", add_headers={"A": "${env:SET}", "B": "plain"})
    prepared = prepare(rehearse(tmp_path, route, SET=SECRET))
    assert prepared.stages[0].detail == "active, 1 header with a reference resolved"


@pytest.mark.parametrize(
    ("column", "value"), [("match_headers", []), ("match_path", "no-slash"), ("targets", "x")]
)
def test_a_row_that_is_no_route_fails_at_once(tmp_path: Path, column: str, value: object) -> None:
    rehearsal = rehearse(tmp_path, NewRoute("/v1/*", "a"))
    rehearsal.row[column] = value or ["x"]
    name, detail, _ = failed_at(prepare(rehearsal))
    assert name == "config"
    assert detail.startswith("the gateway leaves it out: ")


def test_authorities_have_to_be_there(tmp_path: Path) -> None:
    route = NewRoute("/v1/*", "a", target_protocol="https", tls_ca=str(tmp_path / "nosuch.pem"))
    name, detail, hint = failed_at(prepare(rehearse(tmp_path, route)))
    assert name == "config"
    assert "nosuch.pem" in detail
    assert "--tls-ca" in hint


@pytest.mark.parametrize(
    ("schema", "proxy"),
    [
        ({"type": "object"}, ProxySettings(inspect_body_size=10)),
        (None, ProxySettings(max_body_size=10, inspect_body_size=10)),
    ],
)
def test_a_body_that_the_gateway_would_not_take_is_not_sent(
    tmp_path: Path, schema: dict[str, object] | None, proxy: ProxySettings
) -> None:
    rehearsal = rehearse(tmp_path, NewRoute("/v1/*", "a", match_body_schema=schema), proxy=proxy)
    assert prepare(rehearsal, "POST", body=b'{"a": 1234}').forward is None
    assert prepare(rehearsal, "POST", body=b'{"a": 1}').forward is not None


def test_a_body_that_the_route_cannot_change_fails_at_the_transform(tmp_path: Path) -> None:
    rehearsal = rehearse(tmp_path, NewRoute("/v1/*", "a", add_body_fields={"seed": 7}))
    prepared = prepare(rehearsal, "POST", body=b"{")
    name, detail, _ = failed_at(prepared)
    assert (name, prepared.matched) == ("transform", True)
    assert "body cannot be used" in detail


def test_a_condition_on_the_credential_can_be_met(tmp_path: Path) -> None:
    rehearsal = rehearse(tmp_path, NewRoute("/v1/*", "a", match_headers={"x-api-key": "team-*"}))
    head = RequestHead("GET", b"/v1/x", b"", [(b"host", b"x"), (b"x-api-key", b"team-a")])
    prepared = rehearsal.prepare([head], b"")
    assert prepared.forward is not None
    assert all(name != b"x-api-key" for name, _ in prepared.forward.headers)
