"""Row 43: more connections, requests and files than there is room for."""

from __future__ import annotations

import asyncio
import resource
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing

import pytest

from proxy.open_files import fit_connections
from proxy.settings import ProxySettings
from tests.e2e.processes import Fastgate
from tests.hardening.arrivals import Arrival
from tests.hardening.backend import RecordingBackend
from tests.hardening.client import ClosedError, RawClient
from tests.hardening.gate import Gate, run_gate, wait_for
from tests.hardening.measures import count_files, count_own_files, family
from tests.hardening.plays import Play, answer_plainly

CONNECTIONS = 2000
FILES_MAX = 64
IN_FLIGHT_MAX, CONNECTIONS_MAX = 8, 200
FILES_APART = 8  # that a gateway may have more of afterwards: idle connections to the backend

LINES_MAX = 100  # that it may print about one flood


class NarrowFastgate(Fastgate):
    """The command line with few files allowed."""

    def popen(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command under the limit and return at once."""
        command = (sys.executable, "-m", "fastgate_cli", *arguments)
        return subprocess.Popen(
            ["/bin/sh", "-c", f'ulimit -n {FILES_MAX}; exec "$0" "$@"', *command],
            cwd=self.folder,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@pytest.fixture(scope="module")
def settings() -> str:
    return f"proxy: {{max_connections: {CONNECTIONS_MAX}, max_in_flight: {IN_FLIGHT_MAX}, client_timeout: 5}}"


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    """Return a gateway that may have 64 files open."""
    with run_gate(NarrowFastgate(tmp_path_factory.mktemp("narrow")), "proxy: {client_timeout: 5}") as gate:
        yield gate


@pytest.fixture(autouse=True)
def files_enough() -> Iterator[None]:
    """Let this process open enough sockets."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, 4 * CONNECTIONS), hard), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def connect_all(port: int, count: int) -> list[socket.socket]:
    """Open connections and wait for none of them."""
    clients = []
    for _ in range(count):
        clients.append(socket.socket())
        clients[-1].setblocking(False)
        clients[-1].connect_ex(("127.0.0.1", port))
    return clients


def count_most_files(pid: int) -> int:
    """Return how many files that process of a family has open that has most."""
    return max(count_own_files(each) for each in family(pid))


def is_served(gate: Gate) -> bool:
    """Tell whether a new client gets a good answer at this moment."""
    path = gate.new_path()
    try:
        with closing(RawClient(gate.port)) as client:
            response = client.ask(gate.head(path))
    except (ClosedError, OSError):
        return False
    return (response.status, response.body) == (200, path.encode())


def test_2000_connections_with_64_files_are_borne_and_forgotten(narrow: Gate) -> None:
    assert is_served(narrow)
    files = count_files(narrow.pid)
    clients = connect_all(narrow.port, CONNECTIONS)
    for client in clients:
        try:
            client.send(narrow.head("/t/flood"))
        except OSError:
            continue
    wait_for(lambda: is_served(narrow), lambda served: not served)
    assert count_most_files(narrow.pid) <= FILES_MAX
    assert narrow.running.process.poll() is None
    for client in clients:
        client.close()
    wait_for(lambda: is_served(narrow), bool)
    idle_max = fit_connections(ProxySettings(), FILES_MAX)  # to the backend, one for each client
    wait_for(lambda: count_files(narrow.pid), lambda count: count <= files + idle_max)
    assert narrow.running.process.poll() is None
    assert len(narrow.running.lines) <= LINES_MAX


def test_with_64_files_as_many_are_served_as_fit_and_more_get_a_503(narrow: Gate) -> None:
    released = asyncio.Event()
    path = narrow.new_path(hold_until(released))
    clients = [narrow.connect() for _ in range(100)]
    for client in clients:
        client.send_all_taken(narrow.head(path))
    narrow.backend.wait_for(path)
    narrow.backend.release(released)
    answered = [read_status(client) for client in clients]
    # 502 would blame the backend for what is missing here.
    assert set(answered) <= {200, 503, None}
    assert answered.count(200) >= fit_connections(ProxySettings(), FILES_MAX) // 2
    narrow.hang_up()
    wait_for(lambda: is_served(narrow), bool)
    assert not [line for line in narrow.running.lines if "Traceback" in line]


def test_idle_connections_to_one_backend_leave_files_for_another(narrow: Gate) -> None:
    count = fit_connections(ProxySettings(), FILES_MAX)
    with closing(RecordingBackend()) as other:
        narrow.fastgate("routes", "add", "--match", "/other/*", "--to", other.url)
        narrow.wait_for_revision()
        wait_for(lambda: narrow.metric("fastgate_connections"), lambda open_now: open_now <= 1)
        clients = [narrow.connect() for _ in range(count)]
        for backend, path in ((narrow.backend, "/t/held"), (other, "/other/held")):
            released = asyncio.Event()
            backend.play(path, hold_until(released))
            for client in clients:
                client.send(narrow.head(path))
            backend.wait_for(path, count=count)
            backend.release(released)
            assert [client.read_response().status for client in clients] == [200] * count
    narrow.hang_up()


def test_requests_over_the_bound_get_a_503_and_a_row(gate: Gate) -> None:
    """Ten times what may be in flight at once."""
    released = asyncio.Event()
    path = gate.new_path(hold_until(released))
    held = [gate.connect() for _ in range(IN_FLIGHT_MAX)]
    for client in held:
        client.send(gate.head(path))
    gate.backend.wait_for(path, count=IN_FLIGHT_MAX)
    for _ in range(9 * IN_FLIGHT_MAX):
        response = gate.ask(gate.head(path))
        assert (response.status, response.code) == (503, "overloaded")
        assert response.values(b"retry-after") == [b"1"]
    assert gate.row(response)["error_message"] == "overloaded"
    assert len(gate.backend.seen(path)) == IN_FLIGHT_MAX
    gate.backend.release(released)
    assert [client.read_response().status for client in held] == [200] * IN_FLIGHT_MAX
    gate.hang_up()
    gate.check_serves()


def test_connections_over_the_bound_are_refused_and_the_others_kept(gate: Gate) -> None:
    first = gate.connect()
    assert first.ask(gate.head(gate.new_path())).status == 200
    files = count_files(gate.pid)
    clients = connect_all(gate.port, CONNECTIONS)
    path = gate.new_path()
    assert first.ask(gate.head(path)).body == path.encode()
    refused = gate.connect()
    response = refused.read_response()
    assert (response.status, response.code, response.error["request_id"]) == (
        503,
        "overloaded",
        response.request_id,
    )
    assert refused.is_closed()
    assert count_files(gate.pid) <= files + CONNECTIONS_MAX + FILES_APART
    for client in clients:
        client.close()
    wait_for(lambda: is_served(gate), bool)
    wait_for(lambda: count_files(gate.pid), lambda count: count <= files + FILES_APART)
    gate.hang_up()
    gate.check_serves()


def hold_until(released: asyncio.Event) -> Play:
    """Answer plainly, but not before an event."""

    async def play(arrival: Arrival) -> None:
        await released.wait()
        await answer_plainly(arrival)

    return play


def read_status(client: RawClient) -> int | None:
    """Return the status of an answer, or None for a connection that was closed without one."""
    try:
        return client.read_response().status
    except ClosedError:
        return None
