"""Backends that listen, refuse, hang or speak TLS: each is connected to, none is asked anything."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest
import trustme

from proxy.checks.backends import CONNECTIONS_MAX, Reached, Way, check_backends, find_ways, judge_backend
from proxy.checks.result import Check
from proxy.policy.model import Route
from tests.hardening.faults import FaultBackend
from tests.proxy.gateways import await_that


@pytest.fixture
def backend() -> Iterator[FaultBackend]:
    made = FaultBackend()
    yield made
    made.close()


@pytest.fixture
def deaf() -> Iterator[str]:
    """A listener whose queue is full."""
    with ExitStack() as opened:
        listener = opened.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            waiting = opened.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def secure(authority: trustme.CA) -> Iterator[FaultBackend]:
    """A backend that speaks TLS with a certificate that nobody else vouches for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    made = FaultBackend(context)
    yield made
    made.close()


def to(host: str, name: str = "rt_1", **fields: object) -> Route:
    return Route(name, name, "/*", host, **fields)  # type: ignore[arg-type]


def host_of(backend: FaultBackend) -> str:
    return f"127.0.0.1:{backend.port}"


def look_at(routes: Sequence[Route], seconds: float = 15, egress_proxy: str = "") -> list[Check]:
    return list(check_backends(routes, seconds, egress_proxy))


def test_a_backend_that_listens_is_timed_and_asked_nothing(backend: FaultBackend) -> None:
    (check,) = look_at([to(host_of(backend)), to(host_of(backend), "rt_2")])
    assert check.status == "passed"
    assert check.detail.startswith(f"{backend.url} in ")
    assert check.detail.endswith("; for rt_1, rt_2")
    await_that(lambda: bool(backend.connections))
    (connection,) = backend.connections
    assert connection.wait_ended()
    assert connection.received == b""


def test_a_backend_that_refuses_has_failed_with_the_command(refusing: str) -> None:
    (check,) = look_at([to(refusing, "it's odd")])
    assert (check.status, check.detail) == (
        "failed",
        f"http://{refusing}: nothing listens there; for it's odd",
    )
    assert "fastgate routes update 'it'\"'\"'s odd' --to" in check.fix


def test_a_backend_that_hangs_is_given_up(deaf: str, backend: FaultBackend) -> None:
    hanging, fine = look_at([to(deaf), to(host_of(backend), "rt_2")], 0.3)
    assert (hanging.status, fine.status) == ("failed", "passed")
    assert "did not accept a connection in time" in hanging.detail


def test_more_backends_than_connections_at_a_time_are_all_looked_at(refusing: str) -> None:
    hosts = [f"127.0.0.{number}:{refusing.partition(':')[2]}" for number in range(2, CONNECTIONS_MAX + 6)]
    checks = look_at([to(host, f"rt_{host}") for host in hosts])
    assert [check.detail.split(": ")[0] for check in checks] == [f"http://{host}" for host in hosts]


def test_a_certificate_of_nobody_is_not_trusted_unless_the_route_says_so(
    secure: FaultBackend, authority: trustme.CA, tmp_path: Path
) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    host = host_of(secure)
    strict, trusting, careless = look_at(
        [
            to(host, "strict", target_protocol="https"),
            to(host, "trusting", target_protocol="https", tls_ca=str(tmp_path / "ca.pem")),
            to(host, "careless", target_protocol="https", tls_verify=False),
        ]
    )
    assert strict.status == "failed"
    assert "certificate is not trusted" in strict.detail
    assert "fastgate routes update strict --tls-ca FILE" in strict.fix
    assert [trusting.status, careless.status] == ["passed", "passed"]
    assert "TLSv1.3" in trusting.detail
    assert not secure.calls


def test_a_backend_that_does_not_speak_http2_is_told(
    secure: FaultBackend, authority: trustme.CA, tmp_path: Path
) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    route = to(host_of(secure), target_protocol="https", tls_ca=str(tmp_path / "ca.pem"), http_version="2")
    (check,) = look_at([route])
    assert "does not speak HTTP/2" in check.detail
    assert "--no-http2" in check.fix


def test_authorities_that_cannot_be_read_keep_no_other_from_being_looked_at(
    backend: FaultBackend, tmp_path: Path
) -> None:
    broken = to("127.0.0.1:1", "broken", target_protocol="https", tls_ca=str(tmp_path / "nosuch.pem"))
    failed, fine = look_at([broken, to(host_of(backend))])
    assert (failed.status, fine.status) == ("failed", "passed")
    assert "fastgate routes update broken --tls-ca FILE" in failed.fix


def test_one_of_several_backends_that_is_down_is_a_warning(backend: FaultBackend, refusing: str) -> None:
    first, second = look_at([to(refusing, targets=(backend.url,))])
    assert [first.status, second.status] == ["warning", "passed"]
    alone = look_at([to(refusing, targets=(backend.url,)), to(refusing, "alone")])
    assert [check.status for check in alone] == ["failed", "passed"]


def test_a_backend_of_many_routes_names_a_few() -> None:
    routes = [to("h", f"rt_{number}") for number in range(5)]
    way = Way("http://h")
    assert find_ways(routes[0]) == [way]
    check = judge_backend(way, routes, {way: Reached(0.0012)})
    assert check.detail == "http://h in 1.2 ms; for rt_0, rt_1, rt_2 and 2 more"


def test_of_backends_behind_an_egress_proxy_only_that_one_is_tried(
    backend: FaultBackend, refusing: str
) -> None:
    routes = [to("far.invalid"), to("farther.invalid")]
    (check,) = look_at(routes, egress_proxy=f"http://user:s3cret@{host_of(backend)}")
    assert check.status == "passed"
    assert host_of(backend) in check.detail
    (failed,) = look_at(routes, egress_proxy=f"http://user:s3cret@{refusing}")
    assert (failed.status, failed.fix) == ("failed", "look at proxy.egress_proxy")
    assert "s3cret" not in repr([check, failed])


def test_no_routes_need_no_backend() -> None:
    assert look_at([]) == []
