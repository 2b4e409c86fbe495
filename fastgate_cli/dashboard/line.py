"""Editing one line of text, a key at a time, as a shell does. Pure."""

from __future__ import annotations

from dataclasses import dataclass

LENGTH_MAX = 500


@dataclass(frozen=True, slots=True)
class Line:
    """A text and the place in it where the next character goes."""

    text: str = ""
    cursor: int = 0

    @property
    def before(self) -> str:
        """What stands before the cursor."""
        return self.text[: self.cursor]

    @property
    def after(self) -> str:
        """What stands at the cursor and behind it."""
        return self.text[self.cursor :]


def start_line(text: str) -> Line:
    """Return a line that is edited from its end on."""
    return Line(text[:LENGTH_MAX], min(len(text), LENGTH_MAX))


def edit_line(line: Line, key: str) -> Line:
    """Return the line after a key; one that does not edit changes nothing."""
    before, after = line.before, line.after
    if len(key) == 1 and key.isprintable():
        return Line(before + key + after, line.cursor + 1) if len(line.text) < LENGTH_MAX else line
    match key:
        case "backspace":
            return _join(before[:-1], after)
        case "delete" | "ctrl-d":
            return _join(before, after[1:])
        case "ctrl-u":
            return _join("", after)
        case "ctrl-k":
            return _join(before, "")
        case "ctrl-w":
            return _join(_drop_word(before), after)
        case "left" | "ctrl-b":
            return Line(line.text, max(0, line.cursor - 1))
        case "right" | "ctrl-f":
            return Line(line.text, min(len(line.text), line.cursor + 1))
        case "home" | "ctrl-a":
            return Line(line.text, 0)
        case "end" | "ctrl-e":
            return Line(line.text, len(line.text))
    return line


def _join(before: str, after: str) -> Line:
    return Line(before + after, len(before))


def _drop_word(text: str) -> str:
    kept = text.rstrip(" ")
    return kept[: kept.rfind(" ") + 1]
