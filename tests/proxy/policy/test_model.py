"""The plain data of policy: frozen, with the contract's defaults, and silent about secrets."""

from __future__ import annotations

import pytest

from proxy.policy.model import ApiKey, RequestHead, Route

HEAD = RequestHead("GET", b"/v1/models", b"key=s3cret", [(b"authorization", b"Bearer s3cret")])
KEY = ApiKey("key_1", "sha256:00")
ROUTE = Route("rt_1", "one", "/v1/*", "backend:8000", add_headers=(("Authorization", "Bearer s3cret"),))


@pytest.mark.parametrize(("record", "name"), [(HEAD, "method"), (KEY, "key_id"), (ROUTE, "route_id")])
def test_record_cannot_be_changed(record: object, name: str) -> None:
    with pytest.raises(AttributeError):
        setattr(record, name, "other")


@pytest.mark.parametrize("record", [HEAD, ROUTE])
def test_repr_holds_no_secret(record: object) -> None:
    assert "s3cret" not in repr(record)


def test_head_without_more_is_http_1_1_in_clear_text() -> None:
    assert (HEAD.http_version, HEAD.scheme, HEAD.peer) == ("1.1", "http", "")


def test_key_has_the_defaults_of_the_contract() -> None:
    assert (KEY.source_path, KEY.permissions, KEY.is_active, KEY.expires_at_us) == ("default", (), True, None)


def test_route_has_the_defaults_of_the_contract() -> None:
    route = Route("rt_1", "one", "/v1/*", "backend:8000")
    assert (route.target_protocol, route.target_path, route.priority) == ("http", "", 100)
    assert route.match_methods == frozenset()
    assert route.timeout_seconds is None
    assert route.is_active
    assert not route.strip_path_prefix
    assert (route.pass_credential, route.encoded_slash, route.keep_redirects) == (False, False, False)
