"""Events as the journal holds them: they come back as they were, from this version and from others."""

from __future__ import annotations

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.audit.events import (
    AuditEvent,
    Begin,
    BriefBegin,
    End,
    FirstByte,
    Head,
    decode_head,
    encode_head,
    log_id,
    request_id,
)

ENCODER = msgspec.msgpack.Encoder()
DECODER = msgspec.msgpack.Decoder(AuditEvent)
counts = st.integers(0, 2**62)
texts = st.none() | st.text(st.characters(codec="utf-8"))
headers = texts
begins = st.builds(
    Begin,
    ulid=st.text(),
    sequence=counts,
    began_us=counts,
    user_agent=texts,
    key_id=texts,
    source_path=texts,
    route_id=texts,
    target_url=texts,
    headers=headers,
    is_previous=st.booleans(),
)
heads = st.builds(
    Head,
    *([st.text()] * 3),
    user_agent=texts,
    key_id=texts,
    headers=headers,
    headers_rest=st.text(),
    is_previous=st.booleans(),
)
brief_begins = st.builds(
    BriefBegin,
    ulid=st.text(),
    sequence=counts,
    began_us=counts,
    head=heads.map(encode_head),
    length=st.none() | st.text("0123456789"),
)
first_bytes = st.builds(FirstByte, ulid=st.text(), began_us=counts, after_us=counts)
ends = st.builds(
    End,
    ulid=st.text(),
    began_us=counts,
    after_us=counts,
    status=st.none() | st.integers(100, 999),
    error=texts,
    gateway_us=counts,
    request_size=counts,
    response_size=counts,
    chunks=counts,
    first_byte_after_us=st.none() | counts,
    headers=headers,
    request_body=st.none() | st.binary(),
    response_body=st.none() | st.binary(),
)


@settings(max_examples=100)
@given(begins | brief_begins | first_bytes | ends)
def test_an_event_comes_back_as_it_was(event: AuditEvent) -> None:
    assert DECODER.decode(ENCODER.encode(event)) == event


@given(heads)
def test_a_head_comes_back_as_it_was(head: Head) -> None:
    assert decode_head(encode_head(head)) == head


def test_a_head_of_a_later_version_is_read() -> None:
    later = ENCODER.encode(["GET", "/", "::1", *[None] * 6, "", False, "new"])
    assert decode_head(later) == Head("GET", "/", "::1")


def test_an_end_of_an_earlier_version_that_lacks_the_last_fields_is_read() -> None:
    event = DECODER.decode(ENCODER.encode(["e", "u", 1, 2, 200]))

    assert event == End("u", 1, 2, 200)


def test_a_begin_of_an_earlier_version_is_not_of_a_previous_secret() -> None:
    earlier = ["b", "u", 1, 2, "GET", "/", "::1", None, "key_1", "team", None, None, None]

    event = DECODER.decode(ENCODER.encode(earlier))

    assert event == Begin("u", 1, 2, "GET", "/", "::1", key_id="key_1", source_path="team", is_previous=False)


def test_fields_that_a_later_version_adds_at_the_end_are_passed_over() -> None:
    event = DECODER.decode(ENCODER.encode(["f", "u", 1, 2, "new", {"more": True}]))

    assert event == FirstByte("u", 1, 2)


def test_the_row_and_the_request_are_named_after_the_same_ulid() -> None:
    assert (log_id("01jd"), request_id("01jd")) == ("log_01jd", "req_01jd")
