"""YAML text as ruamel's nodes, and each way in which it can be unreadable, told with its place.

Nodes are asked for and objects never built, so that a tag runs nothing; anchors, aliases and tags are told
as faults by whoever walks the nodes, so that a small text stays small. No message repeats a value.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from proxy.errors import ConfigurationError, Problem

PROBLEMS_SHOWN_MAX = 100
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


def decode(content: bytes, file: str, bytes_max: int) -> str:
    """Return the bytes of a file as text without a byte order mark. Raises ConfigurationError."""
    if len(content) > bytes_max:
        raise _refusal(f"the file is larger than {bytes_max >> 10} KB", file)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8-sig")
        raise _refusal("the file is not UTF-8 text", file, *_place_at(before, len(before))) from None


def compose(text: str, file: str, depth_max: int) -> Any:
    """Return the root node, or None for an empty file. Raises ConfigurationError."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError
    from ruamel.yaml.reader import ReaderError

    directive = _DIRECTIVE.search(text)
    if directive:
        raise _refusal("directives are not used here", file, *_place_at(text, directive.start()))
    # The pure parser on purpose: the optional C one is hardly faster on a file this size, and its messages,
    # places and limits differ, so that a machine with it would behave unlike one without.
    yaml = YAML(typ="safe", pure=True)
    yaml.max_depth = depth_max
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


def find_foreign(node: Any) -> str:
    """Return why a node cannot be accepted: an anchor, an alias or a tag. None of them mean anything here."""
    if node.anchor is not None:
        return _NO_ALIASES
    return "" if core_type(node) in _CORE_TYPES else _NO_TAGS


def core_type(node: Any) -> str:
    """Return the YAML type of a node: `str`, `int`, `map`, ..."""
    return str(node.tag).removeprefix(_CORE_TAG)


def is_unwritten(node: Any) -> bool:
    """Tell whether a node stands for nothing: no word, no quotes, no tag behind a colon or a dash."""
    return bool(node.id == "scalar" and node.start_mark.index == node.end_mark.index)


def place_of(node: Any, name: Any = None) -> tuple[int, int]:
    """Return line and column of a node, counted from 1; of its name's, if the value of one is unwritten."""
    if name is not None and is_unwritten(node):
        # ruamel places what is not there at what comes next, which may be lines below or behind the text.
        node = name
    return node.start_mark.line + 1, node.start_mark.column + 1


def refuse(problems: Sequence[Problem], hint: str) -> ConfigurationError:
    """Return the error that tells all problems; a file of nothing but faults does not flood a terminal."""
    left_out = len(problems) - PROBLEMS_SHOWN_MAX
    if left_out > 0:
        problems = [*problems[:PROBLEMS_SHOWN_MAX], Problem(f"and {left_out} more problems")]
    return ConfigurationError(problems, hint=hint)


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
