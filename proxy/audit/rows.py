"""Events to rows: pure. A batch of events becomes tuples for inserts and updates; none of them is read back.

A request whose `Begin` and `End` are in the same batch is one insert. One that outlives its batch is an
insert without an end, which makes it visible while it runs, and an update later.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable

import msgspec

from proxy.audit.events import AuditEvent, Begin, End, FirstByte, HeaderPairs, log_id, request_id
from proxy.clock import format_us
from proxy.store.recording import NO_END, Batch, Columns

_encode_json = msgspec.json.Encoder().encode


def build_batch(events: Iterable[AuditEvent], *, writer_id: str, created_us: int) -> Batch:
    """Return what one writer's events, in their order, mean for the database."""
    batch = Batch()
    created_at = format_us(created_us)
    begun: dict[str, Columns] = {}
    first_bytes: dict[str, Columns] = {}
    for event in events:
        if isinstance(event, Begin):
            begun[event.ulid] = _begin_columns(event, writer_id, created_at)
            if event.route_id is not None and event.key_id is not None:
                batch.count_usage(event.key_id, event.began_us)
            if event.is_previous and event.key_id is not None:
                batch.note_previous_use(event.key_id, event.began_us, event.ip_address)
        elif isinstance(event, FirstByte):
            first_bytes[event.ulid] = _first_byte_columns(event)
        else:
            first_bytes.pop(event.ulid, None)
            columns = begun.pop(event.ulid, None)
            if columns is not None:
                batch.inserts.append(columns + _end_columns(event))
            else:
                batch.ends.append((*_end_columns(event), log_id(event.ulid)))
    batch.inserts += (columns + NO_END for columns in begun.values())
    batch.first_bytes += first_bytes.values()
    return batch


def _first_byte_columns(event: FirstByte) -> Columns:
    return format_us(event.began_us + event.after_us), True, log_id(event.ulid)


def _begin_columns(event: Begin, writer_id: str, created_at: str) -> Columns:
    return (
        log_id(event.ulid),
        request_id(event.ulid),
        event.key_id,
        event.source_path,
        event.method,
        event.path,
        event.target_url,
        format_us(event.began_us),
        event.user_agent,
        event.ip_address,
        _json_headers(event.headers),
        created_at,
        writer_id,
        event.sequence,
        event.route_id,
    )


def _end_columns(event: End) -> Columns:
    first = event.first_byte_after_us
    return (
        event.status,
        None if first is None else format_us(event.began_us + first),
        format_us(event.began_us + event.after_us),
        round(event.after_us / 1000),
        event.request_size,
        event.response_size,
        event.is_stream,
        event.chunks,
        event.error,
        _body_text(event.request_body, event.request_size, is_broken=event.error is not None),
        _json_headers(event.headers),
        _body_text(event.response_body, event.response_size, is_broken=event.error is not None),
        event.gateway_us / 1000,
    )


def _json_headers(headers: HeaderPairs | None) -> str | None:
    if headers is None:
        return None
    pairs = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]
    return _encode_json(pairs).decode()


def _body_text(body: bytes | None, size: int, *, is_broken: bool) -> str | None:
    if not body:
        return None
    is_cut = size > len(body)
    try:
        # A cut, ours or the network's, may go through the middle of a character: that is not yet a sign
        # of binary data.
        text = codecs.getincrementaldecoder("utf-8")().decode(body, final=not (is_cut or is_broken))
    except UnicodeDecodeError:
        return f"[binary, {size} bytes]"
    if "\x00" in text:
        return f"[binary, {size} bytes]"
    return f"{text}[cut at {len(body)} of {size} bytes]" if is_cut else text
