"""A configuration file as text with places: which key holds which scalars, at which line and column.

ruamel.yaml is asked for nodes and never builds objects, so a tag runs nothing; anchors and aliases are
refused, so a small file stays small. What a value means is not decided here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from proxy.errors import ConfigurationError, Problem

FILE_BYTES_MAX = 1 << 20
_DEPTH_MAX = 8
_CORE_TAG = "tag:yaml.org,2002:"
_CORE_TYPES = frozenset({"str", "int", "float", "bool", "null", "timestamp", "map", "seq"})
_DIRECTIVE = re.compile(r"^%", re.MULTILINE)
_NO_ALIASES = "anchors and aliases are not used here; put text that begins with & or * in quotes"
_NO_TAGS = "tags are not used here; put text that begins with ! in quotes"
# Of ruamel's messages these repeat text of the file, which may be a secret; or speak of ruamel's own options.
_REWORDED = {
    "found undefined alias": _NO_ALIASES,
    "found undefined tag handle": _NO_TAGS,
    "maximum depth": "values are nested too deeply",
    "but found another document": "a second document begins here",
}


@dataclass(frozen=True, slots=True)
class Scalar:
    """One plain value: its text, its YAML type (`str`, `int`, ...) and its place, counted from 1."""

    text: str
    type: str
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Entry:
    """What a key holds. A value that is not a list is its single item."""

    items: tuple[Scalar, ...]
    is_list: bool
    key_line: int
    line: int
    column: int


@dataclass(slots=True)
class Document:
    """The entries of a file by setting ("app.port"), and everything that is wrong with its structure."""

    file: str
    entries: dict[str, Entry] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def add_problem(self, message: str, line: int, column: int) -> None:
        """Note a fault at a place of this file."""
        self.problems.append(Problem(message, self.file, line, column))


def read_document(content: bytes, file: str, known: Mapping[str, Sequence[str]]) -> Document:
    """Return the entries under the known sections and keys, and a problem for whatever else there is.

    Raises ConfigurationError for what cannot be read as YAML at all.
    """
    document = Document(file)
    root = _compose(_decode(content, file), file)
    for section, _, node in _read_mapping(document, root, "", known):
        for key, line, value in _read_mapping(document, node, section, known):
            entry = _read_entry(document, f"{section}.{key}", line, value)
            if entry:
                document.entries[f"{section}.{key}"] = entry
    return document


def _decode(content: bytes, file: str) -> str:
    if len(content) > FILE_BYTES_MAX:
        raise _refusal(f"the file is larger than {FILE_BYTES_MAX >> 10} KB", file)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8-sig")
        raise _refusal("the file is not UTF-8 text", file, *_place_at(before, len(before))) from None


def _compose(text: str, file: str) -> Any:
    """Return the root node, or None for an empty file."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError
    from ruamel.yaml.reader import ReaderError

    directive = _DIRECTIVE.search(text)
    if directive:
        raise _refusal("directives are not used here", file, *_place_at(text, directive.start()))
    # The pure parser on purpose: the optional C one is hardly faster on a file this size, and its messages,
    # places and limits differ, so that a machine with it would behave unlike one without.
    yaml = YAML(typ="safe", pure=True)
    yaml.max_depth = _DEPTH_MAX
    yaml.composer.warn_double_anchors = False
    try:
        return yaml.compose(text)
    except MarkedYAMLError as error:
        raise _translate(error, file) from None
    except ReaderError as error:
        message = f"the character U+{error.character:04X} is not allowed"
        raise _refusal(message, file, *_place_at(text, error.position)) from None
    except RecursionError:
        raise _refusal("values are nested too deeply", file) from None
    except (ValueError, OverflowError):
        # What ruamel lets through for an escape in quotes that is beyond Unicode.
        raise _refusal("an escape such as \\UFFFFFFFF in a quoted text is no character", file) from None


def _translate(error: Any, file: str) -> ConfigurationError:
    mark = error.problem_mark or error.context_mark
    reason = (error.problem or error.context or "it cannot be read").partition("\n")[0]
    message = next(
        (text for start, text in _REWORDED.items() if reason.startswith(start)), f"invalid YAML: {reason}"
    )
    return _refusal(message, file, mark.line + 1, mark.column + 1) if mark else _refusal(message, file)


def _place_at(text: str, position: int) -> tuple[int, int]:
    before = text[:position]
    return before.count("\n") + 1, len(before.rpartition("\n")[2]) + 1


def _refusal(message: str, file: str, line: int = 0, column: int = 0) -> ConfigurationError:
    return ConfigurationError([Problem(message, file, line, column)], hint="mend the file at that place")


def _read_mapping(
    document: Document, node: Any, section: str, known: Mapping[str, Sequence[str]]
) -> Iterator[tuple[str, int, Any]]:
    """Yield name, line and value of each known key of a section, or with no section of the file itself.

    Each comes once. A section that is empty or wholly commented out has none.
    """
    if node is None or (node.id == "scalar" and _core_type(node) == "null"):
        return
    if node.id != "mapping":
        subject = f"section {section!r}" if section else "the file"
        document.add_problem(f"{subject} must hold 'name: value' pairs", *_place(node))
        return
    if not _is_plain(document, node):
        return
    seen: dict[str, int] = {}
    for key, value in node.value:
        line, column = _place(key)
        name = key.value if key.id == "scalar" else ""
        if name not in (known[section] if section else known):
            document.add_problem(_describe_unknown(name, section, known), line, column)
        elif name in seen:
            document.add_problem(f"{name!r} is given twice, first in line {seen[name]}", line, column)
        elif _is_plain(document, key):
            seen[name] = line
            yield name, line, value


def _describe_unknown(name: str, section: str, known: Mapping[str, Sequence[str]]) -> str:
    """Return the message for a name that is not known there, with what was probably meant."""
    import difflib  # only for this, and slow to load

    message = f"unknown key {name!r} in section {section!r}" if section else f"unknown section {name!r}"
    near = difflib.get_close_matches(name, known[section] if section else known, n=1)
    if near:
        return f"{message}; did you mean {near[0]!r}?"
    homes = [f"{home}.{name}" for home, keys in known.items() if name in keys]
    return f"{message}; did you mean {' or '.join(homes)}?" if homes else message


def _read_entry(document: Document, name: str, key_line: int, node: Any) -> Entry | None:
    line, column = _place(node)
    if node.id == "mapping":
        document.add_problem(f"{name} must be a value, not a section", line, column)
        return None
    nodes = node.value if node.id == "sequence" else [node]
    if not _is_plain(document, node):
        return None
    items = [_read_scalar(document, name, item) for item in nodes]
    scalars = tuple([item for item in items if item])
    return (
        Entry(scalars, node.id == "sequence", key_line, line, column) if len(scalars) == len(items) else None
    )


def _read_scalar(document: Document, name: str, node: Any) -> Scalar | None:
    line, column = _place(node)
    if node.id != "scalar":
        document.add_problem(f"each item of {name} must be a plain value", line, column)
        return None
    return Scalar(node.value, _core_type(node), line, column) if _is_plain(document, node) else None


def _is_plain(document: Document, node: Any) -> bool:
    """Tell whether a node does without YAML's anchors, aliases and tags, none of which mean anything here."""
    message = ""
    if node.anchor is not None:
        message = _NO_ALIASES
    elif _core_type(node) not in _CORE_TYPES:
        message = _NO_TAGS
    if message:
        document.add_problem(message, *_place(node))
    return not message


def _core_type(node: Any) -> str:
    return str(node.tag).removeprefix(_CORE_TAG)


def _place(node: Any) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1
