"""Header options: what can be written, what is refused, and that no secret is shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastgate_cli.headers import (
    KEEP,
    check_name,
    find_bare_credentials,
    find_bare_fields,
    holds_keep,
    mask_body_fields,
    mask_headers,
    mask_value,
    parse_header_match,
    parse_set_headers,
)
from proxy.errors import InvalidInputError

TOKENS = st.from_regex(r"[A-Za-z][A-Za-z0-9-]{0,20}", fullmatch=True)


def test_a_wanted_header_has_a_value_or_is_only_present() -> None:
    wanted = parse_header_match(["X-Tenant=a*=b", "X-Any", "X-Empty="])
    assert wanted == {"X-Tenant": "a*=b", "X-Any": None, "X-Empty": ""}


def test_a_header_to_set_is_split_at_its_first_colon() -> None:
    headers = parse_set_headers(["Authorization:  Bearer ${env:TOKEN} ", "X-Url: http://a:1/"])
    assert headers == {"Authorization": "Bearer ${env:TOKEN}", "X-Url": "http://a:1/"}


@pytest.mark.parametrize(
    "text",
    [
        ": value",
        "X Y: value",
        "X-Ä: value",
        "X-A: a\r\nX-B: b",
        "X-A: a\0",
        "X-A: a\x7f",
        "X-A: 日本",
        "X-A: ${ENV}",
        "X-A: ${env:}",
        "X-A: ${env:A-B}",
    ],
)
def test_a_header_that_cannot_be_sent_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError):
        parse_set_headers([text])


@pytest.mark.parametrize(
    "name",
    [
        "Connection",
        "content-length",
        "Transfer-Encoding",
        "TE",
        "Upgrade",
        "Keep-Alive",
        "Via",
        "X-Request-ID",
    ],
)
def test_a_route_cannot_set_framing_or_what_the_gateway_says_itself(name: str) -> None:
    with pytest.raises(InvalidInputError, match=name):
        parse_set_headers([f"{name}: x"])


def test_a_route_can_set_the_host() -> None:
    assert parse_set_headers(["Host: api.example.com"]) == {"Host": "api.example.com"}


def test_a_header_without_colon_is_not_echoed_because_it_may_be_a_secret() -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_set_headers(["sk-secret-value"])
    assert "sk-secret-value" not in caught.value.message + caught.value.hint


def test_the_same_name_twice_is_refused_in_any_case() -> None:
    with pytest.raises(InvalidInputError, match="twice"):
        parse_set_headers(["X-A: 1", "x-a: 2"])
    with pytest.raises(InvalidInputError, match="twice"):
        parse_header_match(["X-A=1", "x-a"])


def test_a_name_is_a_token() -> None:
    assert check_name("X-Api_Key", "X-Api_Key") == "X-Api_Key"
    with pytest.raises(InvalidInputError, match="header name"):
        check_name("X:A", "X:A")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("short", "•••"),
        ("twelve-chars", "•••"),
        ("thirteen-char", "•••char"),
        ("${env:KEY}", "${env:KEY}"),
        ("Bearer ${env:KEY}", "Bearer ${env:KEY}"),
        ("Bearer ${file:/run/secrets/key}", "Bearer ${file:/run/secrets/key}"),
        ("sk-live-${env:KEY}-tail", "•••${env:KEY}•••"),
    ],
)
def test_what_is_shown_of_a_value(value: str, shown: str) -> None:
    assert mask_value(value) == shown
    assert mask_headers({"X": value}) == {"X": shown}


@given(TOKENS, st.text(alphabet="abcdefgh0123456789-", min_size=5))
def test_a_literal_is_never_shown_whole(name: str, secret: str) -> None:
    shown = mask_headers({name: secret})[name]
    assert secret not in shown
    assert len(shown) <= 7


@pytest.mark.parametrize("value", [KEEP, [KEEP], {"a": [1, {"b": KEEP}]}])
def test_what_means_keep_in_a_document_is_found_at_any_depth(value: object) -> None:
    assert holds_keep(value)
    assert not holds_keep({"a": [f"{KEEP} x", None, 1, True], KEEP: {}})


def test_credentials_written_out_are_found_by_their_names() -> None:
    headers = {
        "Authorization": "Bearer abc",
        "X-Api-Key": "Bearer ${env:KEY}",
        "Cookie": "a=b",
        "X-Auth-Token": "t",
        "X-Tenant": "a",
    }
    assert find_bare_credentials(headers) == ["Authorization", "Cookie", "X-Auth-Token"]


def test_texts_in_body_fields_that_sound_like_credentials_are_found() -> None:
    fields = {"api_key": "x", "max_tokens": 7, "options.token": "y", "model": "m", "secret": None}
    assert find_bare_fields(fields) == ["api_key", "options.token"]


def test_a_credential_in_a_body_field_is_masked_at_any_depth() -> None:
    fields = {
        "api_key": "hunter2hunter2",
        "seed": 7,
        "note": "plain",
        "auth": {"token": "hunter2"},
        "secrets": {"a": ["hunter2", 1]},
        "list": [{"password": "hunter2", "name": "n"}],
    }
    shown = mask_body_fields(fields)
    assert "hunter2" not in repr(shown)
    assert (shown["seed"], shown["note"], shown["list"][0]["name"]) == (7, "plain", "n")
    assert shown["secrets"] == {"a": ["•••", 1]}
