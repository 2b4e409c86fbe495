"""Events to rows: pure. A batch of events becomes tuples for inserts and updates; none of them is read back.

A request whose `Begin` and `End` are in the same batch is one insert. One that outlives its batch is an
insert without an end, which makes it visible while it runs, and an update later.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from proxy.audit.bodies import BodyWriter
from proxy.audit.events import LOG_PREFIX, REQUEST_PREFIX, AuditEvent, Begin, End, FirstByte
from proxy.clock import format_us
from proxy.store.facts import Texts, place_of
from proxy.store.recording import NO_END, Batch
from proxy.store.statements import Columns

_NO_FIGURES: Columns = (None, 0, None, None, None, None, None)


def add_events(
    batch: Batch, events: Iterable[AuditEvent], *, writer_id: str, created_us: int, bodies: BodyWriter
) -> None:
    """Add to a batch what one writer's events, in their order, mean for the database."""
    created_at = format_us(created_us)
    begun: dict[str, Begin] = {}
    first_bytes: dict[str, FirstByte] = {}
    count = last = 0
    for event in events:
        if isinstance(event, End):
            if first_bytes:
                first_bytes.pop(event.ulid, None)
            begin = begun.pop(event.ulid, None)
            if begin is None:
                _add_end(batch, event, bodies)
            else:
                if event.target_url is not None:
                    begin = msgspec.structs.replace(begin, target_url=event.target_url)
                _add_whole(batch, begin, event, writer_id, created_at, bodies)
        elif isinstance(event, Begin):
            begun[event.ulid] = event
            count += 1
            last = max(last, event.sequence)
            _count_use(batch, event)
        else:
            first_bytes[event.ulid] = event
    for begin in begun.values():
        _add_begun(batch, begin, writer_id, created_at)
    for first in first_bytes.values():
        _add_first_byte(batch, first)
    if count:
        batch.count_requests(writer_id, count, last)


def _count_use(batch: Batch, begin: Begin) -> None:
    if begin.key_id is not None:
        if begin.route_id is not None:
            batch.count_usage(begin.key_id, begin.began_us)
        if begin.is_previous:
            batch.note_previous_use(begin.key_id, begin.began_us, begin.ip_address)


def _add_begun(batch: Batch, begin: Begin, writer_id: str, created_at: str) -> None:
    batch.inserts.append(_begin_columns(begin, writer_id, created_at) + NO_END)
    place = place_of(begin.began_us, begin.sequence)
    batch.facts.append((place, _texts(begin, None), (*_NO_FIGURES, LOG_PREFIX + begin.ulid)))


def _add_whole(
    batch: Batch, begin: Begin, end: End, writer_id: str, created_at: str, bodies: BodyWriter
) -> None:
    row, error = _begin_columns(begin, writer_id, created_at), end.error
    if error is None and end.request_body is None and end.response_body is None:
        batch.common_inserts.append(row + _common_end_columns(end))
    else:
        batch.inserts.append(row + _end_columns(end, bodies))
    place = place_of(begin.began_us, begin.sequence)
    batch.facts.append((place, _texts(begin, error), (*_figures(end), row[0])))


def _add_end(batch: Batch, end: End, bodies: BodyWriter) -> None:
    row_id = LOG_PREFIX + end.ulid
    if end.target_url is not None:
        batch.targets.append((end.target_url, row_id))
        batch.fact_targets.append((place_of(end.began_us), row_id))
    batch.ends.append((*_end_columns(end, bodies), row_id))
    batch.fact_ends.append((end.error, _figures(end), place_of(end.began_us), row_id))


def _add_first_byte(batch: Batch, first: FirstByte) -> None:
    row_id = LOG_PREFIX + first.ulid
    batch.first_bytes.append((format_us(first.began_us + first.after_us), 1, row_id))
    batch.fact_first_bytes.append(((first.after_us + 500) // 1000, place_of(first.began_us), row_id))


def _begin_columns(event: Begin, writer_id: str, created_at: str) -> Columns:
    ulid = event.ulid
    return (
        LOG_PREFIX + ulid,
        REQUEST_PREFIX + ulid,
        event.key_id,
        event.source_path,
        event.method,
        event.path,
        event.target_url,
        format_us(event.began_us),
        event.user_agent,
        event.ip_address,
        event.headers,
        created_at,
        writer_id,
        event.sequence,
        event.route_id,
    )


def _end_columns(event: End, bodies: BodyWriter) -> Columns:
    *common, headers, gateway_ms = _common_end_columns(event)
    return (
        *common,
        event.error,
        _request_text(event, bodies) if event.request_body else None,
        headers,
        _response_text(event, bodies) if event.response_body else None,
        gateway_ms,
    )


def _common_end_columns(event: End) -> Columns:
    first, began_us, after_us = event.first_byte_after_us, event.began_us, event.after_us
    return (
        event.status,
        None if first is None else format_us(began_us + first),
        format_us(began_us + after_us),
        (after_us + 500) // 1000,
        event.request_size,
        event.response_size,
        1 if event.is_stream else 0,  # a bool takes as long as a null
        event.chunks,
        event.headers,
        event.gateway_us / 1000,
    )


def _request_text(event: End, bodies: BodyWriter) -> str:
    body, is_broken = event.request_body, event.error is not None
    assert body is not None
    return bodies.write(body, event.request_size, is_cut=event.is_request_cut, is_broken=is_broken)


def _response_text(event: End, bodies: BodyWriter) -> str:
    body, size, is_cut, is_broken = (
        event.response_body,
        event.response_size,
        event.is_response_cut,
        event.error is not None,
    )
    assert body is not None
    if event.is_stream:
        content_type = event.response_type or ""
        return bodies.write_stream(body, size, content_type, is_cut=is_cut, is_broken=is_broken)
    return bodies.write(body, size, is_cut=is_cut, is_broken=is_broken)


def _texts(begin: Begin, error: str | None) -> Texts:
    return (
        begin.key_id,
        begin.source_path,
        begin.route_id,
        begin.method,
        begin.path,
        begin.ip_address,
        begin.target_url,
        begin.user_agent,
        error,
    )


def _figures(end: End) -> Columns:
    first = end.first_byte_after_us
    return (
        end.status,
        1 if end.is_stream else 0,
        (end.after_us + 500) // 1000,
        None if first is None else (first + 500) // 1000,
        end.gateway_us,
        end.request_size,
        end.response_size,
    )
