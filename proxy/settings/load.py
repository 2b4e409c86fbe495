"""From file, environment and defaults to `Settings`: precedence, conversion, and all problems at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from proxy.documents.nodes import refuse
from proxy.errors import InvalidInputError, Problem
from proxy.settings.document import Document, Entry, Scalar, read_document
from proxy.settings.expansion import expand, has_references
from proxy.settings.kinds import SQLITE_PREFIX, Kind, shorten
from proxy.settings.model import SECTIONS, Settings, database_path, section_keys
from proxy.settings.search import FoundFile, find_file, resolve_home, user_data_folder

_DATABASE_FILE, _JOURNAL_FOLDER, _LIMITS_FILE = (
    "fastgate.db",
    "journal",
    "limits",
)  # in the user data folder, without a configuration file
# Short names beside FASTGATE_<SECTION>_<KEY>, which is stronger than they are.
_ALIASES = {
    "database.url": ("DATABASE_URL",),
    "security.admin_token": ("FASTGATE_ADMIN_TOKEN", "ADMIN_TOKEN"),
    "app.host": ("APP_HOST",),
    "app.port": ("APP_PORT",),
}
_TYPE_NAMES = {"int": "the number", "float": "the number", "bool": "the boolean", "timestamp": "the date"}


def load_settings(file: Path | None = None, *, environ: Mapping[str, str], cwd: Path) -> Settings:
    """Return the configuration in force: environment over file over default.

    `file` is the one a person named; without it the search order applies. Raises ConfigurationError with
    every problem, those of the file in its order and then those of the environment.
    """
    return read_settings(find_file(file, environ, cwd), environ)


def read_settings(found: FoundFile | None, environ: Mapping[str, str]) -> Settings:
    """Return what a file that was read, or none, means in an environment; raises as `load_settings`."""
    known = {section: [name for name, _, _ in section_keys(section)] for section in SECTIONS}
    document = read_document(found.content, found.name, known) if found else Document("")
    reading = _Reading(environ, document)
    sections: dict[str, Any] = {section: reading.read_section(section) for section in SECTIONS}
    reading.raise_problems()
    settings = Settings(**sections, source=found.path if found else None, origins=reading.origins)
    return _place_paths(settings, environ)


def list_variables(name: str) -> tuple[str, ...]:
    """Return the environment variables that can hold a setting such as "app.port", the strongest first."""
    return (f"FASTGATE_{name.replace('.', '_').upper()}", *_ALIASES.get(name, ()))


@dataclass(slots=True)
class _Reading:
    """One pass over all settings, which notes origins and problems as it goes."""

    environ: Mapping[str, str]
    document: Document
    origins: dict[str, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def read_section(self, section: str) -> object:
        values = {
            key: self._choose(f"{section}.{key}", kind, default)
            for key, kind, default in section_keys(section)
        }
        return SECTIONS[section](**values)

    def raise_problems(self) -> None:
        """Raise what was found, if anything."""
        in_file = sorted(set(self.document.problems), key=lambda problem: (problem.line, problem.column))
        problems = in_file + self.problems
        if not problems:
            return
        hint = (
            "fastgate.yaml.example explains every key" if in_file else "set the variable right, or unset it"
        )
        raise refuse(problems, hint)

    def _choose(self, name: str, kind: Kind, default: object) -> object:
        """Return the strongest value; one of the file is checked even where the environment overrides it."""
        value, self.origins[name] = default, "default"
        entry = self.document.entries.get(name)
        if entry:
            value, self.origins[name] = self._read_entry(name, kind, entry, default), f"file:{entry.key_line}"
        variable = self._find_variable(name)
        if variable:
            value, self.origins[name] = self._read_variable(name, kind, variable), f"environment:{variable}"
        return value

    def _find_variable(self, name: str) -> str | None:
        # An empty variable counts as unset: no deployment that passes an empty one on turns a token off.
        return next((variable for variable in list_variables(name) if self.environ.get(variable)), None)

    def _read_variable(self, name: str, kind: Kind, variable: str) -> object:
        try:
            values = kind.parse_whole(name, self.environ[variable])
            return values if kind.is_list else values[0]
        except InvalidInputError as error:
            self.problems.append(Problem(error.message, f"environment variable {variable}"))
            return None

    def _read_entry(self, name: str, kind: Kind, entry: Entry, default: object) -> object:
        """Return the value of an entry, or the default when there is a problem, which is noted."""
        before = len(self.document.problems)
        if kind.is_list and entry.is_list:
            values = tuple([value for item in entry.items for value in self._read_scalar(name, kind, item)])
        elif entry.is_list:
            self.document.add_problem(f"{name} must be a single value, not a list", entry.line, entry.column)
            return default
        else:
            values = tuple(self._read_scalar(name, kind, entry.items[0], is_whole=True))
        return default if len(self.document.problems) > before else values if kind.is_list else values[0]

    def _read_scalar(
        self, name: str, kind: Kind, scalar: Scalar, *, is_whole: bool = False
    ) -> Iterator[object]:
        """Yield the value of one scalar; as the whole of a list, what its references expand to is split."""
        try:
            if scalar.type == "str" and has_references(scalar.text):
                text = self._expand(name, scalar.text)
                if is_whole:
                    yield from kind.parse_whole(name, text, quoted=False)
                else:
                    yield kind.parse(name, text, quoted=False)
            elif kind.is_list and is_whole:
                raise InvalidInputError(f"{name} must be a list such as [a, b], or [] for none")
            elif scalar.type not in kind.scalar_types:
                raise kind.refusal(name, _describe(kind, scalar))
            else:
                yield kind.parse(name, scalar.text)
        except InvalidInputError as error:
            self.document.add_problem(error.message, scalar.line, scalar.column)

    def _expand(self, name: str, text: str) -> str:
        try:
            return expand(text, self.environ)
        except InvalidInputError as error:
            raise InvalidInputError(f"{name}: {error.message}") from None


def _describe(kind: Kind, scalar: Scalar) -> str:
    """Return how a message names a value of the wrong type, without its text where that may be secret."""
    if scalar.type == "null":
        return "nothing"
    shown = (
        f"{_TYPE_NAMES.get(scalar.type, 'the text')} {shorten(scalar.text)!r}"
        if kind.is_quotable
        else "a bare number or word"
    )
    return f"{shown}: put it in quotes" if kind.scalar_types == {"str"} else shown


def _place_paths(settings: Settings, environ: Mapping[str, str]) -> Settings:
    """Make every path absolute: a relative one starts at the file's folder, or the user's data folder."""
    base = settings.source.parent if settings.source else user_data_folder(environ)
    database, journal, log = database_path(settings), settings.audit.directory, settings.logging.file
    if settings.source is None and settings.origins["database.url"] == "default":
        database = Path(_DATABASE_FILE)
    if settings.source is None and settings.origins["audit.directory"] == "default":
        journal = Path(_JOURNAL_FOLDER)
    limits = settings.rate_limiting.file
    if settings.source is None and settings.origins["rate_limiting.file"] == "default":
        limits = Path(_LIMITS_FILE)
    database, journal = base / resolve_home(database, environ), base / resolve_home(journal, environ)
    return replace(
        settings,
        database=replace(settings.database, url=f"{SQLITE_PREFIX}{database}"),
        audit=replace(settings.audit, directory=journal),
        rate_limiting=replace(settings.rate_limiting, file=base / resolve_home(limits, environ)),
        logging=replace(settings.logging, file=base / resolve_home(log, environ) if log else None),
    )
