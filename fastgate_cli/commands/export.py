"""`fastgate export`: keys and routes as one document, which `apply` reads."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from fastgate_cli.context import invocation_of
from fastgate_cli.output import print_note
from proxy.errors import InvalidInputError


def export_document(
    ctx: typer.Context,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Write this file, for its owner alone, not stdout."),
    ] = None,
    only: Annotated[
        Literal["keys", "routes"] | None, typer.Option("--only", metavar="KIND", help="keys or routes alone.")
    ] = None,
    secrets: Annotated[
        bool,
        typer.Option(
            "--secrets", help="Write the secrets in routes too, and the digests of keys: to move them."
        ),
    ] = False,
) -> None:
    """Write keys and routes as one YAML document, which 'fastgate apply' reads.

    Secrets of routes that are stored as written are left out; references such as ${env:NAME} are not. With
    --secrets the document makes the same keys and routes elsewhere, and clients keep their keys.

    Examples:
      fastgate export > gateway.yaml
      fastgate export --only routes --out routes.yaml
      fastgate export --secrets --out moving.yaml
    """
    from fastgate_cli.commands.init import write_private
    from fastgate_cli.documents.reading import SECTIONS
    from fastgate_cli.documents.state import check_readable, read_state
    from fastgate_cli.documents.writing import write_document

    if out is not None and out.is_dir():
        raise InvalidInputError(f"{str(out)!r} is a folder", hint="name a file in it")
    if out is not None and not out.parent.is_dir():
        raise InvalidInputError(f"there is no folder {str(out.parent)!r}", hint="make it first")
    invocation = invocation_of(ctx)
    with invocation.reading() as database:
        state = read_state(database, invocation.now)
    check_readable(state)
    sections = [only] if only else list(SECTIONS)
    lines = write_document(state, sections, invocation.settings.app.timezone, with_secrets=secrets)
    text = "".join([f"{line}\n" for line in lines])
    if out is None:
        sys.stdout.write(text)
        sys.stdout.flush()
        return
    write_private(out, text, replace=True, hint="choose another place with --out FILE")
    counts = [f"{section} {len(state.sections[section])}" for section in sections]
    print_note(f"written to {out}: {', '.join(counts)}")
