"""From the bytes that a terminal sends to keys. Pure.

A key is the character that it types, or one of the names below. A sequence may come in pieces: what is not a
whole key yet is handed back, and an escape that nothing follows is the key of that name.
"""

from __future__ import annotations

import re

# What terminals send for keys that type nothing, whichever mode they are in (ECMA-48, and xterm's).
_FINALS = {
    "A": "up",
    "B": "down",
    "C": "right",
    "D": "left",
    "H": "home",
    "F": "end",
    "Z": "backtab",
}
_NUMBERS = {
    "1": "home",
    "3": "delete",
    "4": "end",
    "5": "pageup",
    "6": "pagedown",
    "7": "home",
    "8": "end",
}
_CONTROLS = {"\r": "enter", "\n": "enter", "\t": "tab", "\x7f": "backspace", "\x08": "backspace"}
_SEQUENCE = re.compile(r"\x1b(?:\[(?P<parameters>[0-?]*)[ -/]*(?P<final>[@-~])|O(?P<single>[@-~]))")
# A sequence that has begun; longer ones than this are none.
_BEGUN = re.compile(r"\x1b(?:\[[0-?]{0,30}[ -/]{0,4}|O)?")
_ESCAPE = "\x1b"


def decode_keys(data: bytes, *, is_all: bool = False) -> tuple[list[str], bytes]:
    """Return the keys, and the bytes at the end that are a part of one.

    With `is_all` nothing more comes for now, and what is left is taken as it stands. Sequences that mean no
    key of ours are passed over.
    """
    text, rest = _decode_text(data, is_all=is_all)
    keys: list[str] = []
    place = 0
    while place < len(text):
        if text[place] != _ESCAPE:
            keys.append(_name_character(text[place]))
            place += 1
        elif match := _SEQUENCE.match(text, place):
            keys.append(_name_sequence(match))
            place = match.end()
        elif not is_all and _BEGUN.fullmatch(text, place):
            return _drop_unknown(keys), text[place:].encode() + rest
        else:
            keys.append("escape")
            place += 1
    return _drop_unknown(keys), rest


def _decode_text(data: bytes, *, is_all: bool) -> tuple[str, bytes]:
    """Return the text, and the bytes at the end of a character that has not come whole."""
    if is_all:
        return data.decode(errors="ignore"), b""
    for length in range(1, 4):
        start = data[-length:][:1]
        if start >= b"\xc0":
            try:
                data[-length:].decode()
            except UnicodeDecodeError as error:
                if error.reason == "unexpected end of data":
                    return data[:-length].decode(errors="ignore"), data[-length:]
            break
    return data.decode(errors="ignore"), b""


def _name_character(character: str) -> str:
    if name := _CONTROLS.get(character):
        return name
    if "\x01" <= character <= "\x1a":
        return f"ctrl-{chr(ord(character) + 96)}"
    return character if character.isprintable() else ""


def _name_sequence(match: re.Match[str]) -> str:
    final = match["final"] or match["single"]
    if final == "~":
        return _NUMBERS.get(match["parameters"].partition(";")[0], "")
    if final == "M" and match["single"]:
        return "enter"  # of the keypad
    return _FINALS.get(final, "")


def _drop_unknown(keys: list[str]) -> list[str]:
    return [key for key in keys if key]
