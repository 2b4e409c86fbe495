"""Events to rows: pure. A batch of events becomes tuples for inserts and updates; none of them is read back.

A request whose `Begin` and `End` are in the same batch is one insert. One that outlives its batch is an
insert without an end, which makes it visible while it runs, and an update later.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from proxy.audit.bodies import BodyWriter
from proxy.audit.events import (
    LOG_PREFIX,
    NOT_ERRORS,
    REQUEST_PREFIX,
    AuditEvent,
    Begin,
    BriefBegin,
    End,
    FirstByte,
    Head,
    decode_head,
)
from proxy.clock import format_us
from proxy.store.facts import Texts, place_of
from proxy.store.models import PLACES_PER_US
from proxy.store.recording import NO_END, Batch, WholeRequests
from proxy.store.statements import Columns

HEADS_MAX = 1024  # that are remembered
_NO_FIGURES: Columns = (None, 0, None, None, None, None, None)


class _Known(NamedTuple):
    """A head as rows need it."""

    texts: Texts
    headers: str | None
    headers_rest: str
    is_previous: bool


class KnownHeads(dict[bytes, _Known]):
    """Heads by their bytes. One that is new is decoded; `MsgspecError` is raised if nobody understands it."""

    def __missing__(self, data: bytes) -> _Known:
        head = decode_head(data)
        if len(self) >= HEADS_MAX:
            self.clear()
        known = self[data] = _Known(_texts(head), head.headers, head.headers_rest, head.is_previous)
        return known


# What is kept of a request until its end: sequence, began_us, the texts of its facts, its headers, and its
# id.
_Begun = tuple[int, int, Texts, str | None, str]


def add_events(
    batch: Batch,
    events: Iterable[AuditEvent],
    *,
    writer_id: str,
    created_us: int,
    bodies: BodyWriter,
    heads: KnownHeads | None = None,
) -> int:
    """Add to a batch what one writer's events, in their order, mean for the database.

    `heads` are those of earlier batches. Returns how many requests are left out, nobody understanding their
    heads.
    """
    heads = KnownHeads() if heads is None else heads
    created_at = format_us(created_us)
    whole = WholeRequests(writer_id, created_at)
    batch.whole.append(whole)
    begun: dict[str, _Begun] = {}
    first_bytes: dict[str, FirstByte] = {}
    count = last = unreadable = 0
    for event in events:
        if isinstance(event, End):
            if first_bytes:
                first_bytes.pop(event.ulid, None)
            begin = begun.pop(event.ulid, None)
            if begin is None:
                _add_end(batch, event, bodies)
            elif event.error is None and event.request_body is None and event.response_body is None:
                _add_whole(whole, begin, event)
            else:
                _add_other(batch, begin, event, created_at, writer_id, bodies)
        elif isinstance(event, FirstByte):
            first_bytes[event.ulid] = event
        else:
            try:
                begun[event.ulid] = _read_begin(batch, event, heads)
            except msgspec.MsgspecError:
                unreadable += 1
                continue
            count += 1
            if event.sequence > last:
                last = event.sequence
    for ulid, begin in begun.items():
        _add_begun(batch, ulid, begin, created_at, writer_id)
    for first in first_bytes.values():
        _add_first_byte(batch, first)
    if count:
        batch.count_requests(writer_id, count, last)
    return unreadable


def _read_begin(batch: Batch, event: BriefBegin | Begin, heads: KnownHeads) -> _Begun:
    request_id = REQUEST_PREFIX + event.ulid
    if isinstance(event, BriefBegin):
        texts, headers, rest, is_previous = heads[event.head]
        request_id = event.request_id or request_id
        if event.length is not None:
            headers = f"{headers}{event.length}{rest}"
    else:
        texts, headers, is_previous = _texts(event), event.headers, event.is_previous
    key_id = texts[0]
    if key_id is not None:
        if texts[2] is not None:
            batch.count_usage(key_id, event.began_us)
        if is_previous:
            batch.note_previous_use(key_id, event.began_us, texts[5] or "")
    return event.sequence, event.began_us, texts, headers, request_id


def _texts(head: Head | Begin) -> Texts:
    return (
        head.key_id,
        head.source_path,
        head.route_id,
        head.method,
        head.path,
        head.ip_address,
        head.target_url,
        head.user_agent,
    )


def _add_whole(whole: WholeRequests, begin: _Begun, end: End) -> None:
    """Add what most requests are: this is most of what the recorder does."""
    sequence, began_us, texts, headers, request_id = begin
    ulid, after_us, first_us, gateway_us = end.ulid, end.after_us, end.first_byte_after_us, end.gateway_us
    row_id, took_ms = LOG_PREFIX + ulid, (after_us + 500) // 1000
    is_stream = 1 if end.is_stream else 0  # a bool takes as long as a null
    whole.texts.append(texts if end.target_url is None else _texts_at_end(texts, end))
    whole.rows += (
        row_id,
        request_id,
        format_us(began_us),
        sequence,
        headers,
        end.status,
        None if first_us is None else format_us(began_us + first_us),
        format_us(began_us + after_us),
        took_ms,
        end.request_size,
        end.response_size,
        is_stream,
        end.chunks,
        end.headers,
        gateway_us / 1000,
    )
    whole.figures += (
        began_us * PLACES_PER_US + sequence % PLACES_PER_US,
        end.status,
        is_stream,
        took_ms,
        None if first_us is None else (first_us + 500) // 1000,
        gateway_us,
        end.request_size,
        end.response_size,
        row_id,
    )


def _add_begun(batch: Batch, ulid: str, begin: _Begun, created_at: str, writer_id: str) -> None:
    sequence, began_us, texts, _, _ = begin
    batch.inserts.append(_begin_columns(ulid, begin, texts, created_at, writer_id) + NO_END)
    batch.facts.append((place_of(began_us, sequence), texts, (*_NO_FIGURES, LOG_PREFIX + ulid)))


def _add_other(
    batch: Batch, begin: _Begun, end: End, created_at: str, writer_id: str, bodies: BodyWriter
) -> None:
    sequence, began_us, texts, _, _ = begin
    texts = _texts_at_end(texts, end)
    row = _begin_columns(end.ulid, begin, texts, created_at, writer_id)
    batch.inserts.append(row + _end_columns(end, bodies))
    batch.facts.append((place_of(began_us, sequence), (*texts, end.error), (*_figures(end), row[0])))


def _texts_at_end(texts: Texts, end: End) -> Texts:
    *first, target_url, user_agent = texts
    return (*first, target_url if end.target_url is None else end.target_url, user_agent)


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


def _begin_columns(ulid: str, begin: _Begun, texts: Texts, created_at: str, writer_id: str) -> Columns:
    sequence, began_us, _, headers, request_id = begin
    key_id, source_path, route_id, method, path, ip_address, target_url, user_agent = texts
    return (
        LOG_PREFIX + ulid,
        request_id,
        key_id,
        source_path,
        method,
        path,
        target_url,
        format_us(began_us),
        user_agent,
        ip_address,
        headers,
        created_at,
        writer_id,
        sequence,
        route_id,
    )


def _end_columns(event: End, bodies: BodyWriter) -> Columns:
    first, began_us, after_us = event.first_byte_after_us, event.began_us, event.after_us
    return (
        event.status,
        None if first is None else format_us(began_us + first),
        format_us(began_us + after_us),
        (after_us + 500) // 1000,
        event.request_size,
        event.response_size,
        event.is_stream,
        event.chunks,
        event.error,
        _request_text(event, bodies) if event.request_body else None,
        event.headers,
        _response_text(event, bodies) if event.response_body else None,
        event.gateway_us / 1000,
    )


def _request_text(event: End, bodies: BodyWriter) -> str:
    body, is_broken = event.request_body, _is_broken(event)
    assert body is not None
    return bodies.write(body, event.request_size, is_cut=event.is_request_cut, is_broken=is_broken)


def _response_text(event: End, bodies: BodyWriter) -> str:
    body, size, is_cut, is_broken = (
        event.response_body,
        event.response_size,
        event.is_response_cut,
        _is_broken(event),
    )
    assert body is not None
    if event.is_stream:
        content_type = event.response_type or ""
        return bodies.write_stream(body, size, content_type, is_cut=is_cut, is_broken=is_broken)
    return bodies.write(body, size, is_cut=is_cut, is_broken=is_broken)


def _is_broken(event: End) -> bool:
    return event.error is not None and event.error not in NOT_ERRORS


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
