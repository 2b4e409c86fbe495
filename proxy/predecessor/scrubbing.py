"""Finding the secrets of the predecessor's keys in any text, so that none of them comes along.

It kept them in clear text, in the rows of its audit trail too, and a client may have put one into a path.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from urllib.parse import quote

MASK = "[redacted]"
# A shorter secret is found in texts that do not hold it, and would make them unreadable.
LENGTH_MIN = 8
Scrub = Callable[[str], str]


def build_scrub(secrets: Iterable[bytes]) -> Scrub:
    """Return the function that masks every occurrence of a secret, also where it is escaped."""
    spellings: set[str] = set()
    for secret in secrets:
        if len(secret) >= LENGTH_MIN:
            text = secret.decode("latin-1")
            spellings |= {text, quote(text, safe=""), quote(secret, safe=""), json.dumps(text)[1:-1]}
    if not spellings:
        return lambda text: text
    # Longest first: one secret may begin with another. What all have in front is looked for at once.
    expression = re.compile("|".join(map(re.escape, sorted(spellings, key=lambda text: (-len(text), text)))))
    return lambda text: expression.sub(MASK, text)
