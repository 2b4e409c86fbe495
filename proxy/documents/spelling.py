"""How a single value is spelled where it joins a text that somebody else has written."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from proxy.documents.nodes import compose, core_type
from proxy.documents.text import MISREAD, quote
from proxy.errors import ConfigurationError

_DEPTH_MAX = 4
# YAML 1.1 takes it for a number of minutes and seconds.
_SEXAGESIMAL = re.compile(r"[+-]?\d[\d_]*(?::\d+)+")


@dataclass(frozen=True, slots=True)
class Plain:
    """A value to be written. What is no text, a number or a boolean, is written as it is."""

    text: str
    is_text: bool = True


Value = Plain | Sequence[Plain]


def spell(value: Plain, style: str | None = None) -> str:
    """Return a value as it is written, in the quotes that were there before, if there were any."""
    if not value.is_text:
        return value.text
    if style == "'" and value.text.isprintable():
        return "'" + value.text.replace("'", "''") + "'"
    return value.text if style is None and _means_itself(value.text) else quote(value.text)


def spell_inline(value: Value) -> str:
    """Return a value or a list on one line."""
    return spell(value) if isinstance(value, Plain) else f"[{', '.join(map(spell, value))}]"


def _means_itself(text: str) -> bool:
    """Tell whether a text can do without quotes, wherever it stands."""
    if not text or text.lower() in MISREAD or _SEXAGESIMAL.fullmatch(text):
        return False
    places = (f"[{text}, {text}]", f"{{{text}: {text}}}", f"- {text}\n- {text}\n")
    return all(_reads_as(written, text) for written in places)


def _reads_as(written: str, text: str) -> bool:
    """Tell whether a pair is made of that text twice, without quotes."""
    try:
        root = compose(written, "", _DEPTH_MAX)
    except ConfigurationError:
        return False
    items = [item for pair in root.value for item in pair] if root.id == "mapping" else root.value
    return len(items) == 2 and all(
        item.id == "scalar"
        and (item.value, core_type(item), item.anchor) == (text, "str", None)
        and not item.style
        for item in items
    )
