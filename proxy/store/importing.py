"""Writing rows that were made elsewhere: keys and routes with their ids, and the audit trail in bulk.

Everything here runs within the caller's transaction. What clashes with rows that are there is found here and
decided by the caller.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from peewee import SQL, Model, fn

from proxy.store.database import Database
from proxy.store.facts import WordBook, delete_facts, fact_of, write_facts
from proxy.store.models import ApiKeyRow, AuditLogRow, GatewayState, ProxyRouteRow, Row
from proxy.store.statements import execute_many, insert_statement, kind_of

LOGS_PER_CHUNK = 1_000
_IDS_PER_QUERY = 500
# In the order of the model, which is the order of the contract.
LOG_COLUMNS = tuple(field.name for field in AuditLogRow._meta.sorted_fields)


def find_key_clashes(database: Database, row: Mapping[str, Any]) -> list[str]:
    """Return the ids of the keys that have a new key's id or its digest."""
    same = (ApiKeyRow.key_id == row["key_id"]) | (ApiKeyRow.key_value == row["key_value"])
    return [found["key_id"] for found in database.fetch(ApiKeyRow.select(ApiKeyRow.key_id).where(same))]


def find_route_clashes(database: Database, row: Mapping[str, Any]) -> list[str]:
    """Return the ids of the routes that can be referred to by a new route's id or its name."""
    names = [row["route_id"], row["route_name"]]
    same = ProxyRouteRow.route_id.in_(names) | ProxyRouteRow.route_name.in_(names)
    query = ProxyRouteRow.select(ProxyRouteRow.route_id).where(same)
    return [found["route_id"] for found in database.fetch(query)]


def find_logged(database: Database, request_ids: Iterable[str], up_to: int | None = None) -> set[str]:
    """Return which of these requests the audit trail has, if need be among its rows up to a row number."""
    found: set[str] = set()
    for chunk in _cut(request_ids, _IDS_PER_QUERY):
        query = AuditLogRow.select(AuditLogRow.request_id).where(_is_imported(chunk))
        if up_to is not None:
            query = query.where(SQL("rowid") <= up_to)
        found.update(row["request_id"] for row in database.fetch(query))
    return found


def last_log_number(database: Database) -> int:
    """Return the row number of the newest row of the audit trail, 0 if it is empty."""
    with database.reading():
        return int(AuditLogRow.select(fn.MAX(SQL("rowid"))).bind(database.peewee).scalar() or 0)


def insert_keys(database: Database, rows: Iterable[Mapping[str, Any]]) -> None:
    """Insert keys; `key_value` is the digest of the secret, never the secret."""
    _insert(database, ApiKeyRow, rows)


def insert_routes(database: Database, rows: Iterable[Mapping[str, Any]]) -> None:
    """Insert routes, with every column."""
    _insert(database, ProxyRouteRow, rows)


def insert_logs(database: Database, rows: Iterable[Row]) -> int:
    """Insert rows of the audit trail, dicts with all of `LOG_COLUMNS`, and return how many there were.

    Values are as they leave the store: aware times, lists of header pairs. The one place where rows come into
    the audit trail besides the recorder: what has to be written beside a row belongs here and there.
    """
    fields = AuditLogRow._meta.sorted_fields
    statement = insert_statement(kind_of(database), AuditLogRow, LOG_COLUMNS)
    count, book = 0, WordBook()
    for chunk in _cut(rows, LOGS_PER_CHUNK):
        values = [tuple(field.db_value(row[field.name]) for field in fields) for row in chunk]
        with database.reading():
            execute_many(database, statement, values)
            write_facts(database, book, [fact_of(row, turn) for turn, row in enumerate(chunk, count)])
        count += len(chunk)
    if count:
        # The bodies among them have not been looked at by retention.
        with database.reading():
            GatewayState.update(bodies_pruned_to=0).execute(database.peewee)
    return count


def delete_logs(database: Database, request_ids: Iterable[str]) -> int:
    """Delete the rows of these requests from the audit trail, and return how many there were."""
    count = 0
    with database.reading():
        for chunk in _cut(request_ids, _IDS_PER_QUERY):
            query = AuditLogRow.select(AuditLogRow.id, AuditLogRow.request_time).where(_is_imported(chunk))
            delete_facts(database, database.fetch(query))
            count += int(AuditLogRow.delete().where(_is_imported(chunk)).execute(database.peewee))
    return count


def _is_imported(request_ids: Sequence[Any]) -> Any:
    # Of a request that was recorded here the id is never asked for: it names its row, too.
    return AuditLogRow.request_id.in_(request_ids) & AuditLogRow.writer_id.is_null()


def _insert(database: Database, model: type[Model], rows: Iterable[Mapping[str, Any]]) -> None:
    with database.reading():
        for row in rows:
            model.insert(**row).execute(database.peewee)


def _cut(items: Iterable[Any], size: int) -> Iterator[Sequence[Any]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk
