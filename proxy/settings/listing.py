"""Settings one by one, as they may be shown: their values as JSON has them, and where they came from.

No secret is among them. A value that is shown can be set again, unless it was a secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import tzinfo
from typing import Any

from proxy.clock import format_time, from_us
from proxy.settings.kinds import Kind
from proxy.settings.model import SECTIONS, Settings, section_keys

HIDDEN = "•••"
_EGRESS_PROXY = "proxy.egress_proxy"
_CREDENTIALS = re.compile(r"(?<=://)[^/]*(?=@)")
_SIZES = ((1 << 30, "GB"), (1 << 20, "MB"), (1 << 10, "KB"))


@dataclass(frozen=True, slots=True)
class Listed:
    """One setting: "app.port", its value as JSON has it, as people read it, and where it came from.

    `origin` is "default", "FILE:LINE" or "environment:NAME".
    """

    name: str
    value: Any
    text: str
    origin: str


def list_settings(settings: Settings) -> Iterator[Listed]:
    """Yield every setting, in the order of the sections."""
    for section in SECTIONS:
        for key, kind, _ in section_keys(section):
            yield _list_setting(settings, section, key, kind)


def _list_setting(settings: Settings, section: str, key: str, kind: Kind) -> Listed:
    name = f"{section}.{key}"
    value = _show_plain(getattr(getattr(settings, section), key))
    if kind.is_secret:
        value = HIDDEN if value else ""
    if name == _EGRESS_PROXY:
        value = _CREDENTIALS.sub(HIDDEN, value)
    origin = settings.origins[name]
    if origin.startswith("file:"):
        origin = f"{settings.source}:{origin.removeprefix('file:')}"
    return Listed(name, value, _spell(value, kind), origin)


def _show_plain(value: object) -> Any:
    if isinstance(value, tuple):
        return [_show_plain(item) for item in value]
    if isinstance(value, tzinfo):
        return format_time(from_us(0), value)[-len("+00:00") :]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if value is None or isinstance(value, bool | int | float | str):
        return "" if value is None else value
    return str(value)  # a path or a network


def _spell(value: Any, kind: Kind) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if kind.unit == "bytes" and value:
        for size, unit in _SIZES:
            if value % size == 0:
                return f"{value // size}{unit}"
    return str(value)
