"""SIGHUP: the workers are replaced one after the other, under load, and nobody notices."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from tests.proxy.gateways import WAIT_SECONDS, ServedGateway, await_that, has_ended, read_rest

LAST_PIECES = b"3\r\ntwo\r\n0\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"
REQUESTS_MAX = 1000
CLIENTS = 4
# Load, but not so much that the new workers hardly get a processor to start on.
PAUSE_SECONDS = 0.005


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[ServedGateway]:
    made = ServedGateway(tmp_path)
    yield made
    made.close()


def roll(gateway: ServedGateway) -> None:
    """Have the workers replaced, and return when all of them have been, or why not is noted."""
    rolls = gateway.note().rolls
    gateway.process.send_signal(signal.SIGHUP)
    await_that(lambda: gateway.note().rolls > rolls)


def play_backend(listener: socket.socket) -> None:
    """Answer every request on every connection, until the listener is closed."""

    def answer(wire: socket.socket) -> None:
        with wire, suppress(OSError):
            while wire.recv(65536):
                wire.sendall(ANSWER)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=answer, args=(listener.accept()[0],), daemon=True).start()

    listener.settimeout(None)
    threading.Thread(target=accept, daemon=True).start()


def test_under_load_no_request_is_refused_or_broken(gateway: ServedGateway) -> None:
    play_backend(gateway.backend)
    first = gateway.note().worker_pids
    is_over = threading.Event()

    def ask_on() -> list[int]:
        statuses = list[int]()
        while not is_over.is_set() and len(statuses) < REQUESTS_MAX:
            statuses.append(gateway.ask("/v1/x"))
            is_over.wait(PAUSE_SECONDS)
        return statuses

    with ThreadPoolExecutor(CLIENTS) as clients:
        answers = [clients.submit(ask_on) for _ in range(CLIENTS)]
        try:
            for _ in range(2):
                roll(gateway)
        finally:
            is_over.set()
        statuses = [status for answer in answers for status in answer.result()]
    assert len(statuses) > CLIENTS
    assert statuses == [200] * len(statuses)
    assert not set(first) & set(gateway.note().worker_pids)
    assert gateway.end() == 0
    assert gateway.outcomes() == [(200, None)] * len(statuses)
    assert "Traceback" not in gateway.text()
    assert "started again" not in gateway.text()


def test_a_stream_lives_on_in_the_old_worker_until_it_is_over(gateway: ServedGateway) -> None:
    old = gateway.note().worker_pids[1]
    client, wire = gateway.start_stream_on(old)
    roll(gateway)
    assert old not in gateway.note().worker_pids
    wire.sendall(LAST_PIECES)
    assert read_rest(client).endswith(LAST_PIECES)
    await_that(lambda: has_ended(old))
    assert gateway.end() == 0
    assert gateway.outcomes() == [(200, None)]


def test_the_end_waits_for_old_workers_too_and_a_second_signal_cuts_them(gateway: ServedGateway) -> None:
    old, _ = gateway.note().worker_pids
    client, _wire = gateway.start_stream_on(old)
    roll(gateway)
    gateway.process.send_signal(signal.SIGTERM)
    await_that(gateway.refuses_connections)
    assert not has_ended(old)
    gateway.process.send_signal(signal.SIGTERM)
    assert not read_rest(client).endswith(b"0\r\n\r\n")
    assert gateway.process.wait(WAIT_SECONDS) == 0
    assert gateway.outcomes() == [(200, "interrupted")]


@pytest.mark.parametrize("workers", [1, 3])
def test_the_number_of_workers_follows_the_configuration(gateway: ServedGateway, workers: int) -> None:
    first = gateway.note().worker_pids
    gateway.configure(workers=workers)
    roll(gateway)
    note = gateway.note()
    assert (note.workers, len(note.worker_pids), note.trouble) == (workers, workers, "")
    await_that(lambda: all(has_ended(pid) for pid in first))
    assert gateway.ask("/elsewhere") == 404
    assert gateway.end() == 0
    assert "started again" not in gateway.text()


def test_an_invalid_configuration_is_told_and_the_workers_stay(gateway: ServedGateway) -> None:
    first = gateway.note()
    gateway.configure(more=", prot: 1")
    roll(gateway)
    note = gateway.note()
    assert note.worker_pids == first.worker_pids
    assert "fastgate.yaml:1:" in note.trouble
    assert "not reloaded, the workers that serve stay" in gateway.text()
    assert gateway.ask("/elsewhere") == 404
    gateway.configure()
    roll(gateway)
    assert gateway.note().trouble == ""
    assert gateway.end() == 0


def test_what_needs_a_restart_is_told_and_the_rest_counts(gateway: ServedGateway) -> None:
    gateway.configure(workers=1, more=", host: 127.0.0.9")
    roll(gateway)
    assert "app.host stays as it was: a change of it needs a restart" in gateway.text()
    assert gateway.note().workers == 1
    assert gateway.ask("/elsewhere") == 404


def test_signals_in_quick_succession_are_one_or_two_rolls(gateway: ServedGateway) -> None:
    for _ in range(10):
        gateway.process.send_signal(signal.SIGHUP)
    await_that(lambda: gateway.note().rolls > 0 and not gateway.note().is_rolling)
    assert gateway.note().rolls <= 2
    assert gateway.end() == 0


def test_a_worker_that_does_not_start_leaves_the_old_ones(gateway: ServedGateway) -> None:
    first = gateway.note().worker_pids
    aside = gateway.database.rename(gateway.folder / "aside.db")
    roll(gateway)
    assert gateway.note().worker_pids == first
    assert gateway.note().trouble
    aside.rename(gateway.database)
    assert gateway.ask("/elsewhere") == 404
    assert gateway.end() == 0
