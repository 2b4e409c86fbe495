"""Who a client is, where IPv4 and IPv6 are served on one socket (issue 11, row 7)."""

from __future__ import annotations

import socket

import pytest

from tests.hardening.gate import Gate

pytestmark = pytest.mark.usefixtures("serving")


@pytest.fixture(scope="module")
def settings() -> str:
    return 'app: {host: "::"}\nsecurity: {trusted_proxies: ["192.0.2.0/24"]}'


def test_a_client_of_ipv4_is_shown_as_one(gate: Gate) -> None:
    path = gate.new_path()
    response = gate.ask(gate.head(path))
    assert response.status == 200
    assert gate.row(response)["ip_address"] == "127.0.0.1"
    assert gate.seen_of(path).values(b"x-forwarded-for") == [b"127.0.0.1"]
    found = gate.fastgate.json("logs", "list", "--ip", "127.0.0.1")
    assert response.request_id in str(found)


def test_a_client_of_ipv6_is_shown_as_one(gate: Gate) -> None:
    path = gate.new_path()
    with socket.create_connection(("::1", gate.port)) as client:
        client.sendall(gate.head(path, "connection: close"))
        while client.recv(65536):
            pass
    (row,) = gate.rows("path = ?", path)
    assert row["ip_address"] == "::1"
    assert gate.seen_of(path).values(b"x-forwarded-for") == [b"::1"]
