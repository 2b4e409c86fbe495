"""What the predecessor did with a request, in a few lines: the yardstick for what routes are made of.

Written from its observed rules: a `*` is any text; the first route of the smallest priority wins, the older
one before the newer; the target path is sent as it is, and what followed the pattern is appended to it only
where the prefix is to be stripped and the pattern, without its last slashes and stars, begins the path.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

SCHEMA_WORDS = {"type", "properties", "required", "items", "additionalProperties", "enum", "const"}


def matches_path(pattern: str, path: str) -> bool:
    """Tell whether an old pattern matches."""
    expression = ""
    for piece in re.findall(r"\*|\{path:path\}|\{[^}]+\}|.", pattern):
        if piece in ("*", "{path:path}"):
            expression += ".*"
        elif len(piece) > 1:
            expression += "[^/]+"
        else:
            expression += re.escape(piece)
    return re.fullmatch(expression, path) is not None


def matches_body(wanted: Mapping[str, Any], body: Any) -> bool:
    """Tell whether a body fits the short form of a condition."""
    assert SCHEMA_WORDS.isdisjoint(wanted)
    return not wanted or (isinstance(body, dict) and all(body.get(k, ...) == v for k, v in wanted.items()))


def build_url(route: Mapping[str, Any], path: str) -> str:
    """Return the URL that a matched request was sent to."""
    target = route["target_path"]
    stem = route["match_path"].rstrip("/*")
    if route["strip_path_prefix"] and path.startswith(stem):
        rest = path[len(stem) :].lstrip("/")
        target = f"{target.rstrip('/')}/{rest}" if rest else target
    return f"{route['target_protocol']}://{route['target_host']}{target or '/'}"


def find_url(routes: Iterable[Mapping[str, Any]], method: str, path: str, body: Any = None) -> str | None:
    """Return where the predecessor sent a request, None if nowhere; the routes are in order of age."""
    for route in sorted(routes, key=lambda route: route["priority"]):
        methods = (route["match_method"] or "ANY").upper()
        if (
            route["is_active"]
            and matches_path(route["match_path"], path)
            and (methods == "ANY" or method in re.split(r"\s*,\s*", methods.strip()))
            and matches_body(json.loads(route["match_body_schema"] or "{}"), body)
        ):
            return build_url(route, path)
    return None
