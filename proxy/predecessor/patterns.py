"""Path patterns of the predecessor, and ours.

There a `*`, one or several, is any text across segments, `{name}` is text within one, and `{path:path}` is
as a `*`. Here a `*` reaches beyond its segment only as the whole last one, and `**` does so once anywhere.
A segment `.*` was meant as a regular expression, and is a `*`.
"""

from __future__ import annotations

import re
from itertools import count

from proxy.policy.patterns import REST
from proxy.predecessor.notes import Notebook

_COLUMN = "match_path"
_LEADING = re.compile(r"(?:\*|\{path:path\})+")
_WILDCARD = re.compile(r"((?:\*|\{path:path\})+)|\{([^}]+)\}")
_EXPRESSION_SEGMENT = re.compile(r"(?<=/)\.\*(?=/|\Z)")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def convert_pattern(text: str, book: Notebook) -> str:
    """Return our pattern for an old one; it may still be one that cannot be compiled."""
    plain = _EXPRESSION_SEGMENT.sub("*", text)
    if plain != text:
        book.change(_COLUMN, f"{text!r} is a regular expression: '.*' is written '*'")
    # Every path begins with a slash, so that a leading `*` has eaten it.
    leading = _LEADING.match(plain)
    rooted = "/" + plain if leading else plain
    if leading and plain[leading.end() :].startswith("/"):
        book.warn(_COLUMN, f"{text!r} no longer matches a path with nothing before that slash")
    converted = _convert_wildcards(rooted, book)
    if converted != plain:
        book.change(_COLUMN, f"{text!r} is written {converted!r}")
    return converted


def finds_prefix(text: str) -> bool:
    """Tell whether stripping worked: the pattern without its last slashes and stars had to be plain text."""
    stem = _EXPRESSION_SEGMENT.sub("*", text).rstrip("/*")
    return not _WILDCARD.search(stem)


def _convert_wildcards(text: str, book: Notebook) -> str:
    pieces: list[str] = []
    names: set[str] = set()
    has_deep = False
    position = 0
    for match in _WILDCARD.finditer(text):
        pieces.append(text[position : match.start()])
        position = match.end()
        if match[2] is not None:
            pieces.append("{" + _choose_name(match[2], names) + "}")
        elif position == len(text) and "".join(pieces).endswith("/"):
            pieces.append("**" if match[0] == "**" and not has_deep else "*")
        elif _is_crowded(text, match):
            pieces.append("*")
            book.warn(_COLUMN, f"{text!r} has a '*' beside another wildcard: it stays within one segment now")
        elif has_deep:
            pieces.append("*")
            book.warn(_COLUMN, f"{text!r} has several '*': the later ones stay within one segment now")
        else:
            pieces.append("**")
            has_deep = True
    return "".join((*pieces, text[position:]))


def _is_crowded(text: str, match: re.Match[str]) -> bool:
    """Tell whether another wildcard stands in the same segment: a '**' has to be the only one there."""
    start, end = text.rfind("/", 0, match.start()) + 1, text.find("/", match.end())
    return len(_WILDCARD.findall(text[start : end if end >= 0 else len(text)])) > 1


def _choose_name(text: str, taken: set[str]) -> str:
    name = text
    numbers = count(1)
    while not _NAME.fullmatch(name) or name == REST or name in taken:
        name = f"p{next(numbers)}"
    taken.add(name)
    return name
