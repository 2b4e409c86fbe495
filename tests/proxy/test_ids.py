"""Identifiers: ULIDs against a second encoder, their order, their prefixes."""

from __future__ import annotations

import re
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.errors import InvalidInputError
from proxy.ids import UlidSource, check_id, encode_ulid, from_uuid, new_id, new_ulid, to_uuid

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base 32, as the ULID specification prints it
TIMES_MS = st.integers(0, 2**48 - 1)
RANDOMNESS = st.binary(min_size=10, max_size=10)


def encode_slowly(time_ms: int, randomness: bytes) -> str:
    """Encode as the specification reads: ten characters of time, sixteen of randomness, five bits each."""
    time_bits = f"{time_ms:050b}"
    random_bits = "".join(f"{byte:08b}" for byte in randomness)
    bits = time_bits + random_bits
    return "".join(ALPHABET[int(bits[at : at + 5], 2)] for at in range(0, len(bits), 5)).lower()


@settings(max_examples=300)
@given(time_ms=TIMES_MS, randomness=RANDOMNESS)
def test_ulid_is_what_the_specification_says(time_ms: int, randomness: bytes) -> None:
    assert encode_ulid(time_ms, randomness) == encode_slowly(time_ms, randomness)


@pytest.mark.parametrize(
    ("time_ms", "characters"),
    [(1_469_918_176_385, "01aryz6s41"), (0, "0000000000"), (2**48 - 1, "7zzzzzzzzz")],
)
def test_time_of_known_ulids(time_ms: int, characters: str) -> None:
    assert encode_ulid(time_ms, bytes(10)) == characters + "0" * 16


@settings(max_examples=200)
@given(first=st.tuples(TIMES_MS, RANDOMNESS), second=st.tuples(TIMES_MS, RANDOMNESS))
def test_ids_sort_as_their_times_do(first: tuple[int, bytes], second: tuple[int, bytes]) -> None:
    assert (encode_ulid(*first) < encode_ulid(*second)) == (first < second)


def test_fresh_ulid_begins_with_its_time_and_ends_at_random() -> None:
    time_us = 1_700_000_000_123_456
    fresh = {new_ulid(time_us) for _ in range(1000)}
    assert len(fresh) == 1000
    assert {ulid[:10] for ulid in fresh} == {encode_ulid(time_us // 1000, bytes(10))[:10]}


@pytest.mark.parametrize("prefix", ["key", "rt", "log", "req"])
def test_id_is_prefix_and_ulid(prefix: str) -> None:
    assert re.fullmatch(prefix + "_[0-9a-hjkmnp-tv-z]{26}", new_id(prefix, 1_700_000_000_000_000))


def test_the_ids_of_a_source_sort_in_their_order_and_begin_with_their_times() -> None:
    source = UlidSource()
    times_us = [1_700_000_000_000_000 + number // 100 * 1000 for number in range(5000)]
    ulids = [source.next(time_us)[0] for time_us in times_us]
    assert ulids == sorted(set(ulids))
    for ulid, time_us in zip(ulids, times_us, strict=True):
        assert re.fullmatch("[0-9a-hjkmnp-tv-z]{26}", ulid)
        assert ulid[:10] == encode_ulid(time_us // 1000, bytes(10))[:10]


@settings(max_examples=200)
@given(st.lists(st.tuples(st.integers(0, 2**48 - 1), st.integers(0, 999)), min_size=1, max_size=5))
def test_a_source_gives_each_id_in_both_spellings(times: list[tuple[int, int]]) -> None:
    source = UlidSource()
    for time_ms, microseconds in times:
        ulid, uuid = source.next(1000 * time_ms + microseconds)
        assert ulid[:10] == encode_slowly(time_ms, bytes(10))[:10]
        assert (to_uuid(ulid), from_uuid(uuid)) == (uuid, ulid)
        assert UUID(uuid).int >> 80 == time_ms


def test_the_last_of_the_bits_that_count_draws_the_others_anew() -> None:
    source = UlidSource()
    source.next(0)
    source._low = 2**30 - 1
    before = source._high
    ulid, uuid = source.next(0)
    assert source._high != before
    assert to_uuid(ulid) == uuid


@settings(max_examples=200)
@given(TIMES_MS, RANDOMNESS)
def test_a_uuid_is_the_same_128_bits(time_ms: int, randomness: bytes) -> None:
    ulid, value = encode_ulid(time_ms, randomness), time_ms.to_bytes(6, "big") + randomness
    assert to_uuid(ulid) == str(UUID(bytes=value))
    assert from_uuid(to_uuid(ulid)) == ulid
    assert from_uuid(to_uuid(ulid).upper()) == ulid


@pytest.mark.parametrize("text", ["", "req_01m8mcc6tb7xtvgmd04x7pxqe1", "0-0-0-0-0", "g" * 32])
def test_what_is_no_uuid_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"UUID|invalid literal"):
        from_uuid(text)


def test_two_sources_do_not_make_the_same_ids() -> None:
    first, second = UlidSource(), UlidSource()
    assert not {first.next(0) for _ in range(1000)} & {second.next(0) for _ in range(1000)}


@pytest.mark.parametrize("text", ["bot", "rt_01jd2m5n8r9xq4t7w0z3v6b1ca", "A.b-c_9", "x" * 50])
def test_an_id_of_somebodys_own_choice(text: str) -> None:
    check_id(text)


@pytest.mark.parametrize("text", ["", "a b", "a/b", "x" * 51, "é", "a\n"])
def test_what_cannot_be_an_id(text: str) -> None:
    with pytest.raises(InvalidInputError):
        check_id(text)
