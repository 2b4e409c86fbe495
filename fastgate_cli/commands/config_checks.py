"""What `serve` would meet: the port, the folders it writes, the database, what the routes refer to.

It looks and changes nothing. Every fault is a check that failed, with what mends it; none is raised.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from proxy.errors import FastGateError, InvalidInputError

if TYPE_CHECKING:
    from proxy.settings import Settings
    from proxy.store.database import Database
    from proxy.store.models import Row

CheckStatus = Literal["ok", "warning", "failed"]
_REFERENCE = re.compile(r"\$\{(?:env|file):[^{}]+\}")


@dataclass(frozen=True, slots=True)
class Check:
    """What was looked at, how it is and, unless it is ok, what mends it."""

    check: str
    status: CheckStatus
    detail: str
    fix: str = ""


def find_checks(settings: Settings, environ: Mapping[str, str], folder: Path) -> Iterator[Check]:
    """Yield the checks of a configuration; references of routes are resolved in `environ` and `folder`."""
    origin = str(settings.source) if settings.source else "no file: the defaults hold"
    yield Check("configuration", "ok", origin)
    yield check_port(settings)
    yield from check_places(settings)
    yield from check_database(settings, environ, folder)


def check_port(settings: Settings) -> Check:
    """Return whether the address can be listened on, or is held by this configuration's own gateway."""
    from proxy.listening import bind_listener

    host, port = settings.app.host, settings.app.port
    try:
        bind_listener(host, port).close()
    except FastGateError as error:
        pid = _find_own_gateway(settings, port)
        if pid is not None:
            return Check("port", "ok", f"{port} on {host} is held by this gateway ({pid})")
        return Check("port", "failed", error.message, error.hint)
    return Check("port", "ok", f"{port} on {host} is free" if port else "a free one is taken")


def _find_own_gateway(settings: Settings, port: int) -> int | None:
    from proxy.running import read_running

    with suppress(FastGateError):
        note = read_running(settings.audit.directory)
        if urlsplit(note.address).port == port:
            return note.pid
    return None


def check_places(settings: Settings) -> Iterator[Check]:
    """Yield whether what the gateway writes besides the database can be written."""
    if settings.audit.enabled:
        yield _check_place("journal", settings.audit.directory, "audit.directory", is_folder=True)
    if settings.rate_limiting.enabled:
        yield _check_place("limits", settings.rate_limiting.file, "rate_limiting.file", is_folder=False)
    if settings.logging.file is not None:
        yield _check_place("log", settings.logging.file, "logging.file", is_folder=False)


def _check_place(check: str, path: Path, setting: str, *, is_folder: bool) -> Check:
    fix = f"let this user write there, or set {setting}"
    if path.exists() and path.is_dir() is not is_folder:
        return Check(check, "failed", f"{path} is {'no' if is_folder else 'a'} folder", f"set {setting}")
    nearest = next(place for place in (path, *path.parents) if os.path.lexists(place))
    if nearest != path and not nearest.is_dir():
        return Check(check, "failed", f"{nearest} is no folder", f"set {setting}")
    needed = os.W_OK | (os.X_OK if nearest.is_dir() else 0)
    if not os.access(nearest, needed):
        return Check(check, "failed", f"{nearest} cannot be written by this user", fix)
    return Check(check, "ok", str(path) if nearest == path else f"{path} can be made")


def check_database(settings: Settings, environ: Mapping[str, str], folder: Path) -> Iterator[Check]:
    """Yield whether the database can be used, and with it whether its routes can."""
    from proxy.settings import database_path
    from proxy.store.database import migration_status, open_database

    path = database_path(settings)
    if not os.path.lexists(path):
        place = _check_place("database", path, "database.url", is_folder=False)
        is_ok = place.status == "ok"
        yield Check("database", "ok", f"{path} is not there yet: serve makes it") if is_ok else place
        return
    try:
        with open_database(path, create=False, allow_pending=True) as database:
            pending = [row["name"] for row in migration_status(database) if row["applied"] is None]
            yield _judge_database(database, pending)
            if not pending:
                yield from _check_routes(database, environ, folder)
    except FastGateError as error:
        yield Check("database", "failed", error.message, error.hint)


def _judge_database(database: Database, pending: list[str]) -> Check:
    if not database.is_writable:
        fix = "let this user write it and its folder"
        return Check("database", "failed", f"{database.path} cannot be written by this user", fix)
    if pending:
        detail = f"migrations are pending: {', '.join(pending)}"
        return Check("database", "warning", detail, "'fastgate db upgrade' applies them, and so does serve")
    return Check("database", "ok", str(database.path))


def _check_routes(database: Database, environ: Mapping[str, str], folder: Path) -> Iterator[Check]:
    from proxy.store.routes import list_routes

    active = [row for row in list_routes(database) if row["is_active"]]
    faults = [fault for row in active for fault in _find_faults(row, environ, folder)]
    yield from faults
    if not faults:
        yield Check("routes", "ok", f"{len(active)} in use, and all they refer to is there")


def _find_faults(row: Row, environ: Mapping[str, str], folder: Path) -> Iterator[Check]:
    """Yield why the gateway would leave a route out."""
    from proxy.policy.routing import compile_route
    from proxy.store.routes import build_route, find_problem

    name = f"route {row['route_name']}"
    if problem := find_problem(row):
        yield Check(name, "failed", problem, f"'fastgate routes show {row['route_id']}' shows it")
        return
    route = build_route(row)
    for fault in _catch(lambda: compile_route(route)):
        yield Check(name, "failed", fault.message, f"'fastgate routes update {row['route_id']}' changes it")
    for _, value in route.add_headers:
        for reference in _REFERENCE.findall(value):
            yield from _check_reference(name, reference, environ, folder)


def _check_reference(name: str, reference: str, environ: Mapping[str, str], folder: Path) -> Iterator[Check]:
    from proxy.relay.references import resolve_value

    for fault in _catch(lambda: resolve_value(reference, environ, folder)):
        fix = "give serve that variable" if reference.startswith("${env:") else "put the secret in that file"
        yield Check(name, "failed", fault.message, fix)


def _catch(attempt: Callable[[], object]) -> Iterator[InvalidInputError]:
    try:
        attempt()
    except InvalidInputError as error:
        yield error
