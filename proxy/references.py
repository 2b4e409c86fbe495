"""References in a route's header values: `${env:NAME}` and `${file:PATH}` become what they stand for.

Only the reference is kept in the database. What it stands for lives in memory, in the snapshot, and appears
in no message: an error names the reference.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from proxy.errors import InvalidInputError
from proxy.policy.model import Route

FILE_BYTES_MAX = 16 * 1024
_REFERENCE = re.compile(r"\$\{(env|file):([^{}]+)\}")
_HEADER_VALUE = re.compile(r"[\t -~\x80-\xff]*")


class Dangling(NamedTuple):
    """A reference that cannot be resolved here, and why. `is_certain`: nor can the gateway resolve it.

    The gateway may have a variable that is not set here, and may read a file that is kept from this user.
    """

    reference: str
    problem: str
    is_certain: bool


def resolve_headers(route: Route, environ: Mapping[str, str], folder: Path) -> Route:
    """Return the route with every reference in its added headers resolved.

    Relative paths are relative to `folder`. Raises `InvalidInputError` for a reference to nothing, and for a
    value that no header can have.
    """
    resolved = tuple((name, resolve_value(value, environ, folder)) for name, value in route.add_headers)
    return replace(route, add_headers=resolved)


def find_references(text: str) -> list[str]:
    """Return the references in a header value, as they are written."""
    return [match[0] for match in _REFERENCE.finditer(text)]


def find_files(route: Route, folder: Path) -> list[Path]:
    """Return the files that a route's added headers refer to."""
    found = [match for _, value in route.add_headers for match in _REFERENCE.finditer(value)]
    return [folder / match[2] for match in found if match[1] == "file"]


def resolve_value(text: str, environ: Mapping[str, str], folder: Path) -> str:
    """Return a header value with its references replaced."""

    def look_up(match: re.Match[str]) -> str:
        kind, name = match.groups()
        # Blanks at the end come from an editor or a shell, and no header value can end in one.
        value = (environ.get(name, "") if kind == "env" else _read_file(folder / name)).strip()
        if not value:
            raise InvalidInputError(f"{match[0]} stands for nothing", hint="set it, then restart the gateway")
        if not _HEADER_VALUE.fullmatch(value):
            raise InvalidInputError(f"{match[0]} stands for something that no header can hold")
        return value

    return _REFERENCE.sub(look_up, text)


def _read_file(path: Path) -> str:
    try:
        with path.open(encoding="latin-1") as file:
            return file.read(FILE_BYTES_MAX)
    except (OSError, ValueError):  # ValueError: a path that holds NUL
        return ""


def find_dangling(route: Route, environ: Mapping[str, str], folder: Path) -> list[str]:
    """Return what is wrong with each reference of a route that cannot be resolved."""
    return [dangling.problem for dangling in examine_references(route, environ, folder)]


def examine_references(route: Route, environ: Mapping[str, str], folder: Path) -> Iterator[Dangling]:
    """Yield the references of a route that cannot be resolved here."""
    for _, value in route.add_headers:
        for match in _REFERENCE.finditer(value):
            try:
                resolve_value(match[0], environ, folder)
            except InvalidInputError as error:
                kind, name = match.groups()
                is_withheld = name not in environ if kind == "env" else _is_withheld(folder / name)
                yield Dangling(match[0], error.message, is_certain=not is_withheld)


def _is_withheld(path: Path) -> bool:
    """Tell whether a file is kept from this user: it may be there for another."""
    try:
        path.open().close()
    except PermissionError:
        return True
    except (OSError, ValueError):
        pass
    return False
