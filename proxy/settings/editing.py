"""A setting put into a configuration file, or taken out: the new content, seen to be what was meant.

Nothing is written here. The whole file is read again as it would be, and every other setting has to be in it
as it was.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from proxy.documents.editing import set_entry, unset_entry
from proxy.documents.entries import Source
from proxy.documents.nodes import compose, decode
from proxy.documents.spelling import Plain, Value
from proxy.errors import ConfigurationError, InvalidInputError
from proxy.settings.document import FILE_BYTES_MAX, read_document
from proxy.settings.expansion import has_references
from proxy.settings.kinds import Kind
from proxy.settings.load import read_settings
from proxy.settings.model import SECTIONS, Settings, section_keys
from proxy.settings.search import FoundFile

_BOM = b"\xef\xbb\xbf"
_NUMBER = re.compile(r"[+-]?[0-9.][0-9.eE+-]*")
# A reference that stands for the whole of a list.
_WHOLE_REFERENCE = re.compile(r"\$\{[^{}]*\}")
_LIST_DEPTH_MAX = 4


def set_setting(
    found: FoundFile, name: str, text: str, environ: Mapping[str, str]
) -> tuple[FoundFile, Settings]:
    """Return the file with a setting changed, and what it then means.

    Raises ConfigurationError with the places in the new content if that would not be valid.
    """
    section, key, kind = find_setting(name)
    source = Source(decode(found.content, found.name, FILE_BYTES_MAX), found.name)
    order = [known for known, _, _ in section_keys(section)]
    return _check(
        found, name, set_entry(source, section, key, _build_value(kind, name, text), order), environ
    )


def unset_setting(found: FoundFile, name: str, environ: Mapping[str, str]) -> tuple[FoundFile, Settings]:
    """Return the file without a setting, and what it then means; as it is if it has none."""
    section, key, _ = find_setting(name)
    source = Source(decode(found.content, found.name, FILE_BYTES_MAX), found.name)
    return _check(found, name, unset_entry(source, section, key), environ)


def find_setting(name: str) -> tuple[str, str, Kind]:
    """Return section, key and kind of a setting such as "app.port", or raise `InvalidInputError`."""
    section, _, key = name.partition(".")
    known = {f"{home}.{word}": kind for home in SECTIONS for word, kind, _ in section_keys(home)}
    if name in known:
        return section, key, known[name]
    if name in SECTIONS:
        keys = ", ".join(word for word in known if word.startswith(f"{name}."))
        raise InvalidInputError(f"{name!r} is a section", hint=f"name one of {keys}")
    from difflib import get_close_matches  # only a mistake has to pay for it

    near = [word for word in known if word.endswith(f".{name}")] or get_close_matches(name, known, n=1)
    hint = f"did you mean {' or '.join(near)}?" if near else "'fastgate config show' lists the settings"
    raise InvalidInputError(f"there is no setting {name!r}", hint=hint)


def _check(found: FoundFile, name: str, text: str, environ: Mapping[str, str]) -> tuple[FoundFile, Settings]:
    bom = _BOM if found.content.startswith(_BOM) else b""
    new = replace(found, content=bom + text.encode())
    settings = read_settings(new, environ)
    if _read_others(found, name) != _read_others(new, name):
        raise InvalidInputError(
            f"{found.name} is written in a way that cannot be changed here", hint=f"set {name} with an editor"
        )
    return new, settings


def _read_others(found: FoundFile, name: str) -> dict[str, list[tuple[str, str]]]:
    """Return the text and type of every setting of a file but one."""
    known = {section: [key for key, _, _ in section_keys(section)] for section in SECTIONS}
    entries = read_document(found.content, found.name, known).entries
    return {
        other: [(item.text, item.type) for item in entry.items]
        for other, entry in entries.items()
        if other != name
    }


def _build_value(kind: Kind, name: str, text: str) -> Value:
    if not kind.is_list:
        return _build_plain(kind, text)
    if _WHOLE_REFERENCE.fullmatch(text.strip()):
        return Plain(text.strip())
    return [Plain(item) for item in _split_list(name, text.strip())]


def _build_plain(kind: Kind, text: str) -> Plain:
    if has_references(text):
        return Plain(text)
    if kind.scalar_types == {"bool"}:
        try:
            return Plain("true" if kind.read(text) else "false", is_text=False)
        except ValueError:
            return Plain(text)
    takes_numbers = kind.scalar_types & {"int", "float"}
    takes_text = "str" in kind.scalar_types and not text.isdecimal()
    return Plain(text, is_text=takes_text or not takes_numbers or not _NUMBER.fullmatch(text))


def _split_list(name: str, text: str) -> Sequence[str]:
    if not text.startswith("["):
        return [item.strip() for item in text.split(",") if item.strip()]
    fault = InvalidInputError(f"the value of {name} is not a list", hint="write it as [a, b], or as a,b")
    try:
        root = compose(text, name, _LIST_DEPTH_MAX)
    except ConfigurationError:
        raise fault from None
    if root.id != "sequence" or any(item.id != "scalar" for item in root.value):
        raise fault
    return [item.value for item in root.value]
