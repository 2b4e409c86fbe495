"""Whether one route takes every request that another could get: what `routes lint` calls shadowed.

The answer yes is always right. No means "not found": two patterns can cover each other in ways that are not
looked for here.
"""

from __future__ import annotations

import re

from proxy.policy.model import Route
from proxy.policy.patterns import Pattern
from proxy.policy.routing import CompiledRoute

_DEEP = "**"
_PLACEHOLDER = re.compile(r"\{[^{}]*\}")


def covers(wide: CompiledRoute, narrow: CompiledRoute) -> bool:
    """Tell whether every request that `narrow` matches is one that `wide` matches too."""
    return covers_pattern(wide.pattern, narrow.pattern) and _covers_conditions(wide.route, narrow.route)


def covers_pattern(wide: Pattern, narrow: Pattern) -> bool:
    """Tell whether every path that `narrow` matches is one that `wide` matches too."""
    if narrow.is_exact:
        return wide.match(narrow.text.encode()) is not None
    wide_segments, narrow_segments = _split(wide), _split(narrow)
    if wide_segments == narrow_segments:
        return True
    for position, segment in enumerate(wide_segments):
        if position >= len(narrow_segments):
            return False
        if segment == _DEEP and position == len(wide_segments) - 1:
            return True
        if not _covers_segment(segment, narrow_segments[position]):
            return False
    return len(wide_segments) == len(narrow_segments)


def _split(pattern: Pattern) -> list[str]:
    segments = _PLACEHOLDER.sub("{}", pattern.text).split("/")
    if segments[-1] == "*":
        segments[-1] = _DEEP
    return segments


def _covers_segment(wide: str, narrow: str) -> bool:
    if _DEEP in wide or _DEEP in narrow:
        return False
    if wide == "{}":
        return narrow.strip("*") != ""  # a placeholder is never empty, `*` may be
    return wide in ("*", narrow)


def _covers_conditions(wide: Route, narrow: Route) -> bool:
    has_methods = not wide.match_methods or (
        bool(narrow.match_methods) and narrow.match_methods <= wide.match_methods
    )
    asked = {(name.lower(), glob) for name, glob in narrow.match_headers}
    names = {name for name, _ in asked}
    has_headers = all(
        (name.lower() in names) if glob is None else (name.lower(), glob) in asked
        for name, glob in wide.match_headers
    )
    has_body = wide.match_body_schema is None or wide.match_body_schema == narrow.match_body_schema
    return has_methods and has_headers and has_body
