"""Checks of routes: can each be used, and is what it refers to there."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from proxy.checks.result import Check, failed, passed, warning
from proxy.errors import InvalidInputError
from proxy.policy.model import Route
from proxy.policy.routing import compile_route
from proxy.references import find_dangling
from proxy.store.models import Row
from proxy.store.routes import build_route, find_problem
from proxy.upstream.contexts import find_authority_fault

_NAME = "routes"


def find_active_routes(rows: Sequence[Row]) -> tuple[list[Route], list[Check]]:
    """Return the active routes that can be used, and what is wrong with the others."""
    routes, faults = [], []
    for row in rows:
        if not row["is_active"]:
            continue
        try:
            if problem := find_problem(row):
                raise InvalidInputError(problem)
            route = build_route(row)
            compile_route(route)
        except InvalidInputError as error:
            name = row["route_name"]
            fix = f"fastgate routes show {shlex.quote(name)}"
            faults.append(failed(_NAME, f"{name} cannot be used: {error.message}", fix))
        else:
            routes.append(route)
    return routes, faults


def check_routes(
    routes: Sequence[Route],
    environ: Mapping[str, str],
    folder: Path,
    *,
    are_all_served: bool,
    is_started_here: bool = False,
) -> Iterator[Check]:
    """Yield what usable routes refer to and is not there.

    Variables are looked for in `environ`, that of this process. That a gateway serves all active routes says
    that it has them; that it is to be started here says that it will not.
    """
    if not routes:
        yield warning(_NAME, "there is no active route", "fastgate routes add --match '/v1/*' --to URL")
        return
    miss = failed if is_started_here else warning
    faults = list(_find_faults(routes, environ, folder, None if are_all_served else miss))
    yield from faults
    if not faults:
        yield passed(_NAME, f"{len(routes)} active, all that they refer to is there")


def _find_faults(
    routes: Sequence[Route],
    environ: Mapping[str, str],
    folder: Path,
    miss: Callable[[str, str, str], Check] | None,
) -> Iterator[Check]:
    for route in routes:
        for problem in find_dangling(route, environ, folder):
            detail = f"{route.route_name}: {problem}"
            if not problem.startswith("${env:"):
                yield failed(_NAME, detail, "make that file, readable by the gateway's user")
            elif miss is not None:
                yield miss(_NAME, f"{detail} in this shell", "set it where the gateway is started")
        if problem := find_authority_fault(route):
            fix = f"fastgate routes update {shlex.quote(route.route_name)} --tls-ca FILE"
            yield failed(_NAME, f"{route.route_name}: {problem}", fix)
