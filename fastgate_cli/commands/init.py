"""`fastgate init`: the configuration file from the shipped example, the database, and a first route."""

from __future__ import annotations

import os
import shlex
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from fastgate_cli.columns import Column
from fastgate_cli.context import Invocation, invocation_of
from fastgate_cli.options import DryRunOption, FieldsOption, JsonOption, OutputOption, note_dry_run
from fastgate_cli.output import OutputOptions, print_note, print_object, read_output_options
from proxy.errors import ConflictError, InvalidInputError

if TYPE_CHECKING:
    from proxy.store.database import Database
    from proxy.store.routes import NewRoute

Sample = Literal["ollama", "vllm", "openai"]
CONFIGURATION_NAME = "fastgate.yaml"
PATTERN = "/v1/*"
_FILE_MODE = 0o600
_BACKENDS: dict[Sample, tuple[str, str]] = {
    "ollama": ("http", "127.0.0.1:11434"),
    "vllm": ("http", "127.0.0.1:8000"),
    "openai": ("https", "api.openai.com"),
}
_OPENAI_HEADERS = {"Authorization": "Bearer ${env:OPENAI_API_KEY}"}
COLUMNS = (Column("config"), Column("database"), Column("route_id"))


def init(
    ctx: typer.Context,
    sample: Annotated[Sample | None, typer.Option("--sample", help="Add a route to this backend.")] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace fastgate.yaml if there is one; the database stays.")
    ] = False,
    dry_run: DryRunOption = False,
    output: OutputOption = None,
    as_json: JsonOption = False,
    fields: FieldsOption = None,
) -> None:
    """Write fastgate.yaml, with every setting explained, and create the database beside it.

    Examples:
      fastgate init
      fastgate init --sample ollama
      fastgate -c /etc/fastgate/fastgate.yaml init
    """
    from proxy.settings import database_path, example_text

    here = invocation_of(ctx)
    # The configuration in force is the one about to be written: it must not be read yet.
    options = read_output_options(
        output, as_json=as_json, fields=fields, zone=OutputOptions().zone, columns=COLUMNS
    )
    path = _choose_path(here)
    _check_free(path, force=force)
    if dry_run:
        print_object({"config": str(path), "database": None, "route_id": None}, COLUMNS, options)
        return note_dry_run(True)
    write_private(path, example_text(), replace=force)
    written = Invocation(path, here.environ)
    with written.writing() as database:
        route_id = _add_sample_route(database, sample, written.now) if sample else None
    created = {
        "config": str(path),
        "database": str(database_path(written.settings)),
        "route_id": route_id,
    }
    print_object(created, COLUMNS, options)
    _print_next_steps(sample, describe_program(path, here.folder))
    return None


def describe_program(source: Path | None, folder: Path) -> str:
    """Return how a command begins that is to use this configuration: if need be, with the option for it."""
    if source is None or source == folder / CONFIGURATION_NAME:
        return "fastgate"
    return f"fastgate -c {shlex.quote(str(source))}"


def build_sample_route(sample: Sample) -> NewRoute:
    """Return the route that `--sample` adds."""
    from proxy.store.routes import NewRoute

    protocol, host = _BACKENDS[sample]
    return NewRoute(
        route_name=sample,
        match_path=PATTERN,
        target_protocol=protocol,
        target_host=host,
        add_headers=_OPENAI_HEADERS if sample == "openai" else {},
    )


def _add_sample_route(database: Database, sample: Sample, now: datetime) -> str:
    from proxy.store.routes import add_route, get_route

    try:
        row = add_route(database, build_sample_route(sample), now)
    except ConflictError:
        row = get_route(database, sample)  # added by an earlier `init`, and perhaps changed since: it stays
    return str(row["route_id"])


def write_private(
    path: Path, text: str, *, replace: bool, hint: str = "choose another place with -c FILE"
) -> None:
    """Write a file that only its owner can read; what is there already is kept, or replaced as a whole."""
    place = path.with_name(f".{path.name}.{os.getpid()}") if replace else path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _FILE_MODE)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                os.fchmod(descriptor, _FILE_MODE)
                file.write(text)
            place.replace(path)
        except BaseException:
            place.unlink(missing_ok=True)
            raise
    except OSError as error:
        _check_free(path, force=replace)
        raise InvalidInputError(f"{path} cannot be written: {error.strerror}", hint=hint) from None


def _choose_path(invocation: Invocation) -> Path:
    named = invocation.config_file or Path(invocation.environ.get("FASTGATE_CONFIG") or CONFIGURATION_NAME)
    path = invocation.folder / named.expanduser()
    return path / CONFIGURATION_NAME if path.is_dir() else path


def _check_free(path: Path, *, force: bool) -> None:
    if not force and os.path.lexists(path):
        raise ConflictError(
            f"{path} is there already",
            hint="--force replaces it; 'fastgate db upgrade' creates the database alone",
        )


def _print_next_steps(sample: Sample | None, program: str) -> None:
    steps = [(f"{program} keys create", "a key, shown once"), (f"{program} serve", "run the gateway")]
    if sample is None:
        steps.insert(1, (f"{program} routes add --match '{PATTERN}' --to URL", "where requests go"))
    if sample == "openai":
        steps.insert(0, ("export OPENAI_API_KEY=...", "the route reads it from there"))
    width = max(len(line) for line, _ in steps)
    print_note("next:")
    for line, purpose in steps:
        print_note(f"  {line:{width}}   {purpose}")
