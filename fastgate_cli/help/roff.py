r"""Text as roff for man(7): what would act as a request or an escape is escaped, whatever the text holds.

Everything goes through `Roff`, so that no text reaches the output unescaped. A hyphen becomes `\-`, which is
the character that a person types and copies; groff would else print a typographic one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType

_ESCAPES: Mapping[str, str] = MappingProxyType(
    {
        "\\": "\\e",
        "-": "\\-",
        "'": "\\(aq",
        "`": "\\(ga",
        "^": "\\(ha",
        "~": "\\(ti",
        '"': "\\(dq",
    }
)
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_ASCII_MAX = 0x7E


def escape(text: str) -> str:
    """Return a piece of text with everything that roff would act on escaped; it may stand anywhere."""
    spelled = "".join(map(_escape_character, _CONTROLS.sub("", text)))
    # At the start of a line a dot would begin a request; an apostrophe is escaped already.
    return re.sub(r"(?m)^(?=\.)", "\\\\&", spelled)


def _escape_character(character: str) -> str:
    if ord(character) > _ASCII_MAX:
        return f"\\[u{ord(character):04X}]"
    return _ESCAPES.get(character, character)


class Roff:
    """A manual page as it grows, request by request."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def title(self, name: str, section: int, source: str, manual: str) -> None:
        """Begin the page."""
        self._request("TH", name, str(section), "", source, manual)

    def section(self, name: str) -> None:
        """Begin a section."""
        self._request("SH", name)

    def subsection(self, name: str) -> None:
        """Begin a subsection."""
        self._request("SS", name)

    def paragraph(self, text: str) -> None:
        """Write a paragraph; its blanks and newlines are one blank."""
        self._begin()
        self._lines.append(escape(_flatten(text)))

    def heading(self, text: str) -> None:
        """Write a line in bold: how a command is called, or what the rows below it are."""
        self._begin()
        self._lines.append(_embolden(_flatten(text)))

    def entry(self, term: str, meaning: str) -> None:
        """Write a term with what it means, each line of it on its own."""
        self._lines += [".TP", _embolden(term)]
        for number, line in enumerate(meaning.split("\n")):
            self._lines += [".br"] * bool(number) + [escape(line)]

    def option(self, term: str, meaning: str) -> None:
        """Write an option or an argument: names are bold, and what stands for a value is slanted."""
        words = [_embolden(word) if word.startswith("-") else _slant(word) for word in term.split()]
        self._lines += [".TP", " ".join(words), escape(_flatten(meaning))]

    def verbatim(self, lines: Iterable[str]) -> None:
        """Write lines as they are."""
        # A line of nothing would be warned about.
        self._lines += [".sp", ".RS 4", ".nf", *(escape(line) or "\\&" for line in lines), ".fi", ".RE"]

    def text(self) -> str:
        """Return the page."""
        return "\n".join(self._lines)

    def _begin(self) -> None:
        # The first paragraph of a section begins with it.
        if not self._lines[-1].startswith((".SH", ".SS")):
            self._lines.append(".PP")

    def _request(self, name: str, *arguments: str) -> None:
        quoted = " ".join(f'"{escape(argument)}"' for argument in arguments)
        self._lines.append(f".{name} {quoted}")


def _flatten(text: str) -> str:
    return " ".join(text.split())


def _embolden(text: str) -> str:
    return f"\\fB{escape(text)}\\fR"


def _slant(text: str) -> str:
    return f"\\fI{escape(text)}\\fR" if text[:1].isalnum() else escape(text)
