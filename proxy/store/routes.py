"""Routes in the database. What a pattern or a target may be is policy's to say; here it is only kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from proxy.clock import to_us
from proxy.errors import ConflictError, InvalidInputError, NotFoundError
from proxy.ids import check_id, new_id
from proxy.policy.json_text import dump_json
from proxy.policy.model import Route
from proxy.store.database import Database
from proxy.store.models import ProxyRouteRow, Row, clean_text

NAME_LENGTH_MAX = 100
ANY_METHOD = "ANY"
PRIORITY_DEFAULT = 100
# The JSON columns that a route is built from: what they hold, and what that holds.
_SHAPES = (
    ("match_headers", dict, (str, type(None))),
    ("add_headers", dict, (str,)),
    ("remove_headers", list, (str,)),
    ("targets", list, (str,)),
    ("retry_statuses", list, (int,)),
)


@dataclass(frozen=True, slots=True)
class NewRoute:
    """A route to be added: its columns, with the contract's defaults. No id means a new one."""

    match_path: str
    target_host: str
    route_id: str | None = None
    route_name: str | None = None  # None: the id
    description: str = ""
    match_method: str = ANY_METHOD
    match_headers: Mapping[str, str | None] = field(default_factory=dict)
    target_path: str = ""
    target_protocol: str = "http"
    strip_path_prefix: bool = False
    add_headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    remove_headers: Sequence[str] = ()
    timeout: int | None = None  # None: `proxy.timeout`
    is_active: bool = True
    priority: int = PRIORITY_DEFAULT
    match_body_schema: Mapping[str, Any] | bool | None = None
    add_body_fields: Mapping[str, Any] = field(default_factory=dict)
    targets: Sequence[str] = ()
    balance: str = "failover"
    retry_count: int = 0
    retry_statuses: Sequence[int] = ()
    total_timeout: int | None = None
    http_version: str = "1.1"
    tls_ca: str | None = None
    tls_verify: bool = True
    on_client_abort: str = "cancel"
    pass_credential: bool = False
    encoded_slash: bool = False
    keep_redirects: bool = False


def add_route(database: Database, route: NewRoute, now: datetime) -> Row:
    """Add a route and return its row. Raises `ConflictError` if its id or name is taken."""
    route_id = route.route_id or new_id("rt", to_us(now))
    name = route.route_name or route_id
    check_id(route_id)
    with database.transaction():
        check_name_is_free(database, name)
        check_name_is_free(database, route_id)
        ProxyRouteRow.insert(
            route_id=route_id,
            route_name=name,
            description=clean_text(route.description),
            match_path=route.match_path,
            match_method=route.match_method,
            match_headers=dict(route.match_headers),
            match_body_schema=route.match_body_schema,
            target_host=route.target_host,
            target_path=route.target_path,
            target_protocol=route.target_protocol,
            strip_path_prefix=route.strip_path_prefix,
            add_headers=dict(route.add_headers),
            add_body_fields=dict(route.add_body_fields),
            remove_headers=list(route.remove_headers),
            timeout=route.timeout,
            targets=list(route.targets),
            balance=route.balance,
            retry_count=route.retry_count,
            retry_statuses=list(route.retry_statuses),
            total_timeout=route.total_timeout,
            http_version=route.http_version,
            tls_ca=route.tls_ca,
            tls_verify=route.tls_verify,
            on_client_abort=route.on_client_abort,
            pass_credential=route.pass_credential,
            encoded_slash=route.encoded_slash,
            keep_redirects=route.keep_redirects,
            is_active=route.is_active,
            priority=route.priority,
            created_at=now,
            updated_at=now,
        ).execute(database.peewee)
        return get_route(database, route_id)


def list_routes(database: Database) -> list[Row]:
    """Return every route: smaller priority first, then the older one."""
    order = (ProxyRouteRow.priority, ProxyRouteRow.created_at, ProxyRouteRow.route_id)
    return database.fetch(ProxyRouteRow.select().order_by(*order))


def get_route(database: Database, ref: str) -> Row:
    """Return the route with that id or name, or raise `NotFoundError`."""
    row = _find(database, ref)
    if row is None:
        from difflib import get_close_matches  # only a mistake has to pay for it

        names = [name for route in list_routes(database) for name in (route["route_name"], route["route_id"])]
        similar = get_close_matches(ref, names, n=1)
        hint = f"did you mean {similar[0]!r}?" if similar else "'fastgate routes list' shows the routes"
        raise NotFoundError(f"there is no route {ref!r}", hint=hint)
    return row


def delete_routes(database: Database, refs: Sequence[str]) -> list[Row]:
    """Delete routes and return what they were; all of them or, with `NotFoundError`, none."""
    with database.transaction():
        rows = {row["route_id"]: row for row in (get_route(database, ref) for ref in refs)}
        for route_id in rows:
            ProxyRouteRow.delete().where(ProxyRouteRow.route_id == route_id).execute(database.peewee)
    return list(rows.values())


def load_routes(database: Database) -> tuple[tuple[Route, ...], tuple[str, ...]]:
    """Return every route as policy sees it, and what is wrong with those that are left out.

    A route that asks for something this version does not do is left out, never served half.
    """
    routes, problems = [], []
    for row in list_routes(database):
        if problem := find_problem(row):
            problems.append(f"route {row['route_id']} is left out: {problem}")
        else:
            routes.append(build_route(row))
    return tuple(routes), tuple(problems)


def find_problem(row: Mapping[str, Any]) -> str | None:
    """Return why a row cannot be a route for policy, or None."""
    if not isinstance(row["match_body_schema"], dict | bool | None):
        return "its match_body_schema cannot be read"
    if not isinstance(row["add_body_fields"], dict | None) or not _is_json(row["add_body_fields"]):
        return "its add_body_fields cannot be read"
    for column, kind, values in _SHAPES:
        value = row[column] or kind()
        texts = value.values() if isinstance(value, dict) else value
        if not isinstance(value, kind) or not all(isinstance(text, values) for text in texts):
            return f"its {column} cannot be read"
    return None


def _is_json(value: object) -> bool:
    try:
        dump_json(value)
    except ValueError:  # NaN, which Python reads and writes and JSON does not have
        return False
    return True


def build_route(row: Mapping[str, Any]) -> Route:
    """Return a row as policy sees it."""
    methods = {name.strip().upper() for name in (row["match_method"] or ANY_METHOD).split(",")}
    return Route(
        route_id=row["route_id"],
        route_name=row["route_name"],
        match_path=row["match_path"],
        target_host=row["target_host"],
        target_path=row["target_path"] or "",
        target_protocol=row["target_protocol"] or "http",
        match_methods=frozenset() if ANY_METHOD in methods else frozenset(methods),
        match_headers=tuple((row["match_headers"] or {}).items()),
        strip_path_prefix=bool(row["strip_path_prefix"]),
        add_headers=tuple((row["add_headers"] or {}).items()),
        remove_headers=frozenset(row["remove_headers"] or ()),
        timeout_seconds=row["timeout"],
        is_active=bool(row["is_active"]),
        priority=PRIORITY_DEFAULT if row["priority"] is None else row["priority"],
        created_at_us=to_us(row["created_at"]) if row["created_at"] else 0,
        # An empty schema says nothing, so it is no condition.
        match_body_schema=None if row["match_body_schema"] == {} else row["match_body_schema"],
        add_body_fields=tuple(
            (name, dump_json(value)) for name, value in (row["add_body_fields"] or {}).items()
        ),
        targets=tuple(row["targets"] or ()),
        balance=row["balance"] or "failover",
        retry_count=row["retry_count"] or 0,
        retry_statuses=frozenset(row["retry_statuses"] or ()),
        total_timeout_seconds=row["total_timeout"],
        http_version=row["http_version"] or "1.1",
        tls_ca=row["tls_ca"] or "",
        tls_verify=row["tls_verify"] is not False,
        on_client_abort=row["on_client_abort"] or "cancel",
        pass_credential=bool(row["pass_credential"]),
        encoded_slash=bool(row["encoded_slash"]),
        keep_redirects=bool(row["keep_redirects"]),
    )


def _find(database: Database, ref: str) -> Row | None:
    text = clean_text(ref)
    by_id = database.fetch(ProxyRouteRow.select().where(ProxyRouteRow.route_id == text))
    return next(
        iter(by_id or database.fetch(ProxyRouteRow.select().where(ProxyRouteRow.route_name == text))), None
    )


def check_name(name: str) -> None:
    """Refuse what no route can be called."""
    if len(name) > NAME_LENGTH_MAX or not name.isprintable() or name != name.strip():
        hint = f"at most {NAME_LENGTH_MAX} printable characters"
        raise InvalidInputError(f"{name[:40]!r} is not a name", hint=hint)


def check_name_is_free(database: Database, name: str) -> None:
    """Raise `InvalidInputError` for a name that none can have, `ConflictError` for one that a route has."""
    check_name(name)
    if _find(database, name) is not None:
        hint = "choose another, or delete that one first"
        raise ConflictError(f"there is a route {name!r} already", hint=hint)
