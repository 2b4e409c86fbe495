"""Paths that a pattern matches, for trying a route without having to think of one. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial

from proxy.policy.patterns import Pattern

_WILDCARD = re.compile(r"\*+|\{([^{}]*)\}")
# What an API in the manner of OpenAI has there, by what comes before the first wildcard.
_KNOWN = (("/v1/chat/", "completions"), ("/v1/", "models"))
_NUMBERED = re.compile(r"(?:.*_)?(?:id|number|no|page)", re.IGNORECASE)
_WORDS = ("example", "test", "1", "41")  # the last also after a `%`


def example_paths(pattern: Pattern) -> Iterator[str]:
    """Yield paths that a pattern matches, the most sensible first; none if there is none of these forms."""
    if pattern.is_exact:
        yield pattern.text
        return
    known = [word for prefix, word in _KNOWN if pattern.literal_prefix.endswith(prefix)]
    seen = set()
    for word in (*known, *_WORDS):
        path = _WILDCARD.sub(partial(_fill, word), pattern.text)
        if path not in seen and pattern.match(path.encode()):
            seen.add(path)
            yield path


def _fill(word: str, match: re.Match[str]) -> str:
    return "1" if match[1] and _NUMBERED.fullmatch(match[1]) else word
