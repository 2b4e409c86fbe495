"""The shared file of slots on a real disk: made once, replaced whole, locked bucket by bucket."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.gateway.slots import (
    BUCKET_SLOTS,
    BUCKETS,
    FILE_BYTES,
    SLOT_WORDS,
    Slots,
    digest_key_id,
    find_slot,
    first_word,
    read_boot,
)

ROOT = Path(__file__).parents[3]
HOLDER = """
import sys
from pathlib import Path
from proxy.gateway.slots import Slots
slots = Slots(Path(sys.argv[1]))
slots.lock(int(sys.argv[2]))
print("held", flush=True)
sys.stdin.read()
"""
OPENER = """
import sys
from pathlib import Path
from proxy.gateway.slots import Slots, first_word
print("ready", flush=True)
sys.stdin.read()
slots = Slots(Path(sys.argv[1]))
slots.words[first_word(int(sys.argv[2]))] = 42
"""
NOW_NS = 1_000_000


@contextmanager
def holder_of(path: Path, bucket: int) -> Iterator[subprocess.Popen[str]]:
    """Run a process that holds the lock of a bucket until it is told, or killed."""
    command = [sys.executable, "-c", HOLDER, str(path), str(bucket)]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "limits"


def write_number(path: Path, number: int) -> None:
    slots = Slots(path)
    slots.words[first_word(7) + 2] = number
    slots.close()


def read_number(path: Path, *, boot: tuple[int, int] | None = None) -> int:
    slots = Slots(path, boot=boot)
    number = slots.words[first_word(7) + 2]
    slots.close()
    return number


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def files_in(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def test_the_file_is_for_its_owner_only_and_takes_its_room_at_once(path: Path) -> None:
    old = os.umask(0)
    try:
        Slots(path).close()
    finally:
        os.umask(old)
    assert (mode_of(path), mode_of(path.parent)) == (0o600, 0o700)
    assert path.stat().st_size == FILE_BYTES
    assert path.stat().st_blocks * 512 >= FILE_BYTES  # a hole could not be filled on a full disk
    assert files_in(path.parent) == ["limits"]


def test_what_it_holds_outlives_a_restart(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_number(path, 42)
    assert read_number(path) == 42
    assert caplog.text == ""


def test_two_openers_see_the_same_words(path: Path) -> None:
    one, two = Slots(path), Slots(path)
    one.words[first_word(0)] = 42
    assert two.words[first_word(0)] == 42
    one.close()
    two.close()


def test_after_a_restart_of_the_machine_it_starts_anew(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_number(path, 42)
    assert read_number(path, boot=(1, 2)) == 0
    assert "start anew" in caplog.text


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells one start from another")
def test_a_start_of_the_machine_has_a_name() -> None:
    assert read_boot() == read_boot() != (0, 0)


@pytest.mark.parametrize("size", [0, 5, 8, 4096, FILE_BYTES - 1])
def test_a_file_that_was_cut_is_made_anew(path: Path, size: int) -> None:
    write_number(path, 42)
    os.truncate(path, size)
    assert read_number(path) == 0
    assert path.stat().st_size == FILE_BYTES
    assert "limits" in files_in(path.parent)


def test_a_file_of_another_version_is_made_anew_and_its_users_keep_theirs(path: Path) -> None:
    older = Slots(path)
    older.words[1] = 99
    older.words[first_word(7) + 2] = 42
    assert read_number(path) == 0
    assert older.words[first_word(7) + 2] == 42
    older.close()
    assert files_in(path.parent) == ["limits"]


def test_a_file_of_zeros_is_made_anew(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path.parent.mkdir()
    path.write_bytes(bytes(FILE_BYTES))
    assert read_number(path) == 0
    assert "start anew" in caplog.text


def test_a_file_of_somebody_else_is_kept_aside(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path.parent.mkdir()
    path.write_bytes(b"SQLite format 3\0 and so on")
    assert read_number(path) == 0
    assert path.with_name("limits.old").read_bytes() == b"SQLite format 3\0 and so on"
    assert "was no file of rate limits" in caplog.text


def test_a_file_of_somebody_else_is_refused_if_it_cannot_be_kept(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"SQLite format 3\0 and so on")
    path.with_name("limits.old").write_bytes(b"an earlier one")
    with pytest.raises(OSError, match="is there already"):
        Slots(path)
    assert path.read_bytes() == b"SQLite format 3\0 and so on"
    assert path.with_name("limits.old").read_bytes() == b"an earlier one"


def test_what_is_no_regular_file_is_refused_and_left(path: Path) -> None:
    path.parent.mkdir()
    os.mkfifo(path)
    with pytest.raises(OSError, match="no regular file"):
        Slots(path)
    assert stat.S_ISFIFO(path.stat().st_mode)


def test_no_descriptor_is_left_open(path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    write_number(path, 42)
    os.truncate(path, 100)
    write_number(path, 42)
    path.write_bytes(b"something else")
    path.with_name("limits.old").touch()
    with pytest.raises(OSError, match="is there already"):
        Slots(path)
    assert len(os.listdir("/proc/self/fd")) == before


def test_many_that_start_at_once_open_one_file(path: Path) -> None:
    start_read, start_write = os.pipe()
    openers = [
        subprocess.Popen(
            [sys.executable, "-c", OPENER, str(path), str(number)],
            cwd=ROOT,
            stdin=start_read,
            stdout=subprocess.PIPE,
        )
        for number in range(4)
    ]
    for opener in openers:
        assert opener.stdout is not None
        opener.stdout.readline()
    os.close(start_write)
    assert [opener.communicate()[0] for opener in openers] == [b""] * 4
    os.close(start_read)
    slots = Slots(path)
    assert [slots.words[first_word(number)] for number in range(4)] == [42] * 4
    slots.close()
    assert files_in(path.parent) == ["limits"]


def test_a_bucket_has_one_holder_and_the_others_are_free(path: Path) -> None:
    with holder_of(path, 5):
        slots = Slots(path, lock_wait_seconds=0.01)
        with pytest.raises(TimeoutError):
            slots.lock(5)
        for bucket in (4, 6, 0, BUCKETS - 1):
            slots.lock(bucket)
            slots.unlock(bucket)
        slots.close()


def test_a_lock_is_waited_for(path: Path) -> None:
    with holder_of(path, 5) as holder:
        slots = Slots(path, lock_wait_seconds=30)
        holder.terminate()
        slots.lock(5)
        slots.close()


def test_the_lock_of_a_process_that_was_killed_is_free(path: Path) -> None:
    with holder_of(path, 5) as holder:
        slots = Slots(path, lock_wait_seconds=0.01)
        with pytest.raises(TimeoutError):
            slots.lock(5)
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        slots.lock(5)
        slots.close()


def test_a_file_that_is_cut_in_use_is_an_error_and_no_signal(path: Path) -> None:
    slots = Slots(path)
    os.truncate(path, 100)
    with pytest.raises(OSError, match="cut short"):
        slots.lock(5)
    with pytest.raises(OSError, match="damaged"):
        slots.check()
    slots.close()


def test_a_check_finds_what_others_would_not_find(path: Path) -> None:
    slots = Slots(path)
    slots.check()
    path.unlink()
    with pytest.raises(FileNotFoundError):
        slots.check()
    Slots(path).close()
    with pytest.raises(OSError, match="replaced"):
        slots.check()
    slots.close()


def words_without_a_file() -> memoryview[int]:
    return memoryview(bytearray(FILE_BYTES)).cast("q")


def test_a_key_is_found_where_it_was_put() -> None:
    words = words_without_a_file()
    place, _ = find_slot(words, 3, (1, 2), NOW_NS)
    words[place + 2] = 42
    other, _ = find_slot(words, 3, (1, 3), NOW_NS)
    assert other != place
    assert find_slot(words, 3, (1, 2), NOW_NS) == (place, False)
    assert (words[place + 2], words[other + 2]) == (42, 0)


@settings(max_examples=100)
@given(st.lists(st.tuples(st.integers(1, 40), st.integers(0, 2 * NOW_NS)), max_size=60))
def test_a_busy_key_is_forgotten_only_where_all_are_busy(steps: list[tuple[int, int]]) -> None:
    words = words_without_a_file()
    kept: dict[int, int] = {}
    for number, arrival_ns in steps:
        place, is_crowded = find_slot(words, 9, (number, -number), NOW_NS)
        busy = {key: until for key, until in kept.items() if until > NOW_NS}
        assert is_crowded == (number not in kept and len(busy) == BUCKET_SLOTS)
        if number not in kept and len(kept) == BUCKET_SLOTS:
            assert words[place + 2] == 0
        kept[number] = arrival_ns
        words[place + 2] = arrival_ns
        held = {words[at]: words[at + 2] for at in range(first_word(9), first_word(10), SLOT_WORDS)}
        kept = {key: until for key, until in kept.items() if held.get(key) == until}
        assert busy.keys() - {number} <= kept.keys() or is_crowded


def test_of_busy_keys_the_one_closest_to_idle_gives_way() -> None:
    words = words_without_a_file()
    for number in range(1, BUCKET_SLOTS + 1):
        place, _ = find_slot(words, 0, (number, 0), NOW_NS)
        words[place + 2] = NOW_NS + 100 - number
    last, _ = find_slot(words, 0, (BUCKET_SLOTS, 0), NOW_NS)
    assert find_slot(words, 0, (99, 0), NOW_NS) == (last, True)
    assert words[last + 2] == 0


def test_the_last_bucket_ends_with_the_file() -> None:
    assert first_word(BUCKETS) * 8 == FILE_BYTES


@pytest.mark.parametrize("key_id", ["key_1", "", "ключ", "bad\udcff"])
def test_a_key_id_has_a_digest_of_its_own(key_id: str) -> None:
    assert digest_key_id(key_id) == digest_key_id(key_id) != digest_key_id(key_id + "x")
    assert all(-(2**63) <= word < 2**63 for word in digest_key_id(key_id))
