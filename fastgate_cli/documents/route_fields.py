"""The fields of a route in a document. They are checked by what checks the options of `routes add`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from fastgate_cli.commands.route_columns import (
    TARGETS_MAX,
    find_contradictions,
    read_authorities,
    read_methods,
    read_statuses,
)
from fastgate_cli.commands.route_options import bounds_of, choices_of
from fastgate_cli.documents.fields import (
    Field,
    Place,
    Reading,
    Shape,
    members_of,
    read_any,
    read_checked,
    read_choice,
    read_flag,
    read_list,
    read_number,
    read_text,
)
from fastgate_cli.headers import KEEP, check_added, check_name, check_value, mask_body_fields, mask_headers
from proxy.documents.tree import LIST, MAP, Member, Node
from proxy.errors import InvalidInputError
from proxy.ids import check_id
from proxy.policy.body_edits import compile_edits
from proxy.policy.body_schemas import compile_schema
from proxy.policy.json_text import dump_json
from proxy.policy.patterns import compile_pattern
from proxy.policy.targets import compile_target, parse_target
from proxy.store.routes import PRIORITY_DEFAULT
from proxy.store.routes import check_name as check_route_name

ID, NAME = "route_id", "route_name"
# The fields that may hold secrets, each a mapping, and how they are shown without.
MASKS: Mapping[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    "add_headers": mask_headers,
    "add_body_fields": mask_body_fields,
}
_RETRIED_5XX = frozenset(range(500, 600))
_ANY_PATH = compile_pattern("/**")


def _read_name(node: Node, reading: Reading) -> str:
    name = read_text(node, reading)
    if not name:
        raise InvalidInputError("a name is not empty", hint="leave it out for the id")
    check_route_name(name)
    return name


def _read_method(node: Node, reading: Reading) -> str:
    items = node.items if node.kind == LIST else (node,)
    return read_methods([read_text(item, reading) for item in items])


def _read_host(node: Node, reading: Reading) -> str:
    try:
        target = parse_target(f"http://{read_text(node, reading)}", pattern=_ANY_PATH)
    except InvalidInputError:
        target = None
    if target is None or target.path:
        raise InvalidInputError(
            "this must be a host such as 127.0.0.1:8000",
            hint="before it comes the target_protocol, behind it the target_path",
        )
    return target.host


def _read_origin(node: Node, reading: Reading) -> str:
    target = parse_target(read_text(node, reading), pattern=_ANY_PATH)
    if target.path:
        raise InvalidInputError("this must be a URL without a path", hint="all targets serve the same paths")
    return target.origin


def _read_headers(read_value: Callable[[Member, Reading], str | None]) -> Callable[[Node, Reading], Any]:
    def read(node: Node, reading: Reading) -> dict[str, str | None]:
        headers: dict[str, str | None] = {}
        for member in members_of(node):
            try:
                name = check_name(member.name, member.name)
                if name.lower() in map(str.lower, headers):
                    raise InvalidInputError(f"the header {name!r} is given twice")
                headers[name] = read_value(member, reading)
            except InvalidInputError as error:
                reading.faults.add_error(error, member)
        return headers

    return read


def _read_condition(member: Member, reading: Reading) -> str | None:
    if member.value.kind == "null":
        return None
    return check_value(member.name, read_text(member.value, reading))


def _read_added(member: Member, reading: Reading) -> str:
    text = read_text(member.value, reading)
    return text if text == KEEP else check_added(member.name, text)


def _read_body_fields(node: Node, reading: Reading) -> dict[str, Any]:
    fields = {}
    for member in members_of(node):
        fields[member.name] = read_any(member.value, reading)
        for part in _find_kept_parts(member.value):
            message = f"{KEEP} can stand for the whole of {member.name!r} alone, not for a part of it"
            reading.faults.add(message, part)
        try:
            compile_edits([(member.name, dump_json(fields[member.name]))])
        except InvalidInputError as error:
            reading.faults.add_error(error, member)
    return fields


def _find_kept_parts(node: Node) -> Iterator[Node]:
    for part in (*node.items, *(member.value for member in node.members)):
        if part.kind not in (MAP, LIST) and part.text == KEEP:
            yield part
        yield from _find_kept_parts(part)


def _read_schema(node: Node, reading: Reading) -> Any:
    if node.kind not in (MAP, "bool"):
        raise InvalidInputError("this must be a JSON Schema, which is a mapping")
    known = len(reading.faults.problems)
    schema = read_any(node, reading)
    if len(reading.faults.problems) == known:
        compile_schema(schema)
    return schema


def _read_status(node: Node, _: Reading) -> list[int]:
    if node.kind in (MAP, LIST):
        raise InvalidInputError("this must be a status such as 429, or 5xx")
    return read_statuses([node.text])


def _read_statuses(node: Node, reading: Reading) -> list[int]:
    statuses = read_list(_read_status)(node, reading)
    return sorted({status for some in statuses for status in some})


def _read_authorities(node: Node, reading: Reading) -> str:
    return read_authorities(reading.folder / read_text(node, reading))


FIELDS = (
    Field(ID, read_checked(check_id), is_written=True),
    Field(NAME, _read_name),
    Field("description", read_text, ""),
    Field("match_path", read_checked(compile_pattern), is_written=True),
    Field("match_method", _read_method, "ANY"),
    Field("match_headers", _read_headers(_read_condition), {}),
    Field("match_body_schema", _read_schema),
    Field("target_protocol", read_choice("http", "https"), "http", is_written=True),
    Field("target_host", _read_host, is_written=True),
    Field("target_path", read_text, ""),
    Field("targets", read_list(_read_origin), []),
    Field("balance", read_choice(*choices_of("balance")), "failover"),
    Field("strip_path_prefix", read_flag, False),
    Field("add_headers", _read_headers(_read_added), {}),
    Field("add_body_fields", _read_body_fields, {}),
    Field("remove_headers", read_list(read_checked(lambda name: check_name(name, name))), []),
    Field("timeout", read_number(*bounds_of("timeout"))),
    Field("total_timeout", read_number(*bounds_of("total_timeout"))),
    Field("retry_count", read_number(*bounds_of("retries")), 0),
    Field("retry_statuses", _read_statuses, []),
    Field("http_version", read_choice("1.1", "2"), "1.1"),
    Field("tls_ca", _read_authorities),
    Field("tls_verify", read_flag, True),
    Field("on_client_abort", read_choice(*choices_of("on_client_abort")), "cancel"),
    Field("pass_credential", read_flag, False),
    Field("encoded_slash", read_flag, False),
    Field("keep_redirects", read_flag, False),
    Field("priority", read_number(*bounds_of("priority")), PRIORITY_DEFAULT),
    Field("is_active", read_flag, True),
)


def describe_route(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a route that is in the database, every empty column as what it means."""
    values = {field.name: row[field.name] for field in FIELDS if field.name != ID}
    for field in FIELDS:
        if field.name != ID and values[field.name] is None:
            values[field.name] = field.default
    return {**values, "is_active": bool(row["is_active"])}


def spell_statuses(statuses: Sequence[int]) -> list[int | str]:
    """Return statuses as a document has them: all that begin with a 5 as one."""
    if not set(statuses) >= _RETRIED_5XX:
        return list(statuses)
    return [*sorted(set(statuses) - _RETRIED_5XX), "5xx"]


def check_fields(values: Mapping[str, Any], place_of: Callable[[str], Place], reading: Reading) -> None:
    """Tell what the fields of one route say against each other or the configuration."""
    faults = reading.faults
    known = len(faults.problems)
    try:
        compile_target(
            values["target_path"],
            strip_prefix=values["strip_path_prefix"],
            pattern=compile_pattern(values["match_path"]),
        )
    except InvalidInputError as error:
        faults.add_error(error, place_of("target_path"))
    origins = [f"{values['target_protocol']}://{values['target_host']}", *values["targets"]]
    if len(set(origins)) < len(origins) or len(origins) > TARGETS_MAX:
        faults.add(f"a backend is named twice, or there are more than {TARGETS_MAX}", place_of("targets"))
    if len(faults.problems) == known:
        columns = {ID: "", NAME: "", "created_at": None, **values}
        for column, contradiction in find_contradictions(columns, retries_max=reading.retries_max):
            faults.add_error(contradiction, place_of(column))


ROUTE = Shape("route", ID, FIELDS, check_fields, required=frozenset({"match_path", "target_host"}))
