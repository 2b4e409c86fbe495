"""Path patterns: the five kinds of the contract, compiled to one regular expression over raw path bytes.

A pattern is matched against the path exactly as it came, percent-encoding included, because what was matched
is what is sent. `*` and `{name}` stay inside one segment; a `*` that is the whole last segment, and `**`
anywhere, reach any depth. Of two in one segment the first takes the less.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from proxy.errors import InvalidInputError

REST = "rest"
LENGTH_MAX = 500
# `**`; or a wildcard of one segment, with the literal between it and a next one there; or a literal.
_PIECE = re.compile(
    r"\*\*|(?P<wildcard>\*|\{(?P<name>[^{}]*)\})(?P<between>[^/*{}]*(?=\*(?!\*)|\{))?|[^*{}]+|.", re.DOTALL
)
_DEEP_BESIDE_ANOTHER = re.compile(r"\*\*.*[*{]|[*}].*\*\*")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ALLOWED = re.compile(r"/[!-~]*")


@dataclass(frozen=True, slots=True)
class Pattern:
    """A compiled pattern. `literal_prefix` is what comes before its first wildcard or placeholder."""

    text: str
    literal_prefix: str
    placeholders: frozenset[str]
    specificity: tuple[int, int, int]  # smaller is more specific
    expression: re.Pattern[bytes]

    @property
    def is_exact(self) -> bool:
        """Tell whether the pattern names one path only."""
        return self.literal_prefix == self.text

    def match(self, path: bytes) -> re.Match[bytes] | None:
        """Return the match for a raw path; its groups are the placeholders, `rest` the deep wildcard."""
        return self.expression.fullmatch(path)


def compile_pattern(text: str) -> Pattern:
    """Return the compiled pattern, or raise `InvalidInputError` saying what is wrong with it."""
    _check_text(text)
    pieces = list(_PIECE.finditer(text))
    parts: list[str] = []
    placeholders: list[str] = []
    deep = wildcards = literals = 0
    for match in pieces:
        piece = match[0]
        if piece == "**" or _is_last_segment(text, match):
            parts.append(f"(?P<{REST}>.*)" if REST not in placeholders else ".*")
            placeholders.append(REST)
            deep += 1
        elif match["wildcard"]:
            if match["name"] is not None:
                placeholders.append(_check_name(text, match["name"], placeholders))
            parts.append(_express_wildcard(match))
            wildcards += 1
            literals += len(match["between"] or "")
        else:
            parts.append(re.escape(_check_literal(text, piece)))
            literals += len(piece)
    return Pattern(
        text=text,
        literal_prefix=pieces[0][0],
        placeholders=frozenset(placeholders),
        specificity=(deep, -literals, wildcards),
        expression=re.compile("".join(parts).encode(), re.DOTALL),
    )


def _express_wildcard(match: re.Match[str]) -> str:
    expression = "[^/]*" if match["name"] is None else f"(?P<{match['name']}>[^/]+)"
    if match["between"] is None:
        return expression
    # With another wildcard behind it in its segment it takes as little as it can, and gives nothing back:
    # a match takes time in proportion to the path, whatever a client sends (as in fnmatch.translate).
    lazy = expression.replace("[^/]*", "[^/]*?").replace("[^/]+", "[^/]+?")
    return f"(?>{lazy}{re.escape(match['between'])})"


def _is_last_segment(text: str, match: re.Match[str]) -> bool:
    return match[0] == "*" and match.end() == len(text) and text[match.start() - 1] == "/"


def _check_text(text: str) -> None:
    if not text.startswith("/"):
        raise InvalidInputError(f"the pattern {text!r} does not begin with /", hint="write it as '/v1/*'")
    if len(text) > LENGTH_MAX:
        raise InvalidInputError(f"the pattern is longer than {LENGTH_MAX} characters")
    if not _ALLOWED.fullmatch(text) or set(text) & set("?#\\"):
        raise InvalidInputError(
            f"the pattern {text!r} holds a character that no path can hold",
            hint="a pattern is the path alone: no query, no fragment, no spaces",
        )
    if "***" in text or text.count("**") > 1:
        raise InvalidInputError(f"the pattern {text!r} has more than one '**'")
    if any(_DEEP_BESIDE_ANOTHER.search(segment) for segment in text.split("/")):
        # Either could take what is the other's, and to try it all takes the square of the path's length.
        raise InvalidInputError(
            f"the pattern {text!r} has '**' beside another wildcard",
            hint="in its part between two slashes '**' stands alone, or with fixed text",
        )


def _check_literal(text: str, piece: str) -> str:
    if piece in "{}":
        raise InvalidInputError(
            f"the pattern {text!r} has a brace without its partner", hint="a placeholder is {name}"
        )
    return piece


def _check_name(text: str, name: str, taken: list[str]) -> str:
    if not _NAME.fullmatch(name) or name == REST:
        raise InvalidInputError(
            f"{{{name}}} in the pattern {text!r} is not a placeholder",
            hint="a placeholder is {name}: letters, digits and _; {rest} is what '*' at the end matched",
        )
    if name in taken:
        raise InvalidInputError(f"the pattern {text!r} names {{{name}}} twice")
    return name
