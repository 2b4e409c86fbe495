"""What the page says of bodies is how routes match and change them."""

from __future__ import annotations

import json
import shlex

import pytest

from fastgate_cli.help.bodies import (
    CONDITIONS,
    EDITS,
    SCHEMA,
    SCHEMA_FITS,
    SCHEMA_MISFITS,
    ConditionExample,
    EditExample,
    build_page,
)
from proxy.errors import InvalidInputError
from proxy.policy.bodies import Body
from proxy.policy.body_edits import compile_edits, edit_body
from proxy.policy.body_schemas import Schema, build_schema
from proxy.policy.model import RequestHead, Route
from proxy.policy.routing import compile_route
from tests.fastgate_cli.examples import parse_call


def head_of(raw: bytes, *headers: tuple[bytes, bytes]) -> RequestHead:
    return RequestHead("POST", b"/v1/chat", b"", [(b"content-length", b"%d" % len(raw)), *headers])


def fits(schema: Schema, text: str, *headers: tuple[bytes, bytes]) -> bool:
    route = compile_route(Route("rt_1", "r", "/**", "a:1", match_body_schema=schema))
    head = head_of(text.encode(), *headers)
    return not isinstance(route.match(head, Body(head, text.encode())), str)


@pytest.mark.parametrize("example", CONDITIONS, ids=lambda example: example.options)
def test_a_condition_fits_what_it_says(example: ConditionExample) -> None:
    schema = build_schema(example.conditions)
    assert [body for body in example.fits if not fits(schema, body)] == []
    assert [body for body in example.misfits if fits(schema, body)] == []
    parse_call(["routes", "add", "--match", "/", "--to", "http://a", *shlex.split(example.options)])


def test_no_body_a_compressed_one_and_none_of_json_fit_nothing() -> None:
    schema = build_schema(CONDITIONS[0].conditions)
    whole = CONDITIONS[0].fits[0]
    assert fits(schema, whole)
    assert not fits(schema, whole, (b"content-encoding", b"gzip"))
    assert not fits(schema, "model=qwen3")
    assert not fits(schema, "")


def test_the_schema_fits_what_it_says() -> None:
    schema = json.loads(SCHEMA)
    assert all(fits(schema, body) for body in SCHEMA_FITS)
    assert not any(fits(schema, body) for body in SCHEMA_MISFITS)


@pytest.mark.parametrize("example", EDITS, ids=lambda example: example.options)
def test_a_field_is_set_as_the_page_shows(example: EditExample) -> None:
    raw = example.before.encode()
    fields = compile_edits([(example.name, example.value.encode())])
    assert edit_body(Body(head_of(raw), raw), fields) == example.after.encode()
    words = shlex.split(example.options)
    assert words == ["--set-body", f"{example.name}={example.value}"]


def test_a_body_that_is_no_object_is_refused() -> None:
    with pytest.raises(InvalidInputError):
        edit_body(Body(head_of(b"[]"), b"[]"), compile_edits([("a", b"1")]))


def test_the_bounds_are_those_in_force() -> None:
    page = " ".join(block.text for block in build_page().blocks if hasattr(block, "text"))
    assert "proxy.inspect_body_size (32MB unless it is set)" in page
    assert "proxy.max_body_size (32MB)" in page
