"""Rows 28 and 39, several backends: who is asked, who is passed over and comes back, whose TLS is trusted."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from tests.hardening.answers import answer, plain
from tests.hardening.backend_fixtures import Gate, run_gate
from tests.hardening.faults import BOUND_SECONDS, Call, FaultBackend
from tests.ports import reserve_port

RECOVERY_SECONDS_MAX = 30.0


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    with run_gate(tmp_path_factory.mktemp("gate"), proxy="connect_timeout: 2") as served:
        yield served


@pytest.fixture(scope="module")
def second() -> Iterator[FaultBackend]:
    backend = FaultBackend()
    yield backend
    backend.close()


@pytest.fixture
def refusing() -> Iterator[int]:
    """A port on which nobody listens yet."""
    with reserve_port() as port:
        yield port


def url_of(port: int) -> str:
    return f"http://127.0.0.1:{port}"


def name_backends(path: str, *backends: FaultBackend) -> None:
    """Have each backend answer with its place in the list."""
    for number, backend in enumerate(backends):
        backend.play(path, answer(plain(b"%d" % number)))


def test_the_first_backend_is_asked_as_long_as_it_answers(gate: Gate, second: FaultBackend) -> None:
    gate.add_route("/failover/*", "--to", gate.backend.url, "--to", second.url, "--balance", "failover")
    name_backends("/failover/x", gate.backend, second)
    assert [gate.ask("/failover/x").body for _ in range(6)] == [b"0"] * 6


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_backend_that_refuses_is_passed_over_without_the_client_noticing(
    gate: Gate, second: FaultBackend, refusing: int, method: str
) -> None:
    match = f"/over-{method.lower()}"
    gate.add_route(f"{match}/*", "--to", url_of(refusing), "--to", second.url)
    for number in range(6):
        path = f"{match}/{number}"
        reply = gate.ask(path, method=method, body=b"{}" if method == "POST" else None)
        assert (reply.status, reply.body) == (200, b"ok")
        (call,) = second.calls_of(path)
        assert call.header(b"host") == [second.url.removeprefix("http://").encode()]
        row = gate.row(reply)
        assert (row["error_message"], row["target_url"]) == (None, f"{second.url}{path}")


def test_all_backends_refusing_is_a_502_every_time(gate: Gate, refusing: int) -> None:
    with reserve_port() as other:
        gate.add_route("/none/*", "--to", url_of(refusing), "--to", url_of(other))
        for _ in range(8):
            refused = gate.ask("/none/x")
            assert (refused.status, refused.error_code) == (502, "upstream_unreachable")


def test_a_backend_that_comes_back_is_asked_again(gate: Gate, second: FaultBackend, refusing: int) -> None:
    gate.add_route("/back/*", "--to", url_of(refusing), "--to", second.url)
    for _ in range(5):
        assert gate.ask("/back/x").body == b"ok"
    mended = FaultBackend(port=refusing)
    try:
        mended.play("/back/x", answer(plain(b"back")))
        deadline = time.monotonic() + RECOVERY_SECONDS_MAX
        while gate.ask("/back/x").body != b"back":
            assert time.monotonic() < deadline, "the backend is not asked again"
            time.sleep(0.1)
    finally:
        mended.close()


def test_a_backend_that_answers_with_errors_is_not_passed_over(gate: Gate, second: FaultBackend) -> None:
    gate.add_route("/errors/*", "--to", gate.backend.url, "--to", second.url)
    gate.backend.play("/errors/x", answer(plain(b"no", status="500 Internal Server Error")))
    assert [gate.ask("/errors/x", method="POST", body=b"").status for _ in range(4)] == [500] * 4
    assert second.calls_of("/errors/x") == []


def test_a_post_that_may_have_arrived_is_not_sent_to_another_backend(
    gate: Gate, second: FaultBackend
) -> None:
    gate.add_route("/once/*", "--to", gate.backend.url, "--to", second.url, "--retries", "2")

    async def play(call: Call) -> None:
        await call.read_body()
        call.connection.close(reset=True)

    assert gate.ask("/once/x", play, method="POST", body=b"{}").status == 502
    assert len(gate.backend.calls_of("/once/x") + second.calls_of("/once/x")) == 1


def test_round_robin_asks_one_after_the_other(gate: Gate, second: FaultBackend) -> None:
    gate.add_route("/turns/*", "--to", gate.backend.url, "--to", second.url, "--balance", "round-robin")
    name_backends("/turns/x", gate.backend, second)
    bodies = [gate.ask("/turns/x").body for _ in range(8)]
    assert bodies in ([b"0", b"1"] * 4, [b"1", b"0"] * 4)


def test_least_in_flight_asks_the_backend_that_has_least_to_do(gate: Gate, second: FaultBackend) -> None:
    gate.add_route("/least/*", "--to", gate.backend.url, "--to", second.url, "--balance", "least-in-flight")
    name_backends("/least/x", gate.backend, second)
    busy = {}
    for backend in (gate.backend, second):
        busy[backend] = backend.steps()

        async def play(call: Call, backend: FaultBackend = backend) -> None:
            await busy[backend].wait()
            await call.send(plain(b"long"))

        backend.play("/least/long", play)
    held = gate.connect()
    held.send(gate.request("/least/long"))
    deadline = time.monotonic() + BOUND_SECONDS
    while not (holding := [one for one in busy if one.calls_of("/least/long")]):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    idle = b"1" if holding == [gate.backend] else b"0"
    assert [gate.ask("/least/x").body for _ in range(6)] == [idle] * 6
    busy[holding[0]].confirm()
    assert held.read_answer().body == b"long"


@pytest.mark.parametrize(
    ("options", "name", "status"),
    [
        (("--tls-ca", "ca.pem"), "127.0.0.1", 200),
        (("--tls-ca", "ca.pem"), "elsewhere.test", 502),
        (("--tls-ca", "other.pem"), "127.0.0.1", 502),
        (("--tls-insecure",), "elsewhere.test", 200),
        ((), "127.0.0.1", 502),
    ],
    ids=["own-authority", "wrong-name", "wrong-authority", "opted-out", "by-default"],
)
def test_a_certificate_is_checked_as_the_route_says(
    gate: Gate, tmp_path: Path, options: tuple[str, ...], name: str, status: int
) -> None:
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "other.pem"))
    authority.issue_cert(name).configure_cert(context)
    backend = FaultBackend(context)
    match = f"/tls-{tmp_path.name}"
    paths = [str(tmp_path / option) if option.endswith(".pem") else option for option in options]
    try:
        gate.add_route(f"{match}/*", "--to", backend.url, *paths)
        answered = gate.ask(f"{match}/x", method="POST", body=b"{}")
    finally:
        backend.close()
    assert answered.status == status
    assert [call.target for call in backend.calls] == ([f"{match}/x".encode()] if status == 200 else [])
    reason = gate.row(answered)["error_message"]
    assert reason is None if status == 200 else reason.startswith("upstream_unreachable: ")
