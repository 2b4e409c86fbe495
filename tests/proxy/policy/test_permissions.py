"""Permissions of a key: which routes it may use."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.errors import InvalidInputError
from proxy.policy.bodies import Body, BodyUnreadError
from proxy.policy.model import RequestHead, Route
from proxy.policy.permissions import (
    change_permissions,
    check_methods,
    compile_permissions,
    find_model_fault,
    find_restricted,
    is_body_permitted,
    is_permitted,
)

ROUTE = Route("rt_1", "chat-main", "/v1/*", "backend:8000")
ENTRIES = ("/v1/*", "GET /health", "POST /v1/chat/*", "route:chat-*", "route:rt_2", "/exact", "*")


def permits(*entries: str, method: str = "GET", path: bytes = b"/v1/models", route: Route = ROUTE) -> bool:
    return is_permitted(compile_permissions(entries), RequestHead(method, path, b"", ()), route)


def test_empty_list_allows_every_route() -> None:
    assert permits()
    assert permits(method="DELETE", path=b"/any")


@pytest.mark.parametrize(
    "entry",
    [
        "*",
        "/v1/*",
        "/v1/models",
        "/v1/{name}",
        "GET /v1/*",
        "get /v1/*",
        "ANY /v1/*",
        "GET  /v1/*",
        "route:chat-main",
        "route:chat-*",
        "route:rt_1",
        "route:rt_?",
        "route:*",
    ],
)
def test_entry_allows_the_request(entry: str) -> None:
    assert permits(entry)


@pytest.mark.parametrize(
    "entry",
    ["/v2/*", "/v1", "/V1/*", "POST /v1/*", "route:other", "route:Chat-main", "route:rt_", "route:chat"],
)
def test_entry_does_not_allow_the_request(entry: str) -> None:
    assert not permits(entry)


def test_route_entry_does_not_look_at_the_path() -> None:
    assert permits("route:chat-main", path=b"/elsewhere")


def test_path_entry_does_not_decode_the_path() -> None:
    assert not permits("/v1/models", path=b"/v1/%6Dodels")


@settings(max_examples=100)
@given(
    entries=st.lists(st.sampled_from(ENTRIES), min_size=1),
    method=st.sampled_from(["GET", "POST"]),
    path=st.sampled_from([b"/v1/chat/x", b"/v1/models", b"/health", b"/exact", b"/"]),
    route=st.sampled_from([ROUTE, Route("rt_2", "other", "/*", "backend:8000")]),
)
def test_list_allows_what_any_of_its_entries_allows(
    entries: list[str], method: str, path: bytes, route: Route
) -> None:
    alone = [permits(entry, method=method, path=path, route=route) for entry in entries]
    assert permits(*entries, method=method, path=path, route=route) == any(alone)


@pytest.mark.parametrize(
    "entry",
    [
        "",
        " ",
        "v1/*",
        "GET",
        "GET v1",
        "GET,POST /v1/*",
        "GET POST /v1/*",
        "/v1/ x",
        "route:",
        "model:",
        "**",
        "/a/***",
        "/u/{id",
        "1 /v1",
    ],
)
def test_entry_that_means_nothing_is_refused(entry: str) -> None:
    with pytest.raises(InvalidInputError):
        compile_permissions(["/v1/*", entry])


def test_refusal_names_the_entry_and_how_to_write_one() -> None:
    with pytest.raises(InvalidInputError, match="'v1/x' is not a permission") as caught:
        compile_permissions(["v1/x"])
    assert "POST /v1/chat/*" in caught.value.hint


@pytest.mark.parametrize("entry", ["PSOT /v1/chat/*", "connect /v1/*", "TRACE  /v1/*"])
def test_a_method_that_no_request_can_have_is_refused_where_it_is_written_and_read_where_it_is_stored(
    entry: str,
) -> None:
    method = entry.split()[0].upper()
    with pytest.raises(InvalidInputError, match=f"'{method}' is not a method that the gateway") as caught:
        check_methods(["/v1/*", entry])
    assert "POST" in caught.value.hint
    assert not permits(entry, path=b"/v1/chat/x")


def test_every_entry_with_a_method_of_the_gateway_or_without_one_is_accepted() -> None:
    check_methods([*ENTRIES, "get /v1/*", "ANY /v1/*", "GET  /v1/*", "route:a b", "model:GPT 5 /x"])


def permits_body(*entries: str, body: bytes) -> bool:
    head = RequestHead("POST", b"/v1/chat", b"", ())
    return is_body_permitted(compile_permissions(entries), Body(head, body))


@pytest.mark.parametrize(
    ("body", "allowed"),
    [
        (b'{"model": "gpt-4o"}', True),
        (b'{"a": {"model": "x"}, "model": "qwen3"}', True),
        (b"", True),
        (b'{"model": "qwen30"}', False),
        (b'{"model": "GPT-4o"}', False),
        (b'{"model": ["gpt-4o"]}', False),
        (b'{"model": null}', False),
        (b'{"a": 1}', False),
        (b'["gpt-4o"]', False),
        (b'"gpt-4o"', False),
        (b'{"model": "gpt-4o", "Model": "other"}', False),
        (b'{"MODEL": "gpt-4o"}', False),
        (b'{"model": "gpt-4o\\nx"}', True),  # as `gpt-*` says
    ],
)
def test_model_entry_narrows_to_bodies_that_name_such_a_model(body: bytes, allowed: bool) -> None:
    assert permits_body("model:gpt-*", "/v1/*", "model:qwen3", body=body) is allowed


def test_key_without_model_entries_does_not_look_at_the_body() -> None:
    assert permits_body("/v1/*", body=b"not json")


def test_model_entries_alone_allow_every_route() -> None:
    assert permits("model:gpt-*")
    assert not permits("model:gpt-*", "/v2/*")


def test_body_that_is_not_json_cannot_be_permitted_by_its_model() -> None:
    with pytest.raises(InvalidInputError, match="line 1, column 1"):
        permits_body("model:*", body=b"model=gpt-4o")


def test_body_that_was_announced_has_to_be_read_first() -> None:
    head = RequestHead("POST", b"/", b"", [(b"transfer-encoding", b"chunked")])
    with pytest.raises(BodyUnreadError):
        is_body_permitted(compile_permissions(["model:*"]), Body(head))


MIXED = st.lists(st.sampled_from([*ENTRIES, "model:qwen*", "model:*", "model:a"]), unique=True, max_size=6)


def allows(entries: list[str], method: str, path: bytes, model: str) -> bool:
    """Tell whether a key with these entries may send a request that names a model."""
    permissions = compile_permissions(entries)
    head = RequestHead(method, path, b"", [(b"content-length", b"9")])
    body = Body(head, b'{"model": "%b"}' % model.encode())
    return is_permitted(permissions, head, ROUTE) and is_body_permitted(permissions, body)


@settings(max_examples=200)
@given(
    MIXED,
    st.data(),
    st.sampled_from(["GET", "POST"]),
    st.sampled_from([b"/v1/models", b"/v1/chat/x", b"/health", b"/exact", b"/other"]),
    st.sampled_from(["qwen3", "a", "b"]),
)
def test_removing_permissions_never_allows_what_was_not_allowed_before(
    entries: list[str], data: st.DataObject, method: str, path: bytes, model: str
) -> None:
    removed = data.draw(st.lists(st.sampled_from(entries), unique=True) if entries else st.just([]))
    try:
        after = change_permissions(entries, (), removed)
    except InvalidInputError:
        # Refused only because it would have: nothing is left of what restricts routes, or models.
        left = [entry for entry in entries if entry not in removed]
        assert find_restricted(left) < find_restricted(entries)
        return
    assert after == [entry for entry in entries if entry not in removed]
    assert allows(entries, method, path, model) or not allows(after, method, path, model)


@given(MIXED, MIXED)
def test_what_is_added_comes_last_and_once(entries: list[str], added: list[str]) -> None:
    after = change_permissions(entries, added, ())
    assert after[: len(entries)] == entries
    assert sorted(after) == sorted({*entries, *added})
    assert change_permissions(after, added, ()) == after


def test_one_may_take_the_place_of_the_last() -> None:
    assert change_permissions(["/v1/*"], ["/v2/*"], ["/v1/*"]) == ["/v2/*"]


@pytest.mark.parametrize(
    ("current", "told"), [([], "it has none, and may use every route"), (["/a", "/b"], "it has /a, /b")]
)
def test_what_is_not_there_cannot_be_removed(current: list[str], told: str) -> None:
    with pytest.raises(InvalidInputError, match="no permission '/v1/\\*' to remove") as caught:
        change_permissions(current, ["/v1/*"], ["/v1/*"])
    assert caught.value.hint == told


@pytest.mark.parametrize(
    ("entries", "kinds"),
    [([], set()), (["*"], {"route"}), (["model:a"], {"model"}), (["route:x", "model:a"], {"route", "model"})],
)
def test_entries_restrict_routes_models_or_both(entries: list[str], kinds: set[str]) -> None:
    assert find_restricted(entries) == kinds


def find_told(*entries: str, body: bytes, content_type: bytes = b"application/json") -> str | None:
    head = RequestHead("POST", b"/v1/chat", b"", [(b"content-type", content_type)])
    return find_model_fault(compile_permissions(entries), Body(head, body))


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ("gpt-5", "the API key does not permit the model 'gpt-5'; allowed: o3, qwen*"),
        (
            "\u202egpt\x1b[2J\n",
            r"the API key does not permit the model '\u202egpt\x1b[2J\n'; allowed: o3, qwen*",
        ),
        ("x" * 500, f"the API key does not permit the model '{'x' * 60}...'; allowed: o3, qwen*"),
        (
            None,
            "the API key is for some models only: the body has to name one, once, as model"
            "; allowed: o3, qwen*",
        ),
    ],
)
def test_client_is_told_the_model_and_those_allowed(model: str | None, told: str) -> None:
    assert find_told("model:o3", "/v1/*", "model:qwen*", body=json.dumps({"model": model}).encode()) == told


def test_client_is_told_some_of_many_models() -> None:
    told = find_told(*(f"model:m{number}" for number in range(12)), body=b'{"model": "x"}')
    assert told is not None
    assert told.endswith("m8, m9 and 2 more")


FORM = b'--B\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n--B--\r\n'


@pytest.mark.parametrize(
    ("body", "allowed"),
    [
        (FORM % (b"model", b"gpt-4o"), True),
        (FORM % (b"model", b"whisper-1"), False),
        (FORM % (b"file", b"gpt-4o"), False),
        (b"", True),
    ],
)
def test_model_is_read_from_a_form(body: bytes, allowed: bool) -> None:
    told = find_told("model:gpt-*", body=body, content_type=b"multipart/form-data; boundary=B")
    assert (told is None) is allowed


@pytest.mark.parametrize("content_type", [b"multipart/form-data; boundary=B", b"multipart/form-data"])
def test_form_that_is_not_plain_cannot_be_used(content_type: bytes) -> None:
    with pytest.raises(InvalidInputError):
        find_told("model:gpt-*", body=b'{"model": "gpt-4o"}', content_type=content_type)


@pytest.mark.parametrize("content_type", [b"image/png", b"application/octet-stream", b"multipart/mixed"])
def test_content_type_that_rules_json_out_names_no_model_and_is_not_read(content_type: bytes) -> None:
    head = RequestHead("POST", b"/", b"", [(b"content-type", content_type), (b"content-length", b"9")])
    told = find_model_fault(compile_permissions(["model:*"]), Body(head))
    assert told == (
        "the API key is for some models only, and a body of type "
        f"{content_type.decode()} names none; allowed: *"
    )
