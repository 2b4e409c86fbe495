"""Rows 13 to 15: headers that a client uses to speak with the gateway's voice."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.processes import Fastgate
from tests.hardening.gate import Gate, run_gate

pytestmark = pytest.mark.usefixtures("serving")


@pytest.fixture(scope="module")
def settings() -> str:
    return "security: {trusted_proxies: ['192.0.2.0/24']}"


@pytest.fixture(scope="module")
def trusting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    """Return a gateway that takes its clients for proxies of its own."""
    settings = "security: {trusted_proxies: ['127.0.0.0/8', '192.0.2.0/24']}"
    with run_gate(Fastgate(tmp_path_factory.mktemp("trusting")), settings) as gate:
        yield gate


def sent(gate: Gate, *lines: str) -> dict[bytes, list[bytes]]:
    """Return the headers that the backend gets for a request with these header lines."""
    path = gate.new_path()
    assert gate.ask(gate.head(path, *lines)).status == 200
    arrival = gate.seen_of(path)
    return {name: arrival.values(name) for name, _ in arrival.headers}


def test_named_hop_by_hop_headers_are_stripped_before_ours_are_added(gate: Gate) -> None:
    """Row 13."""
    tokens = "authorization, x-forwarded-for, content-type, x-request-id, via, host, content-length, x-mine"
    path = gate.new_path()
    response = gate.post(
        path, b"{}", f"connection: {tokens}", "content-type: text/plain", "x-mine: 1", "x-b: 2"
    )
    assert response.status == 200
    arrival = gate.seen_of(path)
    assert arrival.values(b"x-forwarded-for") == [b"127.0.0.1"]
    assert arrival.request_id == response.request_id
    assert arrival.values(b"host") == [gate.backend.url.removeprefix("http://").encode()]
    assert arrival.values(b"via") == [b"1.1 fastgate"]
    assert bytes(arrival.body) == b"{}"
    assert arrival.values(b"x-b") == [b"2"]
    for name in (b"authorization", b"content-type", b"x-mine", b"connection"):
        assert arrival.values(name) == []


def test_a_header_that_a_route_sets_survives_a_connection_header_that_names_it(gate: Gate) -> None:
    """Row 13."""
    gate.write(
        "UPDATE proxy_routes SET add_headers = ? WHERE route_id = ?", '{"x-injected": "ours"}', gate.route_id
    )
    headers = sent(gate, "connection: x-injected, keep-alive", "x-injected: theirs", "keep-alive: timeout=5")
    assert headers[b"x-injected"] == [b"ours"]
    assert b"keep-alive" not in headers


@pytest.mark.parametrize(
    "name",
    [
        "te",
        "trailer",
        "upgrade",
        "proxy-authorization",
        "proxy-connection",
        "proxy-authenticate",
        "keep-alive",
    ],
)
def test_hop_by_hop_headers_are_never_passed_on(gate: Gate, name: str) -> None:
    """Row 13."""
    assert name.encode() not in sent(gate, f"{name}: x")


def test_forwarding_headers_of_a_client_are_replaced(gate: Gate) -> None:
    """Row 14."""
    path = gate.new_path()
    response = gate.ask(
        gate.head(
            path,
            "x-forwarded-for: 203.0.113.9",
            "X-Forwarded-For: 192.0.2.1",
            "x-forwarded-proto: https",
            "x-forwarded-host: evil.test",
            "forwarded: for=203.0.113.9;host=evil.test",
            "x-real-ip: 203.0.113.9",
        )
    )
    arrival = gate.seen_of(path)
    assert arrival.values(b"x-forwarded-for") == [b"127.0.0.1"]
    assert arrival.values(b"x-forwarded-proto") == [b"http"]
    assert arrival.values(b"x-forwarded-host") == [b"gate.test"]
    assert b"203.0.113.9" not in arrival.head
    assert b"evil.test" not in arrival.head
    assert gate.row(response)["ip_address"] == "127.0.0.1"


@pytest.mark.parametrize(
    ("chain", "client"),
    [
        pytest.param("203.0.113.9", "203.0.113.9", id="row 14: one"),
        pytest.param(
            "198.51.100.7, 203.0.113.9, 192.0.2.1", "203.0.113.9", id="row 14: right-most untrusted"
        ),
        pytest.param("192.0.2.1", "192.0.2.1", id="row 14: trusted ones alone"),
    ],
)
def test_a_trusted_proxy_is_believed_and_appended_to(trusting: Gate, chain: str, client: str) -> None:
    path = trusting.new_path()
    response = trusting.ask(
        trusting.head(
            path, f"x-forwarded-for: {chain}", "x-forwarded-proto: https", "x-forwarded-host: a.test"
        )
    )
    arrival = trusting.seen_of(path)
    assert b", ".join(arrival.values(b"x-forwarded-for")) == f"{chain}, 127.0.0.1".encode()
    assert arrival.values(b"x-forwarded-proto") == [b"https"]
    assert arrival.values(b"x-forwarded-host") == [b"a.test"]
    assert trusting.row(response)["ip_address"] == client


@pytest.mark.parametrize("chain", ["not an address", "<script>", "203.0.113.9, ", "x" * 5000, ", " * 500])
def test_a_malformed_chain_of_a_trusted_proxy_harms_nobody(trusting: Gate, chain: str) -> None:
    """Row 14."""
    path = trusting.new_path()
    response = trusting.ask(trusting.head(path, f"x-forwarded-for: {chain}"))
    assert response.status == 200
    assert trusting.seen_of(path).values(b"x-forwarded-for")[-1].endswith(b"127.0.0.1")
    assert trusting.row(response)["ip_address"] in ("127.0.0.1", "203.0.113.9")


@pytest.mark.parametrize(
    "name",
    ["X_Api_Key", "x_api-key", "api_key", "X_Forwarded_For", "x_real_ip", "X_Request_Id", "content_length",
     "transfer_encoding", "x_source_path"],
)  # fmt: skip
def test_an_imitation_with_underscores_is_not_passed_on(gate: Gate, name: str) -> None:
    """Row 15."""
    path = gate.new_path()
    response = gate.ask(gate.head(path, f"{name}: 203.0.113.9"))
    assert response.status in (200, 400)
    for arrival in gate.backend.seen(path):
        assert b"203.0.113.9" not in arrival.head


@pytest.mark.parametrize("name", ["X_Api_Key", "api_key"])
def test_an_imitation_is_no_credential(gate: Gate, name: str) -> None:
    """Row 15."""
    path = gate.new_path()
    request = f"GET {path} HTTP/1.1\r\nhost: gate.test\r\n{name}: {gate.key}\r\n\r\n".encode()
    assert gate.ask(request).status in (400, 401)
    assert gate.backend.seen(path) == []
