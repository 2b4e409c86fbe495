"""Lists of models: which answers are known as one, and what is left of them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from proxy.policy.model_lists import is_list_request, narrow_models
from proxy.policy.permissions import compile_permissions

GPT = compile_permissions(["model:gpt-*", "/v1/*"])


@pytest.mark.parametrize(
    ("method", "path", "asks"),
    [
        ("GET", b"/v1/models", True),
        ("GET", b"/models/", True),
        ("GET", b"/v1/%6dodels", True),
        ("GET", b"/ollama/api/tags", True),
        ("GET", b"/v1/models/gpt-4o", False),
        ("GET", b"/v1/supermodels", False),
        ("GET", b"/tags", False),
        ("POST", b"/v1/models", False),
        ("HEAD", b"/v1/models", False),
    ],
)
def test_list_is_asked_for_by_its_path(method: str, path: bytes, asks: bool) -> None:
    assert is_list_request(method, path) is asks


@pytest.mark.parametrize(
    ("answer", "narrowed"),
    [
        (
            {"object": "list", "data": [{"id": "gpt-4o", "created": 1}, {"id": "o3"}, {"id": "gpt-5"}]},
            {"object": "list", "data": [{"id": "gpt-4o", "created": 1}, {"id": "gpt-5"}]},
        ),
        (
            {"models": [{"name": "gpt-oss:20b", "model": "gpt-oss:20b"}, {"name": "qwen3:8b", "size": 1}]},
            {"models": [{"name": "gpt-oss:20b", "model": "gpt-oss:20b"}]},
        ),
        (
            {"models": [{"name": "gpt-a"}, {"name": "b"}], "data": [{"id": "gpt-a"}, {"id": "b"}], "n": 1},
            {"models": [{"name": "gpt-a"}], "data": [{"id": "gpt-a"}], "n": 1},
        ),
        (
            {"models": [{"name": "models/gpt-x"}, {"name": "models/x"}]},
            {"models": [{"name": "models/gpt-x"}]},
        ),
        ([{"id": "a"}, {"id": "gpt-1"}], [{"id": "gpt-1"}]),
        ({"data": []}, {"data": []}),
        (
            {"data": [{"id": "a"}, {"id": "gpt-1"}, {"id": "b"}], "first_id": "a", "last_id": "b"},
            {"data": [{"id": "gpt-1"}], "first_id": "gpt-1", "last_id": "gpt-1"},
        ),
        (
            {"data": [{"id": "a"}], "first_id": "a", "last_id": "a", "has_more": False},
            {"data": [], "first_id": None, "last_id": None, "has_more": False},
        ),
    ],
)
def test_list_is_narrowed_to_what_the_key_may_use(answer: Any, narrowed: Any) -> None:
    body = narrow_models(json.dumps(answer).encode(), GPT)
    assert body is not None
    assert json.loads(body) == narrowed


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"\x1f\x8b",
        b"{",
        b"1",
        b"{}",
        b'{"error": {"message": "no"}}',
        b'{"data": {"id": "o3"}}',
        b'{"data": [1, 2]}',
        b'{"data": [{"index": 0, "embedding": [0.5]}]}',
        b"[1]",
        b"[" * 5_000,
    ],
)
def test_what_is_no_list_of_models_is_left_as_it_is(body: bytes) -> None:
    assert narrow_models(body, GPT) is None
