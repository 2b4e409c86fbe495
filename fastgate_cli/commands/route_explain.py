"""`fastgate routes explain`: what the gateway would do with a request, and why. Nothing is sent.

The decision is the gateway's own function. References in headers stay as they are written, since their values
belong to the process that serves. A route that refers to nothing is left out, as by the gateway; where the
gateway alone can know whether it does, that is told.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fastgate_cli.arguments import read_argument
from fastgate_cli.columns import Column, format_flag, style_flag
from fastgate_cli.commands.route_request import (
    CREDENTIALS,
    STAND_IN,
    DataOption,
    HeaderOption,
    build_head,
    read_header,
)
from fastgate_cli.commands.route_table import CompiledTable, read_table
from fastgate_cli.context import Invocation, invocation_of
from fastgate_cli.headers import mask_value
from fastgate_cli.options import FieldsOption, JsonOption, OutputOption, complete_key_ids
from fastgate_cli.output import OutputOptions, print_note, print_object, print_rows
from proxy.clock import to_us
from proxy.errors import InvalidInputError, NotFoundError

if TYPE_CHECKING:
    from proxy.policy.decide import KeyEntry
    from proxy.policy.model import RequestHead
    from proxy.references import Dangling
    from proxy.store.database import Database

COLUMNS = (
    Column("matched"),
    Column("refusal"),
    Column("key_id"),
    Column("target_url"),
    Column("request_headers"),
    Column("request_body"),
    Column("candidates", shown="data"),
)
CANDIDATE_COLUMNS = (
    Column("route_id", "route"),
    Column("matched", "match", text=format_flag, style=style_flag),
    Column("failed_on", "failed on"),
    Column("reason", elastic=True, wraps=True),
)
_REQUEST_ID = "req_00000000000000000000000000"


def explain_request(
    ctx: typer.Context,
    method: Annotated[str, typer.Argument(metavar="METHOD", help="GET, POST, ...")],
    path: Annotated[str, typer.Argument(metavar="PATH", help="The path, with its query if there is one.")],
    header: HeaderOption = None,
    data: DataOption = None,
    key: Annotated[
        str | None,
        typer.Option(
            "--key",
            metavar="KEY_OR_ID",
            help="With this key; without it, one that may do everything.",
            autocompletion=complete_key_ids,
        ),
    ] = None,
    output: OutputOption = None,
    as_json: JsonOption = False,
    fields: FieldsOption = None,
) -> None:
    """Show which route would serve a request, what would be sent to the backend, and why. Nothing is sent.

    A body is taken for JSON unless a content-type is given. References in headers are shown as written; a
    route is left out if one of them stands for nothing.

    Examples:
      fastgate routes explain POST /v1/chat/completions --data '{"model": "qwen3"}'
      fastgate routes explain GET /v1/models --key key_01jd2m5n8r9xq4t7w0z3v6b1ca
    """
    from proxy.policy.cors import list_stripped_headers
    from proxy.policy.decide import Snapshot
    from proxy.policy.explanation import explain
    from proxy.policy.routing import build_route_table

    invocation = invocation_of(ctx)
    printing = invocation.read_output(output, as_json=as_json, fields=fields, columns=COLUMNS)
    if method.startswith("/"):
        raise InvalidInputError(f"{method!r} is a path, not a method", hint="such as GET /v1/x")
    strip = list_stripped_headers(invocation.settings)
    body = b"" if data is None else read_argument(data)
    given = [read_header(text) for text in header or ()]
    if key is not None and {name for name, _ in given} & CREDENTIALS:
        hint = "give the key once; without --key the header counts"
        raise InvalidInputError("--key and a header with a key contradict each other", hint=hint)
    with invocation.reading() as database:
        entries, credential = _read_keys(database, key, invocation)
        table = read_table(database, strip)
    head = build_head(method, path, given, body, invocation.settings.app, credential=None)
    if key is not None or not _brings_its_own(head, entries):
        head = build_head(method, path, given, body, invocation.settings.app, credential=credential)
    dangling = _find_dangling(table, invocation)
    left_out = {route_id: one.problem for route_id, one in dangling if one.is_certain}
    usable = [one.route for one in table.compiled if one.route.route_id not in left_out]
    has_cors = invocation.settings.cors.enabled
    snapshot = Snapshot(0, entries, build_route_table(usable, strip_headers=strip), has_cors=has_cors)
    now_us = to_us(invocation.now)
    explained = explain(head, body, snapshot, table.compiled, now_us, _REQUEST_ID, left_out)
    row = _build_row(explained, body, invocation)
    row["candidates"] += [
        _build_candidate(route_id, False, "disabled", f"the route cannot be used: {problem}")
        for route_id, problem in table.problems
    ]
    row |= _describe_own_page(head, invocation) or _describe_preflight(head, invocation)
    _print(row, printing)
    _note_doubts(row["matched"], dangling)


def _brings_its_own(head: RequestHead, entries: Mapping[str, KeyEntry]) -> bool:
    """Tell whether a request is to be judged by what it presents, and be it nothing.

    A parameter `key` may be anything. A browser sends a preflight without a key.
    """
    from proxy.policy.cors import is_preflight
    from proxy.policy.credentials import digest_secret, find_credentials

    in_query = find_credentials((), head.query)
    return any(digest_secret(secret) in entries for secret in in_query) or is_preflight(head)


def _note_doubts(matched: str | None, dangling: list[tuple[str, Dangling]]) -> None:
    for route_id, one in dangling:
        if route_id == matched:
            print_note(
                f"note: only the gateway can tell whether {one.reference} stands for something; if it does "
                f"not, {route_id} is left out"
            )


def _find_dangling(table: CompiledTable, invocation: Invocation) -> list[tuple[str, Dangling]]:
    """Return the references that cannot be resolved here, of the routes that are switched on."""
    from proxy.references import examine_references

    environ, folder = invocation.environ, invocation.reference_folder
    active = (one.route for one in table.compiled if one.route.is_active)
    return [(route.route_id, one) for route in active for one in examine_references(route, environ, folder)]


def _read_keys(
    database: Database, key: str | None, invocation: Invocation
) -> tuple[dict[str, KeyEntry], str]:
    """Return the keys by digest, and the credential to present unless the request brings its own."""
    from proxy.policy.credentials import digest_secret
    from proxy.policy.decide import KeyEntry
    from proxy.policy.model import ApiKey
    from proxy.policy.permissions import compile_permissions
    from proxy.store.keys import get_key, load_keys

    entries = {}
    for known in load_keys(database):
        try:
            entries[known.digest] = KeyEntry(known, compile_permissions(known.permissions))
        except InvalidInputError:
            continue  # the gateway leaves it out too
    stand_in = digest_secret(STAND_IN.encode())
    if key is None:
        entries[stand_in] = KeyEntry(ApiKey("", stand_in))
        return entries, STAND_IN
    by_id = next((entry for entry in entries.values() if entry.key.key_id == key), None)
    if by_id is not None:
        entries[stand_in] = by_id
        return entries, STAND_IN
    if key.startswith("key_"):
        get_key(database, key, now=invocation.now)
        raise NotFoundError(f"the permissions of the key {key!r} cannot be read", hint="give it others")
    return entries, key


def _build_row(explained: Any, body: bytes, invocation: Invocation) -> dict[str, Any]:
    from proxy.audit.masking.names import redact_query
    from proxy.policy.decide import Answer, Forward, Refuse

    decision = explained.decision
    row: dict[str, Any] = dict.fromkeys(column.name for column in COLUMNS)
    row["matched"] = explained.matched
    row["key_id"] = (decision.key.key_id or None) if decision.key else None
    row["candidates"] = [
        _build_candidate(one.route_id, one.matched, one.failed_on, one.reason) for one in explained.candidates
    ]
    if isinstance(decision, Refuse):
        row["refusal"] = {"status": decision.status, "code": decision.code, "message": decision.message}
    if isinstance(decision, Answer):
        message = "the gateway answers this itself: Max-Forwards lets it go no further"
        row["refusal"] = {"status": decision.status, "code": "answered", "message": message}
    if isinstance(decision, Forward):
        path, question, query = decision.target.partition(b"?")
        target = path + question + redact_query(query)
        row["target_url"] = decision.compiled.origin + target.decode("latin-1")
        row["request_headers"] = _mask_headers(decision, invocation)
        if decision.body not in (None, body):
            row["request_body"] = decision.body.decode()
    return row


def _describe_own_page(head: RequestHead, invocation: Invocation) -> dict[str, Any]:
    """Return what differs for one of the gateway's own pages, which is answered before any route is asked."""
    from proxy.policy.own_pages import PAGE_METHODS, own_paths

    if head.path not in own_paths(invocation.settings.app.system_prefix):
        return {}
    answer = {
        "status": 200 if head.method in PAGE_METHODS else 400,
        "code": "own_page",
        "message": "this is one of the gateway's own pages; app.system_prefix moves them",
    }
    sent = ("matched", "target_url", "request_headers", "request_body")
    return {**dict.fromkeys(sent), "refusal": answer, "candidates": []}


def _describe_preflight(head: RequestHead, invocation: Invocation) -> dict[str, Any]:
    """Return what differs for a browser's preflight, which `cors.enabled` has the gateway answer."""
    from proxy.policy.cors import CorsPolicy

    policy = CorsPolicy.build(invocation.settings.cors)
    if policy is None or policy.answer_preflight(head) is None:
        return {}
    message = (
        "the gateway answers a browser's preflight itself, as the section cors of the configuration says"
    )
    answer = {"status": 204, "code": "preflight", "message": message}
    sent = ("matched", "target_url", "request_headers", "request_body", "key_id")
    return {**dict.fromkeys(sent), "refusal": answer, "candidates": []}


def _mask_headers(decision: Any, invocation: Invocation) -> list[list[str]]:
    from proxy.audit.trail import build_audit_policy

    own = {name.lower().encode() for name, _ in decision.compiled.route.add_headers} - {b"host"}
    secret = own | build_audit_policy(invocation.settings.audit).redacted
    pairs = [*decision.headers]
    if decision.body:
        pairs.append((b"content-length", b"%d" % len(decision.body)))
    decoded = [(name, value.decode("latin-1")) for name, value in pairs]
    return [
        [name.decode("latin-1"), mask_value(value) if name in secret else value] for name, value in decoded
    ]


def _build_candidate(route_id: str, matched: bool, failed_on: str | None, reason: str) -> dict[str, Any]:
    return {"route_id": route_id, "matched": matched, "failed_on": failed_on, "reason": reason}


def _print(row: Mapping[str, Any], printing: OutputOptions) -> None:
    if printing.is_drawn and not printing.fields:
        print_object(row, COLUMNS[:-1], printing)
        return print_rows(row["candidates"], CANDIDATE_COLUMNS, printing, empty="there are no routes")
    return print_object(row, COLUMNS, printing)
