"""What a column is, and how one value of it reads: exactly in data formats, briefly in a table.

Pure: it never prints and never imports Rich. A style is the name of a Rich style, kept as text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any, Literal

from proxy.clock import format_time

Row = Mapping[str, Any]
# always: in tables and in data; wide: not in a plain table; data: in data and in the view of one object;
# display: in tables only, worked out from the other fields.
Shown = Literal["always", "wide", "data", "display"]
StepStatus = Literal["passed", "warning", "failed", "skipped"]
NO_VALUE = "-"
STATUS_STYLES: Mapping[str, str] = {"active": "green", "disabled": "dim", "expired": "yellow"}
_METHOD_STYLES: Mapping[str, str] = {"GET": "cyan", "POST": "blue", "DELETE": "red", "PUT": "magenta"}
_STATUS_CODE_STYLES: Mapping[int, str] = {2: "green", 3: "cyan", 4: "yellow", 5: "red"}
_COUNT_UNITS = ("k", "M", "G", "T")
_TIME_UNITS = ((86_400, "d"), (3_600, "h"), (60, "m"), (1, "s"))
# As they stand in a character class. C1 controls act in a terminal; line separators tear a table; what turns
# a line round (Unicode's bidirectional controls) or is not seen makes a text look like another one.
INVISIBLE = (
    "\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f"
)
_INVISIBLE = re.compile(f"[{INVISIBLE}]")
_CONTROLS = re.compile(f"[\x00-\x1f{INVISIBLE}]")
_NAMED_CONTROLS = {"\t": "\\t", "\n": "\\n", "\r": "\\r"}


@dataclass(frozen=True, slots=True)
class Column:
    """One field of a row. The first column of a list is the id that `-o id` prints.

    `text` makes a table's cell from the value and the zone to show times in; `style` names its colour;
    `value` works out a `display` column. An `elastic` column may be cut to fit the terminal, or, if it
    `wraps`, go on in the next line; the others are never cut. `width` is what a streamed table reserves.
    """

    name: str
    title: str = ""
    shown: Shown = "always"
    justify: Literal["left", "right"] = "left"
    elastic: bool = False
    wraps: bool = False
    width: int = 0
    text: Callable[[Any, tzinfo], str] | None = None
    style: Callable[[Any], str] | None = None
    value: Callable[[Row], Any] | None = None

    def value_of(self, row: Row) -> Any:
        """Return the field's value in a row; None where the row has none."""
        return self.value(row) if self.value else row.get(self.name)

    def cell_of(self, row: Row, zone: tzinfo, *, full: bool) -> str:
        """Return the text for a table; `full` gives the exact value rather than the brief one."""
        value = self.value_of(row)
        if value is None or value == [] or value == {}:
            return NO_VALUE
        brief = self.text is not None and not full
        return escape_controls(self.text(value, zone) if brief and self.text else format_text(value, zone))

    def style_of(self, row: Row) -> str:
        """Return the name of the Rich style for the value in a row."""
        value = self.value_of(row)
        if value is None or value == [] or value == {}:
            return "dim"
        return self.style(value) if self.style else ""


@dataclass(frozen=True, slots=True)
class Step:
    """One of several things that were looked at in turn, as people see it. `remedy` is what to do next."""

    status: StepStatus
    name: str
    detail: str
    remedy: str = ""


def format_plain(value: Any, zone: tzinfo) -> Any:
    """Return a value as JSON has it: times become RFC 3339 text, at any depth."""
    if value is None or isinstance(value, str | int | float):  # most are: an export has millions
        return value
    if isinstance(value, datetime):
        return format_time(value, zone, timespec="microseconds")
    if isinstance(value, Mapping):
        return {str(name): format_plain(item, zone) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [format_plain(item, zone) for item in value]
    return value


def format_text(value: Any, zone: tzinfo) -> str:
    """Return a value as one text: nothing for None, JSON for booleans, lists and objects."""
    plain = format_plain(value, zone)
    if plain is None:
        return ""
    if isinstance(plain, str):
        return plain
    return str(plain) if type(plain) is int else json.dumps(plain, ensure_ascii=False)


def escape_controls(text: str) -> str:
    r"""Return the text with what acts or is not seen spelled out (`\x1b`, `\u202e`): safe on a terminal."""
    return _CONTROLS.sub(_spell_control, text)


def escape_json(text: str) -> str:
    """Return JSON that means the same, with what acts on a terminal or is not seen as JSON's own escapes."""
    return _INVISIBLE.sub(lambda match: json.dumps(match[0])[1:-1], text)


def _spell_control(match: re.Match[str]) -> str:
    code = ord(match[0])
    if match[0] in _NAMED_CONTROLS:
        return _NAMED_CONTROLS[match[0]]
    return f"\\x{code:02x}" if code < 1 << 8 else f"\\u{code:04x}" if code < 1 << 16 else f"\\U{code:08x}"


def format_day(moment: datetime, zone: tzinfo) -> str:
    """Return the date in a zone."""
    return moment.astimezone(zone).strftime("%Y-%m-%d")


def format_minute(moment: datetime, zone: tzinfo) -> str:
    """Return date and time to the minute in a zone."""
    return moment.astimezone(zone).strftime("%Y-%m-%d %H:%M")


def format_second(moment: datetime, zone: tzinfo) -> str:
    """Return the time of day to the second in a zone."""
    return moment.astimezone(zone).strftime("%H:%M:%S")


def format_count(count: int, _: tzinfo) -> str:
    """Return a count in five characters: whole below ten thousand, else in thousands, millions, ..."""
    if count < 10_000:
        return str(count)
    size = float(count)
    for unit in _COUNT_UNITS:
        size /= 1000
        if size < 999.5 or unit == _COUNT_UNITS[-1]:
            break
    return f"{size:.1f}{unit}" if size < 99.95 else f"{size:.0f}{unit}"


def format_uptime(seconds: float, _: tzinfo) -> str:
    """Return a length of time in its two largest units: 3d4h, 12m5s, 0s."""
    return _format_length(seconds)


def format_age(moment: datetime, now: datetime) -> str:
    """Return how long ago it was; one that is still to come, by a clock that was set back, is now."""
    return f"{_format_length(max(0.0, (now - moment).total_seconds()))} ago"


def _format_length(seconds: float) -> str:
    left, parts = int(seconds), list[str]()
    for size, unit in _TIME_UNITS:
        count, left = divmod(left, size)
        if count or (parts and len(parts) < 2):
            parts.append(f"{count}{unit}")
    return "".join(parts[:2]) or "0s"


def format_list(values: list[str], _: tzinfo) -> str:
    """Return the items of a list with commas between them."""
    return ", ".join(values)


def format_flag(flag: bool, _: tzinfo) -> str:
    """Return yes or no."""
    return "yes" if flag else "no"


def style_status(status: str) -> str:
    """Return the style of active, disabled or expired."""
    return STATUS_STYLES.get(status, "")


def style_gateway_state(state: str) -> str:
    """Return the style of what a gateway is doing."""
    return "green" if state == "running" else "yellow"


def style_flag(flag: bool) -> str:
    """Return the style of a yes or no: on is green, off is dim."""
    return "green" if flag else "dim"


def style_method(method: str) -> str:
    """Return the style of an HTTP method."""
    return _METHOD_STYLES.get(method, "")


def style_status_code(code: int) -> str:
    """Return the style of an HTTP status code, by its class."""
    return _STATUS_CODE_STYLES.get(code // 100, "")


def style_error_share(errors: int, requests: int) -> str:
    """Return the style of requests, or of their bar, by how many of them are errors."""
    share = errors / requests if requests else 0
    return "red" if share >= 0.1 else "yellow" if share >= 0.01 else "cyan"


def style_success_rate(rate: float) -> str:
    """Return the style of a success rate in percent."""
    return "green" if rate > 99 else "yellow" if rate > 90 else "red"


def style_errors(count: int) -> str:
    """Return the style of a number of errors: none are no matter."""
    return "red" if count else "dim"


def style_quiet(_: Any) -> str:
    """Return the style of what matters less than its neighbours."""
    return "dim"
