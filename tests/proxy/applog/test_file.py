"""The log file: rotated by size, found again when it was moved, whole lines or none, and its errors."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.applog.file import LogFile, check_log_file
from proxy.errors import InvalidInputError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "logs" / "gate.log"


def read_all(path: Path) -> dict[str, str]:
    """Return what the file and those before it hold."""
    return {file.name: file.read_text() for file in path.parent.iterdir()}


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """Let no file grow beyond a size: as on a disk that is full, a write takes a part and then fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_file_and_folder_are_made_for_their_owner_only(path: Path) -> None:
    LogFile(path).write(b"one\n")
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_what_is_there_is_kept_as_it_is(path: Path) -> None:
    path.parent.mkdir(mode=0o755)
    path.write_text("before\n")
    path.chmod(0o640)
    LogFile(path).write(b"after\n")
    assert path.read_text() == "before\nafter\n"
    assert path.stat().st_mode & 0o777 == 0o640


def test_it_is_put_aside_before_it_would_be_too_large(path: Path) -> None:
    file = LogFile(path, 10, 2)
    for number in range(1, 8):
        file.write(b"%d234\n" % number)
    assert read_all(path) == {
        "gate.log": "7234\n",
        "gate.log.1": "5234\n6234\n",
        "gate.log.2": "3234\n4234\n",
    }
    assert (path.parent / "gate.log.1").stat().st_mode & 0o777 == 0o600


@settings(max_examples=30)
@given(st.lists(st.binary(min_size=1, max_size=30), max_size=30), st.integers(1, 40), st.integers(0, 3))
def test_of_the_lines_only_the_oldest_ever_go(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], size_max: int, backup_count: int
) -> None:
    path = tmp_path_factory.mktemp("logs") / "x"
    file = LogFile(path, size_max, backup_count)
    for line in lines:
        file.write(line)
    file.close()
    kept = sorted(path.parent.iterdir(), key=lambda file: -int(file.suffix[1:] or 0))
    assert len(kept) <= backup_count + 1
    assert all(file.stat().st_size <= max(size_max, *map(len, lines)) for file in kept)
    whole = b"".join(file.read_bytes() for file in kept)
    assert whole in [b"".join(lines[start:]) for start in range(len(lines) + 1)]
    if lines:
        assert whole


def test_without_backups_it_starts_anew(path: Path) -> None:
    file = LogFile(path, 10)
    for number in range(3):
        file.write(b"%d234\n" % number)
    assert read_all(path) == {"gate.log": "2234\n"}


def test_without_a_size_it_is_never_put_aside(path: Path) -> None:
    file = LogFile(path, 0, 2)
    for _ in range(1000):
        file.write(b"one\n")
    assert list(read_all(path)) == ["gate.log"]


def test_backups_beyond_the_number_that_is_kept_go(path: Path) -> None:
    path.parent.mkdir()
    for number in range(1, 7):
        path.with_name(f"gate.log.{number}").write_text(f"{number}\n")
    file = LogFile(path, 4, 2)
    file.write(b"one\n")
    assert len(read_all(path)) == 7
    file.write(b"two\n")
    assert read_all(path) == {"gate.log": "two\n", "gate.log.1": "one\n", "gate.log.2": "1\n"}


def test_one_that_was_renamed_is_left_alone_and_a_fresh_one_begun(path: Path) -> None:
    file = LogFile(path)
    file.write(b"one\n")
    path.rename(path.with_name("aside"))
    file.write(b"two\n")
    path.rename(path.with_name("other"))
    path.write_text("theirs\n")
    file.write(b"three\n")
    assert read_all(path) == {"aside": "one\n", "other": "two\n", "gate.log": "theirs\nthree\n"}


def test_one_that_was_deleted_with_its_folder_is_made_again(path: Path) -> None:
    file = LogFile(path)
    for _ in range(2):
        file.write(b"one\n")
        path.unlink()
        path.parent.rmdir()
    file.write(b"two\n")
    assert read_all(path) == {"gate.log": "two\n"}


def test_one_that_was_emptied_is_appended_to(path: Path) -> None:
    file = LogFile(path)
    file.write(b"one\n")
    os.truncate(path, 0)
    file.write(b"two\n")
    assert path.read_bytes() == b"two\n"


def test_a_line_that_does_not_fit_leaves_nothing_of_it(path: Path) -> None:
    file = LogFile(path)
    file.write(b"one\n")
    with file_size_limit(8), pytest.raises(OSError, match="too large"):
        file.write(b"too long\n")
    assert path.read_bytes() == b"one\n"
    file.write(b"next\n")
    assert path.read_bytes() == b"one\nnext\n"


def test_a_folder_that_cannot_be_made_is_an_error_until_it_can(path: Path) -> None:
    path.parent.write_text("in the way")
    file = LogFile(path)
    with pytest.raises(NotADirectoryError):
        file.write(b"one\n")
    path.parent.unlink()
    file.write(b"two\n")
    assert path.read_bytes() == b"two\n"


def test_one_that_cannot_be_put_aside_grows_and_says_so(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    in_the_way = path.with_name("gate.log.1")
    in_the_way.mkdir(parents=True)
    file = LogFile(path, 10, 1)
    for number in range(9):
        file.write(b"%d234\n" % number)
    assert len(path.read_bytes().splitlines()) == 9
    # Not with every line.
    assert [record.message for record in caplog.records] == [
        f"{path} cannot be put aside, and grows: Is a directory"
    ] * 4
    in_the_way.rmdir()
    while not in_the_way.exists():
        file.write(b"next\n")
    assert in_the_way.read_bytes().startswith(b"0234\n1234\n")
    assert path.read_bytes() == b"next\n"


def test_what_a_link_leads_to_is_written_and_not_put_aside(path: Path) -> None:
    path.parent.mkdir()
    path.symlink_to(path.with_name("real"))
    file = LogFile(path, 10, 1)
    for _ in range(5):
        file.write(b"1234\n")
    assert path.is_symlink()
    assert path.with_name("real").read_bytes() == b"1234\n" * 5
    assert len(list(path.parent.iterdir())) == 2


def test_a_device_can_be_logged_to(tmp_path: Path) -> None:
    ours, theirs = os.pipe()
    file = LogFile(Path(f"/dev/fd/{theirs}"), 1, 1)
    file.write(b"one\n")
    file.write(b"two\n")
    file.close()
    os.close(theirs)
    with open(ours, "rb") as pipe:
        assert pipe.read() == b"one\ntwo\n"
    with pytest.raises(OSError, match="No space"):
        LogFile(Path("/dev/full")).write(b"one\n")


def test_one_that_can_be_written_is_there_after_the_check(path: Path) -> None:
    check_log_file(path)
    assert path.read_bytes() == b""


def test_one_that_cannot_be_opened_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "fifo")
    for bad in (tmp_path, tmp_path / "file" / "gate.log", tmp_path / "fifo"):
        with pytest.raises(InvalidInputError, match=f"logging.file: {bad} cannot be written: ") as caught:
            check_log_file(bad)
        assert "standard error" in caught.value.hint
