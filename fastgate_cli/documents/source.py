"""Where a document comes from, a file or stdin, and what it would change: with all its faults at once."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from fastgate_cli.context import Invocation
from fastgate_cli.documents.fields import Reading
from fastgate_cli.documents.plan import Change, State, plan_changes
from fastgate_cli.documents.reading import DOCUMENT_BYTES_MAX, Document, read_document
from proxy.documents.nodes import refuse
from proxy.documents.tree import Faults
from proxy.errors import ConfigurationError, Problem

_STDIN = "-"


@dataclass(frozen=True, slots=True)
class Source:
    """A document that was read, with its faults in `reading`."""

    document: Document
    reading: Reading
    invocation: Invocation

    def plan(self, state: State, *, prune: bool) -> list[Change]:
        """Return what has to change; raises ConfigurationError for everything that is wrong."""
        days = self.invocation.settings.security.default_expiry_days
        expires_at = self.invocation.now + timedelta(days=days) if days else None
        changes = plan_changes(self.document, state, self.reading.faults, prune=prune, expires_at=expires_at)
        self.raise_faults()
        return changes

    def raise_faults(self) -> None:
        """Raise what is wrong with the document, if anything, in its order."""
        problems = self.reading.faults.problems
        if problems:
            in_order = sorted(set(problems), key=lambda problem: (problem.line, problem.column))
            raise refuse(in_order, "nothing was changed; 'fastgate export' shows how a document is written")


def read_source(file: str, invocation: Invocation) -> Source:
    """Return the document in a file, `-` for stdin, read as the configuration says.

    Raises ConfigurationError for a file that cannot be read at all; faults come with the plan.
    """
    settings = invocation.settings
    path = invocation.folder / file
    reading = Reading(
        faults=Faults("stdin" if file == _STDIN else file),
        now=invocation.now,
        folder=invocation.folder if file == _STDIN else path.parent,
        zone=settings.app.timezone,
        retries_max=settings.proxy.max_retries,
    )
    return Source(read_document(_read_content(file, path), reading), reading, invocation)


def _read_content(file: str, path: Path) -> bytes:
    size = DOCUMENT_BYTES_MAX + 1  # one byte too many is enough to know that it is too large
    if file == _STDIN:
        return sys.stdin.buffer.read(size)
    try:
        with path.open("rb") as stream:
            return stream.read(size)
    except OSError as error:
        problem = Problem(f"the document cannot be read: {error.strerror}", file)
        raise ConfigurationError([problem], hint="'fastgate export --out FILE' writes one") from None
