"""The file of slots that all workers of a machine share: how it is laid out, found, made and locked.

A header of one page, then `SLOTS` slots of four 64-bit words in the machine's byte order: two for the digest
of a key id, one for its arrival time, one unused. They lie in buckets; a key's slot is always in the bucket
that its digest names, and nobody reads or writes a bucket without holding the lock on its bytes. So what
happens to one key happens in one order, whichever process does it. The kernel releases the locks of a
process that dies. It writes whole words only, and a slot is valid after each: a death between two costs
one key one request that never left the gateway, or leaves a digest that no key has.

The locks are POSIX record locks: they belong to a process, not to a thread or an object. One thread of a
process uses one of these objects; a process that forks opens its own. Closing any descriptor of the file
releases all locks of its process on it, so this one opens it once, and closes it, and the mapping's copy of
it, only while it holds none.

A mapping that is touched beyond the end of its file kills the process (SIGBUS). The program never makes the
file shorter: it is made whole and renamed into place, and replaced the same way. Of others only its owner
and root can, for it is 0600: `lock` looks at the size each time and raises `OSError` for a file that was cut,
which leaves the time between that look and the access. To forget all limits delete the file; never write
into it.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import mmap
import os
import stat
import time
from contextlib import suppress
from pathlib import Path

from proxy.audit.segments import make_journal_directory

SLOTS = 1 << 16
BUCKET_SLOTS = 16
BUCKETS = SLOTS // BUCKET_SLOTS
SLOT_WORDS = 4
BUCKET_WORDS = BUCKET_SLOTS * SLOT_WORDS
LOCK_WAIT_SECONDS_MAX = 0.25
OPEN_WAIT_SECONDS_MAX = 2.0  # for another worker to make the file
OPEN_ATTEMPTS_MAX = 10
_WORD_BYTES = 8
_BUCKET_BYTES = BUCKET_WORDS * _WORD_BYTES
_HEADER_BYTES = 4096
_HEADER_WORDS = _HEADER_BYTES // _WORD_BYTES
FILE_BYTES = _HEADER_BYTES + BUCKETS * _BUCKET_BYTES
_MAGIC = int.from_bytes(b"fglimits", "little")
_VERSION = 1
_LOCK_RETRY_SECONDS = 0.000_02
_MODE = 0o600
_TRY_LOCK = fcntl.LOCK_EX | fcntl.LOCK_NB
_ASIDE = ".old"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_log = logging.getLogger(__name__)


class Slots:
    """The open and mapped file. `words` are its 64-bit words; those of bucket N begin at `first_word(N)`.

    Opening makes a file that is missing, or that is cut, damaged, of another version or from before the
    machine last started: arrival times count from there. Raises `OSError` if it cannot be had.
    """

    def __init__(
        self,
        path: Path,
        *,
        boot: tuple[int, int] | None = None,
        lock_wait_seconds: float = LOCK_WAIT_SECONDS_MAX,
    ) -> None:
        self._path = path
        self._expected = (_MAGIC, _VERSION, SLOTS, *(read_boot() if boot is None else boot))
        self._lock_wait_seconds = lock_wait_seconds
        make_journal_directory(path.parent)
        self._file = self._open()
        self._identity = _identify(os.fstat(self._file))
        try:
            self._map = mmap.mmap(self._file, FILE_BYTES)
        except (OSError, ValueError) as error:
            os.close(self._file)
            raise OSError("the file cannot be mapped") from error
        self.words = memoryview(self._map).cast("q")

    def close(self) -> None:
        """Give the file back. What it holds stays."""
        self.words.release()
        self._map.close()
        os.close(self._file)

    def lock(self, bucket: int) -> None:
        """Take a bucket's lock. Raises `OSError` for a file that was cut, `TimeoutError` if it takes long."""
        start = _HEADER_BYTES + bucket * _BUCKET_BYTES
        try:
            fcntl.lockf(self._file, _TRY_LOCK, _BUCKET_BYTES, start)
        except BlockingIOError:
            _wait_for_lock(self._file, _BUCKET_BYTES, start, self._lock_wait_seconds)
        if os.lseek(self._file, 0, os.SEEK_END) < FILE_BYTES:
            self.unlock(bucket)
            raise OSError("the file was cut short")

    def unlock(self, bucket: int) -> None:
        """Release a bucket's lock."""
        fcntl.lockf(self._file, fcntl.LOCK_UN, _BUCKET_BYTES, _HEADER_BYTES + bucket * _BUCKET_BYTES)

    def check(self) -> None:
        """Raise `OSError` unless the file is whole and still the one at its path, as others find it."""
        if _identify(self._path.stat()) != self._identity:
            raise OSError("the file was replaced")
        if not _is_valid(self._file, self._expected):
            raise OSError("the file was damaged")

    def _open(self) -> int:
        for _ in range(OPEN_ATTEMPTS_MAX):
            file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _MODE)
            is_ready = False
            try:
                is_ready = self._is_ready(file)
            finally:
                if not is_ready:
                    os.close(file)
            if is_ready:
                return file
        raise OSError("the file keeps being replaced")

    def _is_ready(self, file: int) -> bool:
        if _is_valid(file, self._expected):
            return True
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise OSError("it is no regular file")
        # Of several that find it unfit one makes it anew; the others find the new one when they look again.
        _wait_for_lock(file, _HEADER_BYTES, 0, OPEN_WAIT_SECONDS_MAX)
        if _identify(os.fstat(file)) == _identify(self._path.stat()) and not _is_valid(file, self._expected):
            self._replace(file)
        return False

    def _replace(self, file: int) -> None:
        beginning = os.pread(file, _WORD_BYTES, 0)
        is_foreign = beginning.strip(b"\0") and beginning != _MAGIC.to_bytes(_WORD_BYTES, "little")
        if is_foreign:
            # A wrong path in the configuration must not cost anybody a file: a link is made, or is refused.
            aside = self._path.with_name(self._path.name + _ASIDE)
            try:
                aside.hardlink_to(self._path)
            except FileExistsError:
                raise OSError(f"it is no file of rate limits, and {aside} is there already") from None
            _log.error("%s was no file of rate limits; what it was is now %s", self._path, aside)
        elif beginning:
            _log.warning("%s does not fit this program and this boot: all rate limits start anew", self._path)
        _write_new(self._path, self._expected)


def first_word(bucket: int) -> int:
    """Return where in `words` a bucket begins."""
    return _HEADER_WORDS + bucket * BUCKET_WORDS


def find_slot(words: memoryview[int], bucket: int, digest: tuple[int, int], now_ns: int) -> tuple[int, bool]:
    """Return where in `words` the slot of a key is, having made it that key's if it has none yet.

    A slot whose arrival time is over says what an empty one says, that the allowance is full, and is given
    away without loss. In a bucket without one, whoever is closest to a full allowance gets it back at once;
    the second value tells of that.
    """
    first, second = digest
    start = first_word(bucket)
    idlest = start
    for place in range(start, start + BUCKET_WORDS, SLOT_WORDS):
        if words[place] == first and words[place + 1] == second:
            return place, False
        if words[place + 2] < words[idlest + 2]:
            idlest = place
    is_crowded = words[idlest + 2] > now_ns
    words[idlest + 2] = 0
    words[idlest], words[idlest + 1] = first, second
    return idlest, is_crowded


def digest_key_id(key_id: str) -> tuple[int, int]:
    """Return the two words that stand for a key in the file."""
    return _digest(key_id.encode("utf-8", "surrogatepass"))


def read_boot() -> tuple[int, int]:
    """Return two words that are others after each start of the machine, or the same ones if nobody tells."""
    try:
        return _digest(_BOOT_ID.read_bytes())
    except OSError:
        return 0, 0


def _digest(data: bytes) -> tuple[int, int]:
    digest = hashlib.blake2b(data, digest_size=2 * _WORD_BYTES).digest()
    return (
        int.from_bytes(digest[:_WORD_BYTES], "little", signed=True),
        int.from_bytes(digest[_WORD_BYTES:], "little", signed=True),
    )


def _pack_header(expected: tuple[int, ...]) -> bytes:
    return b"".join(word.to_bytes(_WORD_BYTES, "little", signed=True) for word in expected)


def _wait_for_lock(file: int, length: int, start: int, seconds_max: float) -> None:
    # A bucket's lock is held for microseconds: only a process that was stopped meanwhile makes others wait.
    deadline = time.monotonic() + seconds_max
    while True:
        with suppress(BlockingIOError):
            fcntl.lockf(file, _TRY_LOCK, length, start)
            return
        if time.monotonic() > deadline:
            raise TimeoutError("another process holds on to a lock")
        time.sleep(_LOCK_RETRY_SECONDS)


def _is_valid(file: int, expected: tuple[int, ...]) -> bool:
    header = _pack_header(expected)
    return os.fstat(file).st_size >= FILE_BYTES and os.pread(file, len(header), 0) == header


def _write_new(path: Path, expected: tuple[int, ...]) -> None:
    new = path.with_name(f"{path.name}.{os.getpid()}.new")
    new.unlink(missing_ok=True)
    file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE)
    try:
        # Every byte is written: touching a hole in a mapped file on a full disk kills the process.
        with os.fdopen(file, "wb") as stream:
            os.fchmod(file, _MODE)
            stream.write(_pack_header(expected).ljust(FILE_BYTES, b"\0"))
        new.replace(path)
    except OSError:
        new.unlink(missing_ok=True)
        raise


def _identify(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
