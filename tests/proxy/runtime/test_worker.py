"""A worker's own process: it serves as ordered, says so once, and ends when its supervisor lets go."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from proxy.audit.segments import list_segments
from proxy.errors import DatabaseError
from proxy.listening import bind_listener
from proxy.runtime.worker_process import WorkerProcess
from proxy.settings import AuditSettings, DatabaseSettings, Settings
from proxy.store.database import open_database

WAIT_SECONDS = 10


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        database=DatabaseSettings(url=f"sqlite:///{tmp_path / 'fastgate.db'}"),
        audit=AuditSettings(directory=tmp_path / "journal"),
    )


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with bind_listener("127.0.0.1", 0) as made:
        yield made


def ask_health(listener: socket.socket) -> bytes:
    with closing(socket.create_connection(listener.getsockname(), WAIT_SECONDS)) as client:
        client.settimeout(WAIT_SECONDS)
        client.sendall(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
        return client.recv(65536)


def test_it_serves_on_the_socket_that_it_is_given_with_a_journal_of_its_number(
    settings: Settings, listener: socket.socket, tmp_path: Path
) -> None:
    open_database(tmp_path / "fastgate.db", create=True).close()

    async def run() -> int:
        process = await WorkerProcess.spawn(settings, listener, 7)
        await process.ready()
        assert (await asyncio.to_thread(ask_health, listener)).startswith(b"HTTP/1.1 200 ")
        (segment,) = list_segments(settings.audit.directory)
        assert segment.writer_id.startswith("worker-7-")
        await process.end(asyncio.Event())
        assert segment.is_finished()
        return await process.wait()

    assert asyncio.run(run()) == 0


def test_it_ends_when_its_supervisor_lets_go(
    settings: Settings, listener: socket.socket, tmp_path: Path
) -> None:
    open_database(tmp_path / "fastgate.db", create=True).close()

    async def run() -> int:
        process = await WorkerProcess.spawn(settings, listener, 1)
        await process.ready()
        process.let_go()
        return await asyncio.wait_for(process.wait(), WAIT_SECONDS)

    assert asyncio.run(run()) == 0


def test_why_it_cannot_serve_is_reported_and_not_printed(
    settings: Settings, listener: socket.socket, capfd: pytest.CaptureFixture[str]
) -> None:
    async def run() -> int:
        process = await WorkerProcess.spawn(settings, listener, 1)
        with pytest.raises(DatabaseError):
            await process.ready()
        return await process.wait()

    assert asyncio.run(run()) == 1
    assert "Traceback" not in capfd.readouterr().err
