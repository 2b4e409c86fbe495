"""What others can read and should not: files, by name, with the command that closes them; and `/metrics`.

The one place for these checks: `serve` warns at its start, `doctor` tells. It looks at modes alone, creates
nothing and changes nothing. A file that cannot be looked at is passed over: whoever needs it says so.
"""

from __future__ import annotations

import logging
import shlex
import stat
from collections.abc import Iterator
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import NamedTuple

from proxy.settings import Settings, database_path
from proxy.settings.literals import find_literal_secrets

FILES_MAX = 20  # of one folder
# What a client is told, and whoever runs the gateway.
METRICS_CLOSED = "/metrics is closed: app.host lets other machines in, and security.admin_token is not set"
METRICS_FIX = "set security.admin_token, or ADMIN_TOKEN in the gateway's environment"
_OTHERS_OF_FILE = stat.S_IRGRP | stat.S_IWGRP | stat.S_IROTH | stat.S_IWOTH
_OTHERS_OF_FOLDER = stat.S_IRWXG | stat.S_IRWXO
_STRANGERS = stat.S_IROTH | stat.S_IWOTH
_DATABASE_COMPANIONS = ("", "-wal", "-shm", "-journal")
_log = logging.getLogger(__name__)


class Exposure(NamedTuple):
    """One file or folder: what it is, who can get at it, and the command that keeps them out."""

    path: Path
    what: str
    who: str
    fix: str

    def __str__(self) -> str:
        return f"{self.what} {self.path} can be read by {self.who}"


def find_exposed(settings: Settings) -> list[Exposure]:
    """Return what is exposed of the files that a configuration names, those that exist."""
    return list(_find(settings))


def listens_on_loopback(host: str) -> bool:
    """Tell whether only this machine can reach an address of `app.host`, which may be a Unix socket."""
    if host == "localhost" or host.startswith("unix:"):
        return True
    try:
        address = ip_address(host.strip("[]"))
    except ValueError:
        return False  # some name: nobody knows where it leads
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback


def are_metrics_closed(settings: Settings) -> bool:
    """Tell whether nobody may read `/metrics`: without a token it would be for everybody who gets here."""
    return not settings.security.admin_token and not listens_on_loopback(settings.app.host)


def warn_of_exposure(settings: Settings) -> None:
    """Log a warning for each file that is exposed, and if `/metrics` is closed so as not to be."""
    if are_metrics_closed(settings):
        _log.warning("%s: %s", METRICS_CLOSED, METRICS_FIX)
    for exposure in find_exposed(settings):
        _log.warning("%s; '%s' keeps them out", exposure, exposure.fix)


def _find(settings: Settings) -> Iterator[Exposure]:
    if settings.source is not None:
        yield from _check_configuration(settings.source)
    database = database_path(settings)
    for ending in _DATABASE_COMPANIONS:
        yield from _check_file(database.with_name(database.name + ending), "the database")
    yield from _check_folder(settings.audit.directory)
    yield from _check_file(settings.rate_limiting.file, "the file of limits")
    if (log := settings.logging.file) is not None:
        for file in (log, *_list_files(log.parent, f"{log.name}.")):
            yield from _check_file(file, "the log")


def _check_configuration(file: Path) -> Iterator[Exposure]:
    # Its group may have to read it: the gateway often runs as another user than the one who writes it.
    if _find_open_bits(file, _STRANGERS) and (names := find_literal_secrets(file)):
        what = f"{', '.join(names)} is written out, and the configuration"
        yield Exposure(file, what, "everybody", f"chmod o= {_quote(file)}")


def _check_folder(folder: Path) -> Iterator[Exposure]:
    if bits := _find_open_bits(folder, _OTHERS_OF_FOLDER):
        yield Exposure(folder, "the folder of the journal", _name_others(bits), f"chmod 700 {_quote(folder)}")
    for file in _list_files(folder, ""):
        yield from _check_file(file, "the journal's file")


def _check_file(file: Path, what: str) -> Iterator[Exposure]:
    if bits := _find_open_bits(file, _OTHERS_OF_FILE):
        yield Exposure(file, what, _name_others(bits), f"chmod 600 {_quote(file)}")


def _find_open_bits(path: Path, bits: int) -> int:
    try:
        return path.stat().st_mode & bits
    except (OSError, ValueError):  # ValueError: a path that holds NUL
        return 0


def _list_files(folder: Path, beginning: str) -> list[Path]:
    """Return the exposed files of a folder whose names begin so, `FILES_MAX` at most."""
    try:
        files = sorted(path for path in folder.iterdir() if path.name.startswith(beginning))
    except (OSError, ValueError):
        return []
    return [file for file in files if file.is_file() and _find_open_bits(file, _OTHERS_OF_FILE)][:FILES_MAX]


def _name_others(bits: int) -> str:
    return "everybody" if bits & stat.S_IRWXO else "its group"


def _quote(path: Path) -> str:
    return shlex.quote(str(path))
