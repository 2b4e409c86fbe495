"""Row 45: a wall clock that is set back or forward by an hour while the gateway runs.

Every Python process of the gateway reads the wall clock through a `sitecustomize` module, which adds what a
file says. The monotonic clock is left alone, as a kernel leaves it.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import pytest

from tests.e2e.processes import Fastgate
from tests.hardening.arrivals import Arrival
from tests.hardening.gate import Gate, run_gate, wait_for
from tests.hardening.plays import STREAM_HEAD, Play

HOUR_SECONDS = 3600
TIMES = ("request_time", "first_response_time", "response_time")
SHIFTING = """
import mmap, os, struct, time

with open(os.environ["CLOCK_FILE"], "rb") as file:
    offset = mmap.mmap(file.fileno(), 8, access=mmap.ACCESS_READ)
real_time, real_time_ns = time.time, time.time_ns
time.time = lambda: real_time() + struct.unpack("q", offset[:8])[0]
time.time_ns = lambda: real_time_ns() + struct.unpack("q", offset[:8])[0] * 1_000_000_000
"""


@dataclass
class ShiftedFastgate(Fastgate):
    """The command line with a clock that can be set."""

    clock: Path = field(default=Path())

    def __post_init__(self) -> None:
        self.clock = self.folder / "clock"
        self.set(0)
        (self.folder / "sitecustomize.py").write_text(SHIFTING)

    @property
    def environ(self) -> dict[str, str]:
        environ = super().environ
        return {
            **environ,
            "PYTHONPATH": f"{self.folder}:{environ['PYTHONPATH']}",
            "CLOCK_FILE": str(self.clock),
        }

    def set(self, seconds: int) -> None:
        """Have the clock be so much ahead of the real one."""
        with self.clock.open("r+b" if self.clock.exists() else "wb") as file:
            file.write(struct.pack("q", seconds))


@pytest.fixture
def shifted(tmp_path: Path) -> ShiftedFastgate:
    return ShiftedFastgate(tmp_path)


@pytest.fixture
def gate(shifted: ShiftedFastgate) -> Iterator[Gate]:
    with run_gate(shifted, "rate_limiting: {enabled: true}") as gate:
        yield gate


def stream_around(released: asyncio.Event) -> Play:
    """Send an event, and another after an event of the test."""

    async def play(arrival: Arrival) -> None:
        await arrival.read_body()
        await arrival.link.send(STREAM_HEAD + b"3\r\none\r\n")
        await released.wait()
        await arrival.link.send(b"3\r\ntwo\r\n0\r\n\r\n")

    return play


@pytest.mark.parametrize("seconds", [-HOUR_SECONDS, HOUR_SECONDS], ids=["row 45: back", "row 45: forward"])
def test_durations_are_right_and_order_is_kept(gate: Gate, shifted: ShiftedFastgate, seconds: int) -> None:
    released = asyncio.Event()
    before, during, after = gate.new_path(), gate.new_path(stream_around(released)), gate.new_path()
    assert gate.ask(gate.head(before)).status == 200
    client = gate.connect()
    client.send(gate.head(during))
    gate.backend.wait_for(during)
    shifted.set(seconds)
    gate.backend.release(released)
    assert client.read_response().body == b"onetwo"
    assert gate.ask(gate.head(after)).status == 200
    rows = [gate.rows("path = ?", path)[0] for path in (before, during, after)]
    for row in rows:
        assert 0 <= row["response_time_ms"] < HOUR_SECONDS * 1000
        times = [datetime.fromisoformat(row[name]) for name in TIMES]
        assert times == sorted(times)
        assert (times[-1] - times[0]).total_seconds() < HOUR_SECONDS
    # The newest is still told first, whatever its clock said.
    listed = shifted.json("logs", "list", "-n", "0")
    assert [row["path"] for row in listed] == [after, during, before]


@pytest.mark.parametrize("seconds", [-HOUR_SECONDS, HOUR_SECONDS], ids=["row 45: back", "row 45: forward"])
def test_a_limit_is_neither_bypassed_nor_stuck(gate: Gate, shifted: ShiftedFastgate, seconds: int) -> None:
    slow = shifted.json("keys", "create", "--rate-limit", "1")["key"]
    quick = shifted.json("keys", "create", "--rate-limit", "60")
    gate.write("UPDATE api_keys SET rate_burst = 1 WHERE key_id = ?", quick["key_id"])
    gate.secrets += [slow, quick["key"]]
    assert [ask(gate, slow), ask(gate, slow)] == [200, 429]
    wait_for(lambda: ask(gate, quick["key"]), lambda status: status == 429)
    shifted.set(seconds)
    # A minute's allowance is not had anew by a clock that jumps, and an hour back is not an hour's wait.
    assert ask(gate, slow) == 429
    wait_for(lambda: ask(gate, quick["key"]), lambda status: status == 200)
    assert ask(gate, slow) == 429


def ask(gate: Gate, key: str) -> int:
    return gate.ask(gate.head("/t/limited", key=key)).status


@pytest.mark.parametrize("seconds", [-HOUR_SECONDS, HOUR_SECONDS], ids=["row 45: back", "row 45: forward"])
def test_a_clock_that_is_set_leaves_keys_and_routes_alone(
    gate: Gate, shifted: ShiftedFastgate, seconds: int
) -> None:
    shifted.set(seconds)
    made = shifted.json("keys", "create", "--rate-limit", "0")
    gate.secrets.append(made["key"])
    wait_for(lambda: ask(gate, made["key"]), lambda status: status == 200)
    shifted("keys", "disable", made["key_id"])
    wait_for(lambda: ask(gate, made["key"]), lambda status: status == 401)
    shifted.set(0)
    assert ask(gate, gate.key) == 200
