"""sd_notify: datagrams to a socket with a path or an abstract name, and no harm if nobody listens."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest

from proxy.ids import new_ulid
from proxy.readiness import Readiness


@pytest.mark.parametrize("is_abstract", [False, True])
def test_each_message_is_one_datagram(is_abstract: bool, tmp_path: Path) -> None:
    address = f"@fastgate-{new_ulid(time.time_ns() // 1000)}" if is_abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address.replace("@", "\0", 1))
        manager.settimeout(5)
        readiness = Readiness(address)
        readiness.tell_ready()
        readiness.tell_reloading()
        readiness.tell_stopping()
        assert manager.recv(4096) == b"READY=1"
        reloading, moment = manager.recv(4096).decode().split("\n")
        assert reloading == "RELOADING=1"
        assert 0 < int(moment.removeprefix("MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000
        assert manager.recv(4096) == b"STOPPING=1"


def test_without_an_address_nothing_is_sent(caplog: pytest.LogCaptureFixture) -> None:
    Readiness("").tell_ready()
    assert caplog.messages == []


@pytest.mark.parametrize("address", ["/no/such/socket", "relative", "/" + "x" * 200])
def test_a_manager_that_is_not_there_is_a_warning(address: str, caplog: pytest.LogCaptureFixture) -> None:
    Readiness(address).tell_ready()
    assert caplog.messages[0].startswith("the service manager was not told READY=1")


def test_a_manager_that_reads_nothing_holds_nobody_up(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        for _ in range(2000):
            Readiness(str(tmp_path / "notify")).tell_ready()
