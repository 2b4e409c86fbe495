"""What one run of a command works with: its configuration, its clock and its database, each on demand.

Nothing is read or opened before a command asks, so that `--help` works beside a broken configuration.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import typer

from fastgate_cli.columns import Column
from fastgate_cli.output import Format, OutputOptions, read_output_options
from proxy.clock import from_us, now_us
from proxy.errors import InvalidInputError

if TYPE_CHECKING:
    from proxy.settings import Settings
    from proxy.store.database import Database


class _UndoneError(Exception):
    """Ends a dry run's transaction, so that the database rolls it back."""


@dataclass
class Invocation:
    """One run of the command line. `config_file` is what `-c` named."""

    config_file: Path | None = None
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)

    @cached_property
    def folder(self) -> Path:
        """The current folder."""
        try:
            return Path.cwd()
        except OSError:
            raise InvalidInputError(
                "the current folder no longer exists", hint="change to another one"
            ) from None

    @cached_property
    def settings(self) -> Settings:
        """The configuration in force."""
        from proxy.settings import load_settings

        return load_settings(self.config_file, environ=self.environ, cwd=self.folder)

    @property
    def reference_folder(self) -> Path:
        """The folder in which relative `${file:PATH}` references of routes begin, as in the gateway."""
        return self.settings.source.parent if self.settings.source else self.folder

    @cached_property
    def now(self) -> datetime:
        """The time of this run: one moment, however often it is asked for."""
        return from_us(now_us())

    def read_output(
        self,
        output: Format | None,
        *,
        as_json: bool,
        fields: str | None,
        columns: Sequence[Column] = (),
    ) -> OutputOptions:
        """Return how to print, in the configured time zone; with `columns`, the fields are checked now."""
        zone = self.settings.app.timezone
        return read_output_options(output, as_json=as_json, fields=fields, zone=zone, columns=columns)

    def database_exists(self) -> bool:
        """Tell whether there is a database, of whatever kind, at the configured place."""
        from proxy.settings import database_path

        try:
            database_path(self.settings).stat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            pass  # there, or at least not to be replaced: opening it will tell what is wrong
        return True

    @contextmanager
    def reading(self) -> Iterator[Database]:
        """Open the database for reading; one that does not exist is an error, and is not created."""
        from proxy.settings import database_path
        from proxy.store.database import open_database

        with open_database(database_path(self.settings), create=False) as database:
            yield database

    @contextmanager
    def glancing(self) -> Iterator[Database]:
        """Open the database as it is, for a shell completion: nothing is migrated or made beside it."""
        from proxy.settings import database_path
        from proxy.store.database import open_for_reading

        with open_for_reading(database_path(self.settings)) as database:
            yield database

    @contextmanager
    def writing(self, *, dry_run: bool = False) -> Iterator[Database]:
        """Open the database for writing, created if need be; a dry run does everything and undoes it."""
        from proxy.settings import database_path
        from proxy.store.database import open_database

        path = database_path(self.settings)
        if not dry_run:
            with open_database(path, create=True) as database:
                yield database
        elif self.database_exists():
            with open_database(path, create=False) as database, _undoing(database):
                yield database
        else:
            # What would be created is created elsewhere, so that the checks are the real ones.
            with (
                TemporaryDirectory(prefix="fastgate-") as folder,
                open_database(Path(folder) / "dry-run.db", create=True) as database,
            ):
                yield database

    @contextmanager
    def changing(self, *, dry_run: bool = False) -> Iterator[Database]:
        """Open the database to change what is in it: one that does not exist is an error, as for reading."""
        with self.reading() as database:
            if dry_run:
                with _undoing(database):
                    yield database
            else:
                yield database


@contextmanager
def _undoing(database: Database) -> Iterator[None]:
    try:
        with database.transaction():
            yield
            raise _UndoneError
    except _UndoneError:
        pass


def invocation_of(ctx: typer.Context) -> Invocation:
    """Return the invocation that a command runs in; during shell completion a new one."""
    root = ctx.find_root()
    if not isinstance(root.obj, Invocation):
        root.obj = Invocation(root.params.get("config"))
    return root.obj
