"""Gateway time: what the clock says, how times and durations are written and read.

Inside the gateway a time is an int, microseconds since the epoch, so that the hot path makes no datetime
objects. In rows it is an aware `datetime`; on disk it is RFC 3339 text of one fixed width at UTC+8, so that
text order is time order.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone, tzinfo

from proxy.errors import InvalidInputError

STORAGE_TIMEZONE = timezone(timedelta(hours=8))
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)  # noqa: UP017
_DURATION = re.compile(r"(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")
_OFFSET = re.compile(r"([+-])(\d{2}):?([0-5]\d)")
_UNITS = ("weeks", "days", "hours", "minutes", "seconds")


def now_us() -> int:
    """Return the wall clock in microseconds since the epoch."""
    return time.time_ns() // 1000


class ForwardClock:
    """A wall clock that never goes back: what comes later has the later time, whoever sets the system's.

    While the system's clock is behind what has been told, this one goes on at half its speed, so that it is
    caught up with. One for each thread that stamps what has to keep its order.
    """

    def __init__(
        self,
        wall_ns: Callable[[], int] = time.time_ns,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._wall_ns = wall_ns
        self._monotonic_ns = monotonic_ns
        self._told_us = 0
        self._told_at_ns = 0

    def now_us(self) -> int:
        """Return microseconds since the epoch, more than at any call before."""
        time_us, at_ns = self._wall_ns() // 1000, self._monotonic_ns()
        if time_us <= self._told_us:
            time_us = self._told_us + max(1, (at_ns - self._told_at_ns) // 2000)
        self._told_us, self._told_at_ns = time_us, at_ns
        return time_us


def from_us(time_us: int) -> datetime:
    """Return the aware datetime, at UTC+8, of microseconds since the epoch; exact to the microsecond."""
    return (_EPOCH + timedelta(microseconds=time_us)).astimezone(STORAGE_TIMEZONE)


def to_us(moment: datetime) -> int:
    """Return microseconds since the epoch; a datetime without offset means UTC+8, as stored rows did."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=STORAGE_TIMEZONE)
    return (aware - _EPOCH) // timedelta(microseconds=1)


def format_stored(moment: datetime) -> str:
    """Return the text a database holds: 2026-01-31T08:00:00.000000+08:00, always this wide."""
    return from_us(to_us(moment)).isoformat(timespec="microseconds")


def format_us(time_us: int) -> str:
    """Return the same text as `format_stored`, from microseconds since the epoch."""
    second = time_us // 1_000_000
    us = time_us - second * 1_000_000
    ms = us // 1000
    return f"{_SECONDS[second]}{_MILLISECONDS[ms]}{_MICROSECONDS[us - ms * 1000]}"


class _Seconds(dict[int, str]):
    """The texts of seconds: the recorder writes three a row, and most of a batch falls into the same few."""

    def __missing__(self, second: int) -> str:
        if len(self) >= _SECONDS_MAX:
            self.clear()
        text = self[second] = from_us(second * 1_000_000).strftime("%Y-%m-%dT%H:%M:%S")
        return text


_SECONDS = _Seconds()
_SECONDS_MAX = 256
_MILLISECONDS = tuple(f".{number:03}" for number in range(1000))
_MICROSECONDS = tuple(f"{number:03}+08:00" for number in range(1000))


def parse_stored(text: str) -> datetime:
    """Return the datetime of a stored text; one without offset means UTC+8."""
    return from_us(to_us(datetime.fromisoformat(text)))


def format_time(moment: datetime, zone: tzinfo, *, timespec: str = "milliseconds") -> str:
    """Return RFC 3339 text with the offset of `zone`."""
    return moment.astimezone(zone).isoformat(timespec=timespec)


def parse_timezone(text: str) -> timezone:
    """Return the fixed offset of `+08:00`, `-0330`, `UTC` or `Z`."""
    if text.upper() in ("UTC", "Z"):
        return timezone(timedelta(0))
    match = _OFFSET.fullmatch(text)
    offset = timedelta(hours=int(match[2]), minutes=int(match[3])) if match else timedelta(days=1)
    if offset >= timedelta(hours=24):
        raise InvalidInputError(f"{text!r} is not a UTC offset", hint="write it as +08:00 or UTC")
    return timezone(-offset if match and match[1] == "-" else offset)


def parse_duration(text: str) -> timedelta:
    """Return the length of `90d`, `1h30m` or `2w`; units are w, d, h, m and s, larger ones first."""
    match = _DURATION.fullmatch(text.strip())
    if not text.strip() or match is None:
        raise InvalidInputError(f"{text!r} is not a duration", hint="write it as 15m, 1h30m or 7d")
    try:
        return timedelta(**{unit: int(n or 0) for unit, n in zip(_UNITS, match.groups(), strict=True)})
    except (OverflowError, ValueError):  # ValueError: more digits than Python reads into an int
        raise InvalidInputError("the duration is too long", hint="write it as 15m, 1h30m or 7d") from None


def parse_moment(text: str, *, now: datetime, zone: tzinfo, future: bool = False) -> datetime:
    """Return the time that a person wrote.

    `15m` is that long before `now` (after it if `future`), `today` and `yesterday` are midnight in `zone`,
    anything else is RFC 3339 or ISO 8601; without an offset it is in `zone`.
    """
    midnight = now.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
    words = {"now": now, "today": midnight, "yesterday": midnight - timedelta(days=1)}
    if text in words:
        return words[text]
    try:
        moment = _read_moment(text, now, zone, future=future)
        format_stored(moment)  # the first and the last hours of the calendar do not exist at every offset
    except (InvalidInputError, OverflowError):
        raise InvalidInputError(
            f"{text!r} is not a time", hint="write it as 15m, 7d, today or 2026-01-31T08:00:00+08:00"
        ) from None
    return moment


def list_hours(now: datetime, zone: tzinfo, count: int) -> list[datetime]:
    """Return when each of the last hours of a zone's clock began, the present one last."""
    hour = now.astimezone(zone).replace(minute=0, second=0, microsecond=0)
    return [hour - timedelta(hours=back) for back in range(count - 1, -1, -1)]


def list_days(now: datetime, zone: tzinfo, count: int) -> list[datetime]:
    """Return when each of the last days of a zone began, the present one last; its offset is a fixed one."""
    midnight = now.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
    return [midnight - timedelta(days=back) for back in range(count - 1, -1, -1)]


def _read_moment(text: str, now: datetime, zone: tzinfo, *, future: bool) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        length = parse_duration(text)
        return now + length if future else now - length
    return moment if moment.tzinfo else moment.replace(tzinfo=zone)
