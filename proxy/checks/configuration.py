"""What `serve` would meet with a configuration: the part of an examination that needs no running gateway."""

from __future__ import annotations

from collections.abc import Iterator

from proxy.checks.database import examining
from proxy.checks.examination import Subject, look_for_gateway
from proxy.checks.files import find_write_fault
from proxy.checks.gateway import check_port
from proxy.checks.places import check_places
from proxy.checks.result import Check, failed, guard, passed
from proxy.checks.routes import check_routes, find_active_routes
from proxy.settings import Settings
from proxy.store.database import Database
from proxy.store.routes import list_routes


def examine_configuration(subject: Subject) -> Iterator[Check]:
    """Yield whether a gateway could be started on a configuration as things are here and now."""
    settings = subject.settings
    yield passed("configuration", str(settings.source or "there is no file: the defaults hold"))
    gateway, _ = look_for_gateway(subject)  # what keeps it from being found is told of the journal
    yield from guard("port", lambda: check_port(settings, gateway))
    if settings.audit.enabled:
        yield from guard("journal", lambda: _check_journal(settings))
    yield from guard("places", lambda: check_places(settings))
    with examining(settings) as (database, states):
        yield from states
        if database is not None:
            opened = database
            yield from guard("routes", lambda: _check_routes(subject, opened))


def _check_journal(settings: Settings) -> Iterator[Check]:
    folder = settings.audit.directory
    fault = find_write_fault(folder)
    yield failed("journal", fault, "set audit.directory") if fault else passed("journal", str(folder))


def _check_routes(subject: Subject, database: Database) -> Iterator[Check]:
    routes, unusable = find_active_routes(list_routes(database))
    yield from unusable
    if routes or not unusable:
        yield from check_routes(
            routes, subject.environ, subject.folder, are_all_served=False, is_started_here=True
        )
