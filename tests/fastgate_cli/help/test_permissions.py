"""What the page says of permissions is how the gateway decides."""

from __future__ import annotations

import json

import pytest

from fastgate_cli.help.permissions import PERMISSIONS, PermissionExample, build_page
from proxy.policy.credentials import digest_secret
from proxy.policy.decide import Decision, Forward, KeyEntry, NeedBody, Refuse, Snapshot, decide
from proxy.policy.model import ApiKey, RequestHead, Route
from proxy.policy.permissions import compile_permissions
from proxy.policy.routing import build_route_table

SECRET = "secret"


def ask(entries: tuple[str, ...], request: str) -> Decision:
    """Return what becomes of a request, as the page writes it, with a key of these permissions."""
    request, _, model = request.partition(" for ")
    request, _, route_name = request.partition(" on ")
    method, path = request.split()
    digest = digest_secret(SECRET.encode())
    key = ApiKey("key_1", digest, permissions=entries)
    snapshot = Snapshot(
        1,
        {digest: KeyEntry(key, compile_permissions(entries))},
        build_route_table([Route("rt_1", route_name or "any", "/**", "a:1")]),
    )
    body = json.dumps({"model": model}).encode() if model else b""
    length = [(b"content-length", b"%d" % len(body))] if model else []
    headers = [(b"host", b"g"), (b"authorization", b"Bearer " + SECRET.encode()), *length]
    head = RequestHead(method, path.encode(), b"", headers)
    decision = decide(head, snapshot, 0, "req_1")
    return decide(head, snapshot, 0, "req_1", body) if isinstance(decision, NeedBody) else decision


@pytest.mark.parametrize("example", PERMISSIONS, ids=lambda example: example.term)
def test_an_example_allows_and_refuses_what_it_says(example: PermissionExample) -> None:
    entries = tuple(example.entries)
    for request in example.allows:
        assert isinstance(ask(entries, request), Forward), request
    for request in example.refuses:
        refusal = ask(entries, request)
        assert isinstance(refusal, Refuse), request
        assert (refusal.status, refusal.code) == (403, "permission_denied")


def test_wildcards_of_routes_are_as_the_page_says() -> None:
    assert isinstance(ask(("route:gpu-?",), "GET /x on gpu-1"), Forward)
    assert isinstance(ask(("route:rt_*",), "GET /x on gpu-1"), Forward)


def test_the_page_shows_every_example() -> None:
    rows = dict(row for block in build_page().blocks for row in getattr(block, "rows", ()))
    assert list(rows) == [example.term or "(none)" for example in PERMISSIONS]
