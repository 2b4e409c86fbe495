"""Secrets by their values: wherever one turns up, no byte of it is left."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.audit.redact import MASK
from proxy.audit.secrets import SECRET_BYTES_MIN, SecretMask, build_mask
from proxy.policy.credentials import build_secret
from proxy.policy.model import Route

KEY = build_secret("fg_", "A" * 30).encode()


def route(**headers: str) -> Route:
    return Route("rt_1", "r", "/v1/*", "b:80", add_headers=tuple(headers.items()))


def mask_of(*routes: Route, environ: dict[str, str] | None = None, folder: Path = Path()) -> SecretMask:
    return build_mask(routes, environ or {}, folder, "fg_")


def test_a_key_of_ours_is_masked_wherever_it_is() -> None:
    mask = SecretMask()
    assert mask.apply(b'{"note": "' + KEY + b'"}') == b'{"note": "' + MASK + b'"}'
    assert mask.apply(b"fg_short stays") == b"fg_short stays"
    own = SecretMask(key_prefix="team_")
    assert own.apply(build_secret("team_", "b" * 30).encode()) == MASK


def test_what_references_stand_for_is_masked(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("from-a-file\n")
    mask = mask_of(
        route(Authorization="Bearer ${env:TOKEN}", **{"X-Trace": "${file:key}", "X-None": "${env:UNSET}"}),
        environ={"TOKEN": "from-environment"},
        folder=tmp_path,
    )
    assert mask.apply(b"a from-environment b from-a-file c") == b"a " + MASK + b" b " + MASK + b" c"
    assert "from" not in repr(mask)


def test_a_literal_credential_is_masked_and_an_ordinary_header_is_not() -> None:
    mask = mask_of(
        route(Authorization="Bearer sk-literal", **{"X-Api-Key": "literal-key", "X-Team": "research"})
    )
    assert mask.apply(b"sk-literal literal-key research Bearer") == MASK + b" " + MASK + b" research Bearer"


def test_a_text_in_a_body_field_that_is_named_like_a_credential_is_masked() -> None:
    fields = {"api_key": "body-secret", "auth": {"list": ["nested-secret", 1]}, "note": "ordinary", "n": 1}
    added = tuple((name, json.dumps(value).encode()) for name, value in fields.items())
    mask = mask_of(Route("rt_1", "r", "/v1/*", "b:80", add_body_fields=added))
    assert mask.apply(b"body-secret nested-secret ordinary") == MASK + b" " + MASK + b" ordinary"


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
