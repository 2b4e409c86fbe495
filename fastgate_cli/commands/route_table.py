"""Every route of the database as the decision sees it, for the commands that reason about all of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fastgate_cli.headers import mask_body_fields
from proxy.errors import InvalidInputError

if TYPE_CHECKING:
    from proxy.policy.model import Route
    from proxy.policy.routing import CompiledRoute
    from proxy.store.database import Database


@dataclass(frozen=True, slots=True)
class CompiledTable:
    """The routes that can be compiled, in the order they are tried, and (id, problem) of the others.

    References in headers are not resolved, and secrets in body fields are masked.
    """

    compiled: Sequence[CompiledRoute]
    problems: Sequence[tuple[str, str]]


def read_table(database: Database, strip_headers: Iterable[str] = ()) -> CompiledTable:
    """Return the table of a database, the routes that are switched off included."""
    from proxy.policy.routing import compile_route, order_routes
    from proxy.store.routes import build_route, find_problem, list_routes

    compiled, problems = [], []
    strip = tuple(strip_headers)
    for row in list_routes(database):
        try:
            if problem := find_problem(row):
                raise InvalidInputError(problem)
            compiled.append(compile_route(_mask_fields(build_route(row)), strip))
        except InvalidInputError as error:
            problems.append((row["route_id"], error.message))
    return CompiledTable(order_routes(compiled), problems)


def _mask_fields(route: Route) -> Route:
    from proxy.policy.json_text import dump_json, parse_json

    fields = mask_body_fields({name: parse_json(text) for name, text in route.add_body_fields})
    return replace(route, add_body_fields=tuple((name, dump_json(value)) for name, value in fields.items()))
