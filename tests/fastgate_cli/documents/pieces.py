"""Documents for tests: read, compared with rows, and told in the words of a person."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from fastgate_cli.documents.fields import Reading
from fastgate_cli.documents.plan import Change, State, plan_changes
from fastgate_cli.documents.reading import Document, read_document
from fastgate_cli.documents.route_fields import FIELDS
from proxy.documents.tree import Faults

NOW = datetime(2026, 1, 31, tzinfo=UTC)
EXPIRY = NOW + timedelta(days=365)
DIGEST, OTHER_DIGEST = "sha256:" + "ab" * 32, "sha256:" + "cd" * 32
KEY: dict[str, Any] = {
    "source_path": "ci",
    "permissions": [],
    "rate_limit": None,
    "rate_burst": None,
    "expires_at": None,
    "is_active": True,
    "value_hash": DIGEST,
    "key_hint": "fg_a…wxyz",
}
ROUTE: dict[str, Any] = {
    **{field.name: field.default for field in FIELDS if field.name != "route_id"},
    "route_name": "chat",
    "match_path": "/v1/*",
    "target_host": "a:1",
}


def read(text: str, folder: Path = Path()) -> tuple[Document, list[str]]:
    """Return a document and its faults."""
    reading = Reading(Faults("d.yaml"), NOW, folder)
    document = read_document(text.encode(), reading)
    return document, [str(problem) for problem in reading.faults.problems]


def faults_of(text: str, folder: Path = Path()) -> list[str]:
    """Return the faults of a document, each without the file's name."""
    return [fault.removeprefix("d.yaml:") for fault in read(text, folder)[1]]


def state(keys: dict[str, Any] | None = None, routes: dict[str, Any] | None = None) -> State:
    """Return what a database has: objects by id, each told as what is not as in KEY or ROUTE."""
    return State(
        {
            "keys": {key_id: {**KEY, **values} for key_id, values in (keys or {}).items()},
            "routes": {
                route_id: {**ROUTE, "route_name": route_id, **values}
                for route_id, values in (routes or {}).items()
            },
        }
    )


def plan(text: str, state: State, *, prune: bool = False) -> tuple[Sequence[Change], list[str]]:
    """Return the changes and the faults of a document that is sound by itself."""
    document, faults = read(text)
    assert faults == []
    found = Faults("d.yaml")
    changes = plan_changes(document, state, found, prune=prune, expires_at=EXPIRY)
    return changes, [str(problem).removeprefix("d.yaml:") for problem in found.problems]
