"""Rate limits of real processes on one file: exact together, and never in the way of traffic."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from proxy.errors import InvalidInputError
from proxy.gateway.limits import CHECK_SECONDS, RETRY_SECONDS, TICKETS_MAX, LimitTable, read_clock_ns
from proxy.gateway.slots import BUCKETS, FILE_BYTES, Slots, digest_key_id
from proxy.policy.model import ApiKey

ROOT = Path(__file__).parents[3]
PROCESSES, ATTEMPTS_EACH = 4, 2_500
SECOND_NS = 1_000_000_000
# Waits to be started with the others, asks as often as it was told to, and says what came of it.
CALLER = """
import json, sys, time
from pathlib import Path
from proxy.policy.model import ApiKey
from proxy.gateway.limits import LimitTable, read_clock_ns
path, rate, burst, attempts = Path(sys.argv[1]), *map(int, sys.argv[2:])
table = LimitTable(path, rate_default=rate, burst_default=burst, lock_wait_seconds=30)
key = ApiKey("key_1", "sha256:0")
print("ready", flush=True)
sys.stdin.read()
started_ns = read_clock_ns()
admitted = sum(table.admit(key).is_admitted for _ in range(attempts))
assert table.is_shared
print(json.dumps([admitted, started_ns, read_clock_ns()]))
"""
# Asks without end, and writes a byte for each request that is admitted.
KILLED_CALLER = """
import os, sys
from pathlib import Path
from proxy.policy.model import ApiKey
from proxy.gateway.limits import LimitTable
table, key = LimitTable(Path(sys.argv[1]), rate_default=1, burst_default=100_000), ApiKey("key_1", "sha256:0")
while True:
    if table.admit(key).is_admitted:
        os.write(1, b".")
"""
HOLDER = """
import os, sys
from pathlib import Path
from proxy.gateway.slots import Slots
slots = Slots(Path(sys.argv[1]))
slots.lock(int(sys.argv[2]))
os.write(1, b".")
sys.stdin.read()
"""
KEY = ApiKey("key_1", "sha256:0")


@dataclass
class Clock:
    """A clock that goes on when it is told to."""

    now_ns: int = 5_000 * SECOND_NS

    def __call__(self) -> int:
        return self.now_ns

    def advance(self, seconds: float) -> None:
        self.now_ns += round(seconds * SECOND_NS)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "limits"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def table(path: Path, clock: Clock) -> Iterator[LimitTable]:
    table = LimitTable(path, rate_default=60, burst_default=5, clock_ns=clock, lock_wait_seconds=0.01)
    yield table
    table.close()


def ask(table: LimitTable, key: ApiKey = KEY) -> bool:
    verdict = table.admit(key)
    assert verdict is not None
    return verdict.is_admitted


def ask_until_refused(table: LimitTable, key: ApiKey = KEY) -> int:
    admitted = 0
    while ask(table, key):
        admitted += 1
        assert admitted < 1000
    return admitted


def reopen(path: Path, clock: Clock) -> LimitTable:
    return LimitTable(path, rate_default=60, burst_default=5, clock_ns=clock)


def start(script: str, *arguments: object, stdin: int = subprocess.PIPE) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    # Unbuffered: what was read ahead would be lost to `communicate`.
    return subprocess.Popen(command, cwd=ROOT, stdin=stdin, stdout=subprocess.PIPE, bufsize=0)


def hammer(path: Path, *, rate: int, burst: int) -> tuple[int, int]:
    """Have several processes ask at once; return how many were admitted and the nanoseconds it took."""
    start_read, start_write = os.pipe()
    callers = [start(CALLER, path, rate, burst, ATTEMPTS_EACH, stdin=start_read) for _ in range(PROCESSES)]
    for caller in callers:
        assert caller.stdout is not None
        assert caller.stdout.readline() == b"ready\n"
    os.close(start_write)
    results = [json.loads(caller.communicate()[0]) for caller in callers]
    os.close(start_read)
    counts, starts, ends = zip(*results, strict=True)
    return sum(counts), max(ends) - min(starts)


def test_processes_that_hammer_one_key_get_its_burst_and_not_one_more(path: Path) -> None:
    admitted, took_ns = hammer(path, rate=1, burst=5_000)
    assert took_ns < 60 * SECOND_NS
    assert admitted == 5_000


def test_processes_that_hammer_one_key_get_what_the_time_allows_and_not_one_more(path: Path) -> None:
    admitted, took_ns = hammer(path, rate=600_000, burst=1_000)
    assert 1_000 < admitted <= 1_000 + took_ns // 100_000


def test_processes_that_are_killed_while_they_ask_leave_a_limit_that_holds(path: Path) -> None:
    admitted, deaths = 0, 10
    for _ in range(deaths):
        caller = start(KILLED_CALLER, path)
        assert caller.stdout is not None
        admitted += len(caller.stdout.read(97))
        caller.kill()
        admitted += len(caller.communicate()[0])
    table = LimitTable(path, rate_default=1, burst_default=100_000, lock_wait_seconds=0.01)
    verdict = table.admit(KEY)
    assert verdict is not None
    # A request may have been counted and not told of, never the other way round.
    used = 100_000 - verdict.remaining - 1
    assert admitted <= used <= admitted + deaths
    assert table.is_shared
    table.close()


def test_a_key_has_its_burst_and_then_its_rate(table: LimitTable, clock: Clock) -> None:
    assert ask_until_refused(table) == 5
    clock.advance(0.999)
    assert not ask(table)
    clock.advance(0.001)
    assert [ask(table), ask(table)] == [True, False]
    clock.advance(3600)
    assert ask_until_refused(table) == 5


def test_keys_do_not_take_from_each_other(table: LimitTable) -> None:
    assert ask_until_refused(table) == 5
    assert ask_until_refused(table, ApiKey("key_2", "sha256:1")) == 5
    assert not ask(table)


def test_both_secrets_of_a_rotated_key_take_from_one_allowance(table: LimitTable) -> None:
    previous = replace(KEY, digest="sha256:1", is_previous=True)
    assert [ask(table, key) for key in (KEY, previous) * 3] == [True] * 5 + [False]
    assert not ask(table, KEY)


def test_a_key_has_its_own_limit_or_none(table: LimitTable) -> None:
    assert ask_until_refused(table, replace(KEY, key_id="key_2", rate_limit=3, rate_burst=0)) == 3
    assert table.admit(replace(KEY, key_id="key_3", rate_limit=0)) is None


def test_a_limit_that_was_changed_holds_from_the_next_request_on(table: LimitTable) -> None:
    assert ask_until_refused(table) == 5
    assert ask_until_refused(table, replace(KEY, rate_burst=8)) == 3
    assert table.admit(replace(KEY, rate_limit=0)) is None
    assert not ask(table)


def test_a_limit_outlives_a_restart_and_is_over_in_its_time(
    path: Path, table: LimitTable, clock: Clock
) -> None:
    assert ask_until_refused(table) == 5
    table.close()
    again = reopen(path, clock)
    assert not ask(again)
    clock.advance(2)
    assert ask_until_refused(again) == 2
    again.close()


def test_a_clock_that_jumps_back_lifts_no_limit_and_locks_nobody_out(table: LimitTable, clock: Clock) -> None:
    assert ask_until_refused(table) == 5
    clock.advance(-3600)
    assert not ask(table)
    clock.advance(1)
    assert ask_until_refused(table) == 1


def test_a_clock_that_jumps_forward_gives_one_burst(table: LimitTable, clock: Clock) -> None:
    assert ask_until_refused(table) == 5
    clock.advance(3600)
    assert ask_until_refused(table) == 5
    clock.advance(-3600)
    assert not ask(table)


def test_the_clock_is_the_machines_and_not_the_walls() -> None:
    before = read_clock_ns()
    assert 0 < before <= read_clock_ns() < time.time_ns() // 2
    assert before // SECOND_NS >= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // SECOND_NS - 1


def test_a_machine_that_was_started_anew_locks_no_key_out(
    path: Path, table: LimitTable, clock: Clock
) -> None:
    assert ask_until_refused(table) == 5
    table.close()
    Slots(path, boot=(1, 2)).close()  # as after an earlier start
    again = reopen(path, Clock(now_ns=1))
    assert ask_until_refused(again) == 5
    again.close()


def test_a_file_that_is_cut_in_use_is_made_anew_at_once(
    path: Path, table: LimitTable, caplog: pytest.LogCaptureFixture
) -> None:
    assert ask_until_refused(table) == 5
    os.truncate(path, 0)
    assert ask_until_refused(table) == 5
    assert table.is_shared
    assert path.stat().st_size == FILE_BYTES
    assert "opened again" in caplog.text


def test_workers_whose_file_was_deleted_meet_again_in_a_new_one(
    path: Path, table: LimitTable, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    other = reopen(path, clock)
    assert ask_until_refused(table) == 5
    path.unlink()
    assert not ask(other)  # the file without a name is shared until somebody looks
    clock.advance(CHECK_SECONDS)
    assert ask_until_refused(table) == 5
    assert not ask(other)
    assert path.stat().st_size == FILE_BYTES
    assert caplog.text.count("opened again") == 2
    other.close()


def test_a_file_that_was_overwritten_is_noticed(path: Path, table: LimitTable, clock: Clock) -> None:
    with path.open("r+b") as file:
        file.write(bytes(100))
    clock.advance(CHECK_SECONDS)
    assert ask_until_refused(table) == 5
    assert table.is_shared
    other = reopen(path, clock)
    assert not ask(other)
    other.close()


def test_a_worker_that_holds_a_lock_and_is_stopped_does_not_stop_the_others(
    path: Path, table: LimitTable, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    holder = start(HOLDER, path, digest_key_id("key_1")[0] % BUCKETS)
    assert holder.stdout is not None
    assert holder.stdout.read(1) == b"."
    holder.send_signal(signal.SIGSTOP)

    assert ask_until_refused(table) == 5
    assert not table.is_shared
    assert "on its own" in caplog.text

    holder.kill()
    holder.communicate()
    clock.advance(RETRY_SECONDS)
    assert ask(table)
    assert table.is_shared
    assert "together with other workers again" in caplog.text


def test_the_lock_of_a_killed_worker_costs_the_others_nothing(path: Path, table: LimitTable) -> None:
    holder = start(HOLDER, path, digest_key_id("key_1")[0] % BUCKETS)
    assert holder.stdout is not None
    assert holder.stdout.read(1) == b"."
    holder.kill()
    holder.communicate()
    assert ask_until_refused(table) == 5
    assert table.is_shared


def test_a_worker_goes_on_alone_while_there_can_be_no_file(
    path: Path, table: LimitTable, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    assert ask(table)
    path.unlink()
    path.mkdir()
    clock.advance(CHECK_SECONDS)
    assert ask_until_refused(table) == 5
    clock.advance(RETRY_SECONDS)
    assert ask_until_refused(table) == 5
    assert not table.is_shared
    assert caplog.text.count("on its own") == 2
    path.rmdir()
    clock.advance(RETRY_SECONDS)
    assert ask_until_refused(table) == 5
    assert table.is_shared


def test_a_file_that_cannot_be_had_at_the_start_is_an_error_with_a_hint(path: Path) -> None:
    path.mkdir(parents=True)
    with pytest.raises(InvalidInputError, match="cannot be kept in") as caught:
        LimitTable(path, rate_default=60)
    assert "rate_limiting.file" in caught.value.hint


def test_a_table_that_was_closed_still_answers(path: Path, table: LimitTable, clock: Clock) -> None:
    table.close()
    table.close()
    clock.advance(3600)
    assert ask_until_refused(table) == 5
    assert not table.is_shared


def test_more_busy_keys_than_there_is_room_for_are_logged_and_served(
    table: LimitTable, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(TICKETS_MAX + 1):
        assert ask(table, ApiKey(f"key_{number}", ""))
    assert ask_until_refused(table, ApiKey(f"key_{number}", "")) == 4
    with caplog.at_level(logging.WARNING):
        clock.advance(CHECK_SECONDS)
        ask(table)
    assert caplog.text.count("more keys are busy") == 1
