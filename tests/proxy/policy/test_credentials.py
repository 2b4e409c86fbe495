"""API keys as text: built, checked, digested, hinted at, found among headers."""

from __future__ import annotations

import base64
import hashlib
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.policy.credentials import (
    BASE62,
    CREDENTIALS_MAX,
    RANDOM_LENGTH,
    build_secret,
    checksum_matches,
    digest_secret,
    find_credentials,
    has_key_form,
    hint_of,
    is_in_path,
    remove_from_headers,
    remove_from_query,
)
from proxy.policy.model import HeaderPairs

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
        ([(b"x-goog-api-key", b"k1")], {b"k1"}),
        ([(b"authorization", b"Bearer k1"), (b"x-api-key", b"k1"), (b"api-key", b"k1")], {b"k1"}),
        ([(b"authorization", b"Bearer k1"), (b"x-api-key", b"k2")], {b"k1", b"k2"}),
        ([(b"x-api-key", b"k1"), (b"x-api-key", b"k2")], {b"k1", b"k2"}),
        ([(b"x-api-key", b"k1"), (b"api-key", b"K1")], {b"k1", b"K1"}),
        ([(b"authorization", b"Bearer k1"), (b"x-api-key", b"")], {b"k1"}),
    ],
)
def test_distinct_secrets_are_found(headers: list[tuple[bytes, bytes]], found: set[bytes]) -> None:
    assert find_credentials(headers) == dict.fromkeys(found, True)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        (b"key=k1", {b"k1"}),
        (b"a=1&key=k1&b", {b"k1"}),
        (b"key=k1&key=k2", {b"k1", b"k2"}),
        (b"key=%6B1", {b"k1"}),
        (b"key=", set()),
        (b"key", set()),
        (b"KEY=k1", set()),
        (b"api_key=k1&monkey=k2&xkey=k3", set()),
        (b"%6Bey=k1", set()),
        (b"", set()),
    ],
)
def test_a_parameter_that_is_called_key_may_be_one(query: bytes, found: set[bytes]) -> None:
    assert find_credentials([], query) == dict.fromkeys(found, True)


def test_only_so_many_parameters_are_looked_at() -> None:
    query = b"&".join(b"key=%d" % number for number in range(3 * CREDENTIALS_MAX))
    assert len(find_credentials([], query)) == CREDENTIALS_MAX


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ([(b"authorization", b"k1")], {b"k1": False}),
        ([(b"authorization", b"k1"), (b"x-api-key", b"k1")], {b"k1": True}),
        ([(b"x-api-key", b"k1"), (b"authorization", b"k1")], {b"k1": True}),
    ],
)
def test_a_credential_that_lacks_its_scheme_is_told_from_the_others(
    headers: HeaderPairs, found: dict[bytes, bool]
) -> None:
    assert find_credentials(headers) == found


@pytest.mark.parametrize(
    "pair",
    [
        (b"authorization", b"Basic dXNlcjpwYXNz"),
        (b"authorization", b"k1 k1"),
        (b"authorization", b""),
        (b"authorization", b"Bearer "),
        (b"x-api-key", b""),
        (b"x_api_key", b"k1"),
        (b"api_key", b"k1"),
        (b"cookie", b"api-key=k1"),
        (b"proxy-authorization", b"Bearer k1"),
    ],
)
def test_anything_else_is_no_credential(pair: tuple[bytes, bytes]) -> None:
    assert find_credentials([pair]) == {}


@pytest.mark.parametrize(
    ("secret", "is_form"),
    [(SECRET, True), (SECRET[:-1] + "x", False), ("", False), ("fg_", False), ("sk-" + "a" * 40, False)],
)
def test_the_form_of_a_key_is_its_length_and_its_checksum(secret: str, is_form: bool) -> None:
    assert has_key_form(secret.encode()) is is_form


KEY = SECRET.encode()
BASIC = b"Basic " + base64.b64encode(b"user:" + KEY)


@pytest.mark.parametrize(
    ("value", "left"),
    [
        (b"a=1; k=%b; b=2", b"a=1; b=2"),
        (b"k=%b", None),
        (b"k=%b; a=1", b"a=1"),
        (b"a=1; k=%b", b"a=1"),
        (b"a=1;k=x%by;;b", b"a=1;;b"),
        (b"a=1;  b=2", b"a=1;  b=2"),
    ],
)
def test_a_cookie_that_holds_the_key_goes_and_the_others_stay(value: bytes, left: bytes | None) -> None:
    cookies = value.replace(b"%b", KEY)
    kept = [(b"a", b"1"), (b"b", b"2")]
    expected = [] if left is None else [(b"cookie", left)]
    assert remove_from_headers([kept[0], (b"cookie", cookies), kept[1]], KEY) == [
        kept[0],
        *expected,
        kept[1],
    ]


@pytest.mark.parametrize(
    "pair",
    [
        (b"authorization", b"Bearer " + KEY),
        (b"authorization", BASIC),
        (b"authorization", BASIC.replace(b"Basic", b"bAsIc")),
        (b"x-api-key", KEY),
        (b"x-token", KEY),
        (b"referer", b"https://a/?key=" + KEY + b"&b"),
        (b"x-json", b'{"key": "' + KEY + b'"}'),
    ],
)
def test_a_header_that_holds_the_key_goes(pair: tuple[bytes, bytes]) -> None:
    kept = [(b"a", b"1"), (b"authorization", b"Basic !"), (b"x-api-key", KEY[:-1]), (b"x", KEY.swapcase())]
    assert remove_from_headers([*kept, pair], KEY) == kept


@pytest.mark.parametrize(
    ("pair", "goes"),
    [
        ((b"x-api-key", b"short"), True),
        ((b"authorization", b"Bearer short"), True),
        ((b"cookie", b"key=short"), True),
        ((b"user-agent", b"shortcut/1 (short)"), False),
        ((b"cookie", b"key=shorter"), False),
    ],
)
def test_a_short_key_is_known_where_it_is_the_whole_value(pair: tuple[bytes, bytes], goes: bool) -> None:
    assert remove_from_headers([pair], b"short") == ([] if goes else [pair])
    assert not is_in_path(b"/short/short", b"short")


ENCODED = b"".join(b"%%%02x" % byte for byte in KEY)
PART = st.binary(max_size=6).map(lambda part: part.replace(b"&", b"%26"))


@settings(max_examples=200)
@given(
    parts=st.lists(PART, max_size=5),
    holders=st.lists(
        st.sampled_from([b"key=%b", b"api_key=%b", b"%b", b"%b=1", b"u=https://a/?k%%3D%b"]), max_size=2
    ),
    spelling=st.sampled_from([KEY, ENCODED, KEY[:5] + b"%%%02X" % KEY[5] + KEY[6:]]),
    place=st.integers(0, 5),
)
def test_parameters_that_hold_the_key_go_and_the_others_stay_byte_for_byte(
    parts: list[bytes], holders: list[bytes], spelling: bytes, place: int
) -> None:
    held = [holder % spelling for holder in holders]
    query = b"&".join([*parts[:place], *held, *parts[place:]])
    assert remove_from_query(query, KEY) == b"&".join(parts)


@pytest.mark.parametrize("spelling", [KEY, ENCODED])
def test_a_path_that_holds_the_key_is_known_in_every_spelling(spelling: bytes) -> None:
    assert is_in_path(b"/v1/" + spelling + b"/x", KEY)
    assert not is_in_path(b"/v1/" + spelling[:-1] + b"/x", KEY)
