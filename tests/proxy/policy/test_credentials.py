"""API keys as text: built, checked, digested, hinted at, found among headers."""

from __future__ import annotations

import hashlib
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.policy.credentials import (
    BASE62,
    RANDOM_LENGTH,
    build_secret,
    checksum_matches,
    digest_secret,
    find_credentials,
    hint_of,
)

RANDOMNESS = st.text(BASE62, min_size=RANDOM_LENGTH, max_size=RANDOM_LENGTH)
SECRET = build_secret("fg_", "0123456789abcdefghijABCDEFGHIJ")


@settings(max_examples=100)
@given(randomness=RANDOMNESS)
def test_key_is_prefix_randomness_and_the_crc32_in_base62(randomness: str) -> None:
    secret = build_secret("fg_", randomness)
    assert secret.startswith("fg_" + randomness)
    assert len(secret) == 3 + 30 + 6
    value = 0
    for digit in secret[-6:]:
        value = value * 62 + BASE62.index(digit)
    assert value == zlib.crc32(("fg_" + randomness).encode())


@settings(max_examples=200)
@given(randomness=RANDOMNESS, place=st.integers(0, 38), other=st.sampled_from(BASE62))
def test_one_mistyped_character_is_noticed(randomness: str, place: int, other: str) -> None:
    secret = build_secret("fg_", randomness)
    mistyped = secret[:place] + other + secret[place + 1 :]
    assert checksum_matches(mistyped) == (mistyped == secret)


@pytest.mark.parametrize(
    "secret", ["", "fg_", SECRET[:-1], SECRET[1:], SECRET.lower(), SECRET + " ", SECRET * 2]
)
def test_cut_or_changed_key_has_no_valid_checksum(secret: str) -> None:
    assert checksum_matches(SECRET)
    assert not checksum_matches(secret)


@given(secret=st.binary(max_size=60))
@settings(max_examples=30)
def test_digest_is_the_named_sha256(secret: bytes) -> None:
    assert digest_secret(secret) == f"sha256:{hashlib.sha256(secret).hexdigest()}"


def test_hint_shows_the_first_and_the_last_four_characters() -> None:
    assert hint_of(SECRET) == f"fg_0…{SECRET[-4:]}"


@settings(max_examples=100)
@given(secret=st.text(BASE62, max_size=60))
def test_hint_never_shows_more_than_eight_characters_nor_any_of_a_short_secret(secret: str) -> None:
    hint = hint_of(secret)
    assert hint == "…" if len(secret) < 20 else len(hint) == 9


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ([], set()),
        ([(b"authorization", b"Bearer k1")], {b"k1"}),
        ([(b"authorization", b"bearer k1")], {b"k1"}),
        ([(b"authorization", b"BEARER   k1  ")], {b"k1"}),
        ([(b"x-api-key", b"k1")], {b"k1"}),
        ([(b"api-key", b"k1")], {b"k1"}),
        ([(b"authorization", b"Bearer k1"), (b"x-api-key", b"k1"), (b"api-key", b"k1")], {b"k1"}),
        ([(b"authorization", b"Bearer k1"), (b"x-api-key", b"k2")], {b"k1", b"k2"}),
        ([(b"x-api-key", b"k1"), (b"x-api-key", b"k2")], {b"k1", b"k2"}),
        ([(b"x-api-key", b"k1"), (b"api-key", b"K1")], {b"k1", b"K1"}),
        ([(b"authorization", b"Bearer k1"), (b"x-api-key", b"")], {b"k1"}),
    ],
)
def test_distinct_secrets_are_found(headers: list[tuple[bytes, bytes]], found: set[bytes]) -> None:
    assert find_credentials(headers) == found


@pytest.mark.parametrize(
    "pair",
    [
        (b"authorization", b"Basic dXNlcjpwYXNz"),
        (b"authorization", b"k1"),
        (b"authorization", b"Bearer"),
        (b"authorization", b"Bearer "),
        (b"authorization", b"Bearerk1"),
        (b"x-api-key", b""),
        (b"x_api_key", b"k1"),
        (b"api_key", b"k1"),
        (b"cookie", b"api-key=k1"),
        (b"proxy-authorization", b"Bearer k1"),
    ],
)
def test_anything_else_is_no_credential(pair: tuple[bytes, bytes]) -> None:
    assert find_credentials([pair]) == set()
