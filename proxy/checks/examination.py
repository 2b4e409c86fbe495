"""All checks in the order in which they are told: what the later ones need is looked at by the earlier."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from proxy.checks.backends import check_backends
from proxy.checks.database import check_integrity, examining
from proxy.checks.files import check_permissions, check_room
from proxy.checks.gateway import Gateway, check_gateway, check_metrics, check_port, check_served, find_gateway
from proxy.checks.journal import check_journal
from proxy.checks.keys import check_keys
from proxy.checks.machine import check_clock, check_open_files
from proxy.checks.places import check_places
from proxy.checks.result import Check, describe_break, failed, guard, passed
from proxy.checks.retention import check_retention
from proxy.checks.routes import check_routes, find_active_routes
from proxy.errors import ConfigurationError, FastGateError
from proxy.settings import Settings
from proxy.store.database import Database
from proxy.store.health import read_newest_request
from proxy.store.routes import list_routes


@dataclass(frozen=True, slots=True)
class Subject:
    """What is examined. References of routes are resolved in `environ` and `folder`.

    `timeout_seconds` bounds each connection.
    """

    settings: Settings
    environ: Mapping[str, str] = field(repr=False)
    folder: Path
    now: datetime
    timeout_seconds: float


def examine(subject: Subject) -> Iterator[Check]:
    """Yield every result as soon as it is there. Never raises for a fault, nor for a check that breaks."""
    settings = subject.settings
    yield passed("configuration", str(settings.source or "there is no file: the defaults hold"))
    yield from guard("permissions", lambda: check_permissions(settings))
    with ExitStack() as opened:
        database: Database | None = None
        try:
            database, states = opened.enter_context(examining(settings))
        except Exception as error:  # noqa: BLE001
            states = [describe_break("database", error)]
        yield from states
        yield from _examine_with(subject, database)


def examine_broken(error: FastGateError, now: datetime) -> Iterator[Check]:
    """Yield what can be told where the configuration cannot be used."""
    problems = error.problems if isinstance(error, ConfigurationError) else ()
    for text in map(str, problems) if problems else (error.message,):
        yield failed("configuration", text, error.hint)
    yield from guard("clock", lambda: check_clock(now, None))


def _examine_with(subject: Subject, database: Database | None) -> Iterator[Check]:
    settings = subject.settings
    if database is not None:
        opened = database
        yield from guard("integrity", lambda: check_integrity(opened))
    yield from guard("disk", lambda: check_room(settings))
    gateway, faults = look_for_gateway(subject)
    is_running = gateway.note is not None
    yield from guard("journal", lambda: check_journal(settings, database, is_running=is_running))
    if database is not None:
        kept = database
        yield from guard("retention", lambda: check_retention(settings, kept, subject.now))
    yield from guard("places", lambda: check_places(settings))
    yield from guard("port", lambda: check_port(settings, gateway))
    yield from guard("metrics", lambda: check_metrics(settings))
    yield from faults or guard("gateway", lambda: check_gateway(gateway))
    if database is not None:
        yield from _examine_rows(subject, database, gateway)
    yield from guard("clock", lambda: _check_clock(subject, database))
    pids = gateway.note.worker_pids if gateway.note is not None else []
    yield from guard("open files", lambda: check_open_files(settings.proxy, pids[0] if pids else None))


def _examine_rows(subject: Subject, database: Database, gateway: Gateway) -> Iterator[Check]:
    """Yield what keys and routes are like, and the backends that the routes lead to."""
    settings, timeout_seconds = subject.settings, subject.timeout_seconds

    def count_active() -> int:
        return sum(bool(row["is_active"]) for row in list_routes(database))

    unserved = list(guard("gateway", lambda: check_served(settings, gateway, count_active, timeout_seconds)))
    yield from unserved
    try:
        routes, unusable = find_active_routes(list_routes(database))
    except Exception as error:  # noqa: BLE001
        routes, unusable = [], [describe_break("routes", error)]
    yield from unusable
    are_all_served = gateway.routes is not None and not unserved
    if not unusable or routes:
        yield from guard(
            "routes",
            lambda: check_routes(routes, subject.environ, subject.folder, are_all_served=are_all_served),
        )
    yield from guard("backend", lambda: check_backends(routes, timeout_seconds, settings.proxy.egress_proxy))
    yield from guard("keys", lambda: check_keys(database, subject.now))


def _check_clock(subject: Subject, database: Database | None) -> Iterator[Check]:
    newest = read_newest_request(database) if database is not None else None
    return check_clock(subject.now.astimezone(subject.settings.app.timezone), newest)


def look_for_gateway(subject: Subject) -> tuple[Gateway, list[Check]]:
    """Return the running gateway; one that cannot be looked for is none, and that is told."""
    try:
        return find_gateway(subject.settings, subject.timeout_seconds), []
    except Exception as error:  # noqa: BLE001
        return Gateway(), [describe_break("gateway", error)]
