"""Secrets are masked wherever they are, however they are escaped."""

from __future__ import annotations

import json
from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st

from proxy.predecessor.scrubbing import build_scrub

SECRETS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=8, max_size=20)


@given(st.lists(SECRETS, min_size=1, max_size=4), st.text(max_size=10), st.text(max_size=10))
def test_no_secret_is_left_in_any_spelling(secrets: list[str], before: str, after: str) -> None:
    scrub = build_scrub(secret.encode() for secret in secrets)
    for secret in secrets:
        for spelling in (secret, quote(secret, safe=""), json.dumps(secret)[1:-1]):
            assert spelling not in scrub(before + spelling + after).replace("[redacted]", "")


def test_the_longer_of_two_secrets_leaves_no_tail() -> None:
    assert build_scrub([b"secret-one", b"secret-one-more"])("a secret-one-more b") == "a [redacted] b"


def test_without_secrets_and_with_short_ones_nothing_is_masked() -> None:
    assert build_scrub([])("any text") == "any text"
    assert build_scrub([b"a", b"short"])("a short text") == "a short text"
