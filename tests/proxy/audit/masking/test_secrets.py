"""Whose values are masked: of the routes of a database, and of what a request presents."""

from __future__ import annotations

import json
from base64 import b64encode
from pathlib import Path

import pytest

from proxy.audit.masking.mask import SecretMask
from proxy.audit.masking.names import MASK
from proxy.audit.masking.secrets import build_mask, find_presented, pick_credentials
from proxy.policy.model import Route

REDACTED = frozenset({b"authorization", b"x-api-key", b"cookie"})


def route(**headers: str) -> Route:
    return Route("rt_1", "r", "/v1/*", "b:80", add_headers=tuple(headers.items()))


def mask_of(*routes: Route, environ: dict[str, str] | None = None, folder: Path = Path()) -> SecretMask:
    return build_mask(routes, environ or {}, folder, "fg_")


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


@pytest.mark.parametrize(
    ("name", "value", "secrets"),
    [
        (b"authorization", b"Bearer a-credential", {b"a-credential"}),
        (
            b"authorization",
            b"basic " + b64encode(b"ann:pass:word"),
            {b64encode(b"ann:pass:word"), b"pass:word"},
        ),
        (b"authorization", b"Basic !credential", {b"!credential"}),
        (b"x-api-key", b"short", set()),
        (b"cookie", b"a=first-cookie; b=second-cookie", {b"first-cookie", b"second-cookie"}),
        (b"referer", b"https://h/?token=of-a-page&n=ordinary", {b"of-a-page"}),
        (b"x-other", b"a-credential", set()),
    ],
)
def test_what_a_header_presents(name: bytes, value: bytes, secrets: set[bytes]) -> None:
    assert set(find_presented([(name, value)], b"", REDACTED).secrets) == secrets


def test_cookies_and_paths_are_no_credentials_for_short_texts() -> None:
    headers = [(b"authorization", b"Bearer " + b"c" * 16), (b"cookie", b"a=" + b"d" * 16)]
    presented = find_presented(headers, b"key=/a/path/of/16/bytes&token=short-one", REDACTED)
    assert len(presented.secrets) == 4
    assert pick_credentials(presented, headers, REDACTED).secrets == (b"c" * 16,)
