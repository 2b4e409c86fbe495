"""The tables as peewee models: which columns there are, and how a value looks in them.

The schema itself is made by the migrations, never from here. No model is bound to a database: every query
is executed on the one it is handed, so that several databases can be open in one process.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, TypeAlias

import peewee

from proxy.clock import format_stored, parse_stored
from proxy.errors import DatabaseError

Row = dict[str, Any]
PLACES_PER_US = 1024  # a 64-bit place lasts until the year 2255
# Generic in the stubs alone: at run time peewee's fields take no parameters.
Fields: TypeAlias = "tuple[peewee.Field[Any], ...]"


class TimeField(peewee.Field):
    """An aware datetime, stored as text of one width with the offset +08:00: text order is time order."""

    field_type = "DATETIME"

    def db_value(self, value: datetime | None) -> str | None:
        """Return the stored text."""
        return None if value is None else format_stored(value)

    def python_value(self, value: str | None) -> datetime | None:
        """Return the aware datetime."""
        try:
            return None if value is None else parse_stored(value)
        except (TypeError, ValueError, OverflowError):
            raise DatabaseError(
                f"{self.name} holds {value!r}, which is not a time",
                hint="something other than FastGate wrote to the database; correct that row",
            ) from None


class JsonField(peewee.TextField):
    """A JSON value. Text that is not JSON is handed out as it is: what reads it has to check the type."""

    def db_value(self, value: object) -> str | None:
        """Return the stored text."""
        return None if value is None else json.dumps(value, ensure_ascii=False, separators=(",", ":"))

    def python_value(self, value: str | None) -> Any:
        """Return the decoded value."""
        try:
            return None if value is None else json.loads(value)
        except (TypeError, ValueError, RecursionError):
            return value


class ApiKeyRow(peewee.Model):
    """An API key. `key_value` is the digest of the secret, which nobody keeps.

    The columns `previous_*` are about the secret that it had before it was rotated, null if it never was.
    """

    key_id = peewee.CharField(50, primary_key=True)
    key_value = peewee.CharField(100, unique=True)
    source_path = peewee.CharField(100)
    permissions = JsonField(null=True)
    created_at = TimeField(null=True)
    expires_at = TimeField(null=True)
    is_active = peewee.BooleanField(null=True, default=True)
    usage_count = peewee.IntegerField(null=True, default=0)
    rate_limit = peewee.IntegerField(null=True)
    last_used_at = TimeField(null=True)
    key_hint = peewee.CharField(20, null=True)
    rate_burst = peewee.IntegerField(null=True)
    rotated_at = TimeField(null=True)
    previous_key_value = peewee.CharField(100, null=True)
    previous_key_hint = peewee.CharField(20, null=True)
    previous_expires_at = TimeField(null=True)
    previous_last_used_at = TimeField(null=True)
    previous_last_used_ip = peewee.CharField(50, null=True)

    class Meta:
        table_name = "api_keys"


class AuditLogRow(peewee.Model):
    """A request. In flight as long as it has neither a `response_time` nor an `error_message`."""

    id = peewee.CharField(50, primary_key=True)
    request_id = peewee.CharField(50)
    api_key = peewee.CharField(100, null=True)
    source_path = peewee.CharField(100, null=True)
    method = peewee.CharField(10)
    path = peewee.CharField(500)
    target_url = peewee.CharField(500, null=True)
    status_code = peewee.IntegerField(null=True)
    request_time = TimeField()
    first_response_time = TimeField(null=True)
    response_time = TimeField(null=True)
    response_time_ms = peewee.IntegerField(null=True)
    request_size = peewee.IntegerField(null=True)
    response_size = peewee.IntegerField(null=True)
    user_agent = peewee.CharField(500, null=True)
    ip_address = peewee.CharField(50, null=True)
    is_stream = peewee.BooleanField(null=True, default=False)
    stream_chunks = peewee.IntegerField(null=True, default=0)
    error_message = peewee.TextField(null=True)
    request_headers = JsonField(null=True)
    request_body = peewee.TextField(null=True)
    response_headers = JsonField(null=True)
    response_body = peewee.TextField(null=True)
    created_at = TimeField(null=True)
    route_id = peewee.CharField(50, null=True)
    gateway_ms = peewee.FloatField(null=True)
    writer_id = peewee.CharField(64, null=True)
    sequence = peewee.IntegerField(null=True)

    class Meta:
        table_name = "audit_logs"


class ProxyRouteRow(peewee.Model):
    """A route. `timeout` null means the configured `proxy.timeout`."""

    route_id = peewee.CharField(50, primary_key=True)
    route_name = peewee.CharField(100)
    description = peewee.TextField(null=True)
    match_path = peewee.CharField(500)
    match_method = peewee.CharField(20, null=True, default="ANY")
    match_headers = JsonField(null=True)
    match_body_schema = JsonField(null=True)
    target_host = peewee.CharField(200)
    target_path = peewee.CharField(500, default="")
    target_protocol = peewee.CharField(10, null=True, default="http")
    strip_path_prefix = peewee.BooleanField(null=True, default=False)
    add_headers = JsonField(null=True)
    add_body_fields = JsonField(null=True)
    remove_headers = JsonField(null=True)
    timeout = peewee.IntegerField(null=True)
    retry_count = peewee.IntegerField(null=True, default=0)
    is_active = peewee.BooleanField(null=True, default=True)
    priority = peewee.IntegerField(null=True, default=100)
    created_at = TimeField(null=True)
    updated_at = TimeField(null=True)
    targets = JsonField(null=True)
    balance = peewee.CharField(20, null=True, default="failover")
    retry_statuses = JsonField(null=True)
    total_timeout = peewee.IntegerField(null=True)
    http_version = peewee.CharField(5, null=True, default="1.1")
    tls_ca = peewee.CharField(500, null=True)
    tls_verify = peewee.BooleanField(null=True, default=True)
    on_client_abort = peewee.CharField(10, null=True, default="cancel")
    pass_credential = peewee.BooleanField(null=True, default=False)
    encoded_slash = peewee.BooleanField(null=True, default=False)
    keep_redirects = peewee.BooleanField(null=True, default=False)

    class Meta:
        table_name = "proxy_routes"


class LogFact(peewee.Model):
    """What filters and figures read of a request: one narrow row, its texts by their numbers in `log_words`.

    `place` is microseconds since the epoch times `PLACES_PER_US`, plus a number that tells requests of the
    same microsecond apart, so that the order of places is the order of time.
    """

    place = peewee.BigIntegerField(primary_key=True)
    key_n = peewee.IntegerField(null=True)
    source_n = peewee.IntegerField(null=True)
    route_n = peewee.IntegerField(null=True)
    method_n = peewee.IntegerField(null=True)
    path_n = peewee.IntegerField(null=True)
    ip_n = peewee.IntegerField(null=True)
    text_n = peewee.IntegerField(null=True)  # path, target and user agent
    error_n = peewee.IntegerField(null=True)
    status = peewee.IntegerField(null=True)
    is_stream = peewee.BooleanField(null=True)
    took_ms = peewee.IntegerField(null=True)  # null as long as the request has not ended
    ttfb_ms = peewee.IntegerField(null=True)
    gateway_us = peewee.IntegerField(null=True)
    request_size = peewee.BigIntegerField(null=True)
    response_size = peewee.BigIntegerField(null=True)
    id = peewee.CharField(50)

    class Meta:
        table_name = "log_facts"


class LogWord(peewee.Model):
    """A text of the audit trail and its number. `last_day` is the last day since the epoch that had it."""

    n = peewee.IntegerField(primary_key=True)
    kind = peewee.CharField(10)
    word = peewee.TextField()
    last_day = peewee.IntegerField()

    class Meta:
        table_name = "log_words"


class JournalWriterRow(peewee.Model):
    """How many requests a writer has begun (its last number), and what became of their rows."""

    writer_id = peewee.CharField(64, primary_key=True)
    accepted = peewee.BigIntegerField()
    stored = peewee.BigIntegerField()
    pruned = peewee.BigIntegerField(default=0)

    class Meta:
        table_name = "journal_writers"


class GatewayState(peewee.Model):
    """The one row of the gateway. Triggers add 1 to `revision` whenever policy's data changes.

    `bodies_pruned_to` is the place up to which no request has its bodies any more.
    """

    id = peewee.IntegerField(primary_key=True)
    revision = peewee.IntegerField()
    bodies_pruned_to = peewee.BigIntegerField(default=0)

    class Meta:
        table_name = "gateway_state"


class JournalSegment(peewee.Model):
    """How many bytes of a journal segment have been committed."""

    name = peewee.CharField(200, primary_key=True)
    offset = peewee.IntegerField()

    class Meta:
        table_name = "journal_segments"


def fields_of(model: type[peewee.Model], *, without: tuple[str, ...] = ()) -> Fields:
    """Return a model's fields in the order of the contract, for a row that leaves the store."""
    return tuple(field for field in model._meta.sorted_fields if field.name not in without)


def clean_text(text: str) -> str:
    """Return text that a database can be asked for: what no UTF-8 can hold is written as escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
