"""What is shown of an answer never holds what was sent in secret, in whatever spelling it comes back."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.insight.disclosure import PREVIEW_CHARACTERS_MAX, SECRET_LENGTH_MIN, Disclosure, list_sent_secrets
from proxy.policy.decide import Forward
from proxy.policy.model import ApiKey, Route
from proxy.policy.routing import compile_route

SECRET = 'sk-very/secret value"9876'
# No part of the mask, so that what is found of a secret is never the mask itself.
SECRETS = st.text('0123456789"/\\ é', min_size=SECRET_LENGTH_MIN, max_size=20)


def test_values_of_the_named_headers_and_of_credentials_in_the_body_are_secret() -> None:
    nested = json.dumps({"api_key": ["from-within", 7], "model": "qwen"}).encode()
    fields = (("api_key", b'"from-body"'), ("model", b'"qwen"'), ("token", b"7"), ("extra", nested))
    compiled = compile_route(Route("rt", "rt", "/*", "h", add_body_fields=fields))
    headers = [(b"host", b"h"), (b"authorization", b"Bearer from-header")]
    forward = Forward(ApiKey("", ""), compiled, b"/", headers)
    found = list_sent_secrets(forward, frozenset({b"authorization"}))
    assert set(found) == {"Bearer from-header", "from-header", "from-body", "from-within"}


@pytest.mark.parametrize("spelling", [SECRET, json.dumps(SECRET)[1:-1], quote(SECRET, "")])
def test_every_spelling_is_masked(spelling: str) -> None:
    assert Disclosure([SECRET]).preview(f"<{spelling}>".encode()) == "<[redacted]>"


def test_the_longer_of_two_secrets_goes_first() -> None:
    assert Disclosure(["abcd", "abcdefgh"]).mask("abcdefgh abcd") == "[redacted] [redacted]"


@given(SECRETS, st.text("0123456789x", max_size=30), st.text("0123456789x", max_size=30))
def test_no_secret_comes_through_whole(secret: str, before: str, after: str) -> None:
    assert secret not in Disclosure([secret]).mask(before + secret + after)


@given(SECRETS, st.data())
def test_a_secret_that_is_cut_off_at_the_end_is_masked_too(secret: str, data: st.DataObject) -> None:
    length = data.draw(st.integers(SECRET_LENGTH_MIN, len(secret)))
    shown = Disclosure([secret]).mask("answer: " + secret[:length])
    assert not shown.endswith(secret[:length])


def test_short_values_do_not_blot_out_the_text() -> None:
    assert Disclosure(["", "a", "abc"]).mask("a banana, abc") == "a banana, abc"


def test_a_long_body_is_cut_and_says_so() -> None:
    shown = Disclosure(()).preview(b"x" * (PREVIEW_CHARACTERS_MAX + 1))
    assert shown == "x" * PREVIEW_CHARACTERS_MAX + "…"


@pytest.mark.parametrize("body", [b"", b"\x1f\x8b\x08\x00" * 9, b"\xff\xfe\xfd"])
def test_what_nobody_can_read_is_not_shown(body: bytes) -> None:
    assert Disclosure(()).preview(body) == ""


def test_text_in_other_letters_is_shown() -> None:
    assert Disclosure(()).preview("你好 é\n".encode()) == "你好 é\n"
