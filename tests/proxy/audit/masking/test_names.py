"""Masking: no byte of a secret is left, and nothing else is touched."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.audit.masking.names import (
    MASK,
    find_parameters,
    header_names,
    mask_value,
    redact_query,
    redact_url,
)

CANARY = b"CANARY-7f3a"


@pytest.mark.parametrize(
    ("value", "masked"),
    [
        (b"Bearer " + CANARY, b"Bearer " + MASK),
        (b"bearer " + CANARY, b"bearer " + MASK),
        (b"Basic " + CANARY, b"Basic " + MASK),
        (b"Bearer" + CANARY, MASK),
        (CANARY, MASK),
        (CANARY + b" " + CANARY, MASK),
        (b"", MASK),
    ],
)
def test_a_credential_keeps_its_scheme_and_nothing_else(value: bytes, masked: bytes) -> None:
    assert mask_value(value) == masked


def test_configured_names_are_compared_without_case() -> None:
    assert header_names(["Authorization", "X-API-Key"]) >= {b"authorization", b"x-api-key", b"x_api_key"}


@pytest.mark.parametrize(
    "name",
    [
        "key",
        "api_key",
        "API-KEY",
        "access_token",
        "client_secret",
        *("new_token", "renew_token", "max_token", "access_tokens", "new_tokens"),
        *("X-Pass", "passphrase", "session_cookie", "x-jwt", "credentials"),
        *("authorization", "authorisation", "authcode", "author_key", "keyword_token", "tokens", "api_keys"),
        "password",
        "passwd",
        "pwd",
        "sig",
        "X-Amz-Signature",
        "X-Amz-Credential",
        "oauth_nonce",
        "api%5Fkey",
        "%6bey",
        "s%69g",
        "tok%65n",
    ],
)
def test_a_parameter_named_like_a_credential_is_masked(name: str) -> None:
    query = b"model=a&" + name.encode() + b"=" + CANARY + b"&n=1"

    redacted = redact_query(query)

    assert CANARY not in redacted
    assert redacted == b"model=a&" + name.encode() + b"=" + MASK + b"&n=1"


@pytest.mark.parametrize(
    "query",
    [
        *(b"", b"a=1&b=2", b"q=my%20key", b"design=x", b"token", b"token=", b"&&=", b"%"),
        *(b"author=x&authors=y", b"keyword=x&Keywords=y", b"max_tokens=1&min_tokens=2", b"max_new_tokens=3"),
        *(b"keyboard=qwerty", b"%61uthor=x", b"authority=x", b"passage=x&passenger=y"),
    ],
)
def test_other_parameters_stay_as_they_are(query: bytes) -> None:
    assert redact_query(query) == query


@pytest.mark.parametrize(
    ("query", "masked"),
    [
        (b"a=1;token=" + CANARY, b"a=1;token=" + MASK),
        (b"a=1;tok%65n=" + CANARY + b"&n=1", b"a=1;tok%65n=" + MASK + b"&n=1"),
        # Whether `;` ends a value nobody can tell: what it may belong to is masked.
        (b"key=" + CANARY + b";" + CANARY + b"&n=1", b"key=" + MASK + b"&n=1"),
        (b"%6bey=" + CANARY + b";" + CANARY + b"&n=1", b"%6bey=" + MASK + b"&n=1"),
        (b"n=1;b=2&c=3;", b"n=1;b=2&c=3;"),
    ],
)
def test_parameters_may_be_separated_by_semicolons(query: bytes, masked: bytes) -> None:
    assert redact_query(query) == masked
    assert (CANARY in find_parameters(query)) == (CANARY in query)


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        (b"https://example.org/a?b=1&key=" + CANARY, b"https://example.org/a?b=1&key=" + MASK),
        (b"https://u:" + CANARY + b"@h/a@b?c=@", b"https://" + MASK + b"@h/a@b?c=@"),
        (b"0; url=/a?next=/b?token=" + CANARY + b"#x", b"0; url=/a?next=/b?token=" + MASK + b"#x"),
        (b"/a#access_token=" + CANARY + b"&state=1", b"/a#access_token=" + MASK + b"&state=1"),
        (b"https://example.org/key=1/", b"https://example.org/key=1/"),
        (b"ann@example.org", b"ann@example.org"),
        (b"", b""),
    ],
)
def test_a_url_shows_neither_its_user_nor_credentials_in_its_query(url: bytes, masked: bytes) -> None:
    assert redact_url(url) == masked
    assert redact_url(masked) == masked


@pytest.mark.parametrize("word", [b"key", b"&key", b"key%", b"a&", b"auth=&"])
def test_a_hostile_query_costs_no_more_than_its_length(word: bytes) -> None:
    query = word * 100_000
    started = time.process_time()

    redact_query(query)
    redact_query(query.replace(b"&", b";"))
    redact_url(b"?" + query + b"@" * 1000)
    find_parameters(query[:16_000].replace(b"&", b"=;"))

    assert time.process_time() - started < 2


@settings(max_examples=200)
@given(st.lists(st.tuples(st.sampled_from([b"key", b"a", b"x%74oken", b"q%20", b""]), st.binary(max_size=4))))
def test_no_canary_survives_among_any_other_parameters(others: list[tuple[bytes, bytes]]) -> None:
    parameters = [name + b"=" + value.replace(b"&", b"") for name, value in others]
    query = b"&".join([*parameters, b"api_key=" + CANARY, *parameters])

    assert CANARY not in redact_query(query)
