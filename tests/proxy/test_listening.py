"""Listening sockets: which are to be had, and what is said of those that are not."""

from __future__ import annotations

import socket

import pytest

from proxy.errors import ConflictError, InvalidInputError
from proxy.listening import BACKLOG, bind_listener


def test_a_free_port_is_taken_and_connections_wait_in_its_queue() -> None:
    with bind_listener("127.0.0.1", 0) as listener:
        assert listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        clients = [socket.create_connection(listener.getsockname(), 1) for _ in range(150)]
        for client in clients:
            client.close()
    assert BACKLOG >= 1000


def test_a_port_in_use_is_a_conflict_that_names_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConflictError) as caught:
            bind_listener("127.0.0.1", port)
    assert str(port) in caught.value.message
    assert "--port" in caught.value.hint


def test_a_port_that_another_has_bound_but_not_opened_is_a_conflict_for_one_of_the_two() -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", 0))
        with bind_listener("127.0.0.1", other.getsockname()[1]), pytest.raises(OSError, match="in use"):
            other.listen()


@pytest.mark.parametrize(
    "host", ["203.0.113.1", "no-such-host.invalid", "2001:db8::1", "a" * 64 + ".example", "a..b"]
)
def test_an_address_that_is_not_this_machines_is_a_mistake_with_a_hint(host: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        bind_listener(host, 0)
    assert "app.host" in caught.value.hint


def test_ipv6_can_be_listened_on() -> None:
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    try:
        listener = bind_listener("::1", 0)
    except InvalidInputError:
        pytest.skip("no IPv6 loopback here")
    with listener:
        assert listener.family == socket.AF_INET6
