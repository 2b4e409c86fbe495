"""Where the configuration file is looked for, how it is read, and where data goes when there is none.

It only reads. Nothing is created here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from proxy.errors import ConfigurationError, Problem
from proxy.settings.document import FILE_BYTES_MAX

_FILE_NAME = "fastgate.yaml"
_SYSTEM_FILE = Path("/etc/fastgate") / _FILE_NAME
_FOLDER_NAME = "fastgate"


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file that was read: its name as a person would write it, its absolute path and its bytes."""

    name: str
    path: Path
    content: bytes


def find_file(file: Path | None, environ: Mapping[str, str], cwd: Path) -> FoundFile | None:
    """Read the named file, or the one of FASTGATE_CONFIG, or the first of the search order, or none.

    A file that is named must exist; one that exists must be readable. Otherwise ConfigurationError.
    """
    named = file or (Path(environ["FASTGATE_CONFIG"]) if environ.get("FASTGATE_CONFIG") else None)
    if named:
        return _read_named(named, cwd / resolve_home(named, environ))
    for candidate in _candidates(environ):
        try:
            return _read(candidate, cwd / candidate)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise _unreadable(str(candidate), error) from None
    return None


def home_folder(environ: Mapping[str, str]) -> Path:
    """Return the home folder; an account without one has the root, where nothing can be made by accident."""
    home = Path(environ.get("HOME", ""))
    if home.is_absolute():
        return home
    try:
        return Path.home()
    except RuntimeError:
        return Path("/")


def resolve_home(path: Path, environ: Mapping[str, str]) -> Path:
    """Return the path with a leading `~` replaced by the home folder."""
    return home_folder(environ).joinpath(*path.parts[1:]) if path.parts[:1] == ("~",) else path


def user_data_folder(environ: Mapping[str, str]) -> Path:
    """Return the folder for data that no configuration file places elsewhere."""
    return _base_folder(environ, "XDG_DATA_HOME", ".local/share") / _FOLDER_NAME


def _base_folder(environ: Mapping[str, str], variable: str, below_home: str) -> Path:
    # The XDG Base Directory Specification: a relative path in these variables is ignored.
    folder = Path(environ.get(variable, ""))
    return folder if folder.is_absolute() else home_folder(environ) / below_home


def _candidates(environ: Mapping[str, str]) -> Iterator[Path]:
    yield Path(_FILE_NAME)
    yield _base_folder(environ, "XDG_CONFIG_HOME", ".config") / _FOLDER_NAME / _FILE_NAME
    yield _SYSTEM_FILE


def _read_named(name: Path, path: Path) -> FoundFile:
    try:
        return _read(name, path)
    except FileNotFoundError:
        problem = Problem("there is no such file", str(name))
        raise ConfigurationError(
            [problem], hint="create one with 'fastgate init', or name another with -c"
        ) from None
    except OSError as error:
        raise _unreadable(str(name), error) from None


def _read(name: Path, path: Path) -> FoundFile:
    with path.open("rb") as stream:
        # One byte too many is enough to know that the file is too large.
        return FoundFile(str(name), path.absolute(), stream.read(FILE_BYTES_MAX + 1))


def _unreadable(name: str, error: OSError) -> ConfigurationError:
    problem = Problem(f"the file cannot be read: {error.strerror}", name)
    return ConfigurationError([problem], hint="make it a readable file, or name another with -c")
