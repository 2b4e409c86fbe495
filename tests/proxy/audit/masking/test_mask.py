"""Secrets by their values: wherever one turns up, no byte of it is left."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.audit.masking.mask import SECRET_BYTES_MIN, SecretMask
from proxy.audit.masking.names import MASK
from proxy.policy.credentials import build_secret

KEY = build_secret("fg_", "A" * 30).encode()


def test_a_key_of_ours_is_masked_wherever_it_is() -> None:
    mask = SecretMask()
    assert mask.apply(b'{"note": "' + KEY + b'"}') == b'{"note": "' + MASK + b'"}'
    assert mask.apply(b"fg_short stays") == b"fg_short stays"
    own = SecretMask(key_prefix="team_")
    assert own.apply(build_secret("team_", "b" * 30).encode()) == MASK


def test_a_secret_within_json_is_masked_in_the_form_that_json_gives_it() -> None:
    secret = 'quo"te\\back'
    mask = SecretMask([secret.encode()])
    assert mask.apply(json.dumps({"s": secret}).encode()) == b'{"s": "' + MASK + b'"}'


def test_a_secret_that_begins_another_leaves_nothing_of_the_longer_one() -> None:
    mask = SecretMask([b"secret", b"secret-and-more"])
    assert mask.apply(b"secret-and-more secret") == MASK + b" " + MASK


def test_what_is_too_short_to_be_a_secret_is_left_alone() -> None:
    assert SecretMask([b"1", b"x" * (SECRET_BYTES_MIN - 1)]).apply(b"1 xxxxxx") == b"1 xxxxxx"


@settings(max_examples=200)
@given(
    st.lists(st.text("ab", min_size=SECRET_BYTES_MIN, max_size=20), min_size=1, max_size=4),
    st.lists(st.binary(max_size=10), max_size=5),
)
def test_no_secret_survives_between_any_bytes(secrets: list[str], between: list[bytes]) -> None:
    mask = SecretMask([secret.encode() for secret in secrets])
    others = [piece.translate(None, b"ab") for piece in between]
    masked = mask.apply(b"\0".join([*others, *[secret.encode() for secret in secrets], *others]))
    assert not [secret for secret in secrets if secret.encode() in masked]
    assert masked.count(MASK) == len(secrets)
    assert mask.margin >= max(map(len, secrets))


@pytest.mark.parametrize("text", [b"", b"plain", b"\xff\x00"])
def test_other_bytes_stay_as_they_are(text: bytes) -> None:
    assert SecretMask([b"secret-1"]).apply(text) == text
