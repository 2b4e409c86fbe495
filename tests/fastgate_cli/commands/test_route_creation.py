"""Pure parts of `routes add`: methods, and how a row is shown."""

from __future__ import annotations

import pytest

from fastgate_cli.commands.route_creation import describe_target, mask_route, read_methods
from proxy.errors import InvalidInputError


@pytest.mark.parametrize(
    ("texts", "column"),
    [
        ([], "ANY"),
        (["get"], "GET"),
        (["GET", "post"], "GET,POST"),
        (["get,post", "GET"], "GET,POST"),
        (["GET", "any"], "ANY"),
    ],
)
def test_methods_as_the_table_has_them(texts: list[str], column: str) -> None:
    assert read_methods(texts) == column


@pytest.mark.parametrize("text", ["", "TRACE", "GET POST", "GET,"])
def test_a_method_that_the_gateway_refuses_is_refused_here(text: str) -> None:
    with pytest.raises(InvalidInputError, match="not a method"):
        read_methods([text])


def test_a_target_reads_as_a_url() -> None:
    row = {"target_protocol": "https", "target_host": "a:1", "target_path": "/b"}
    assert describe_target(row) == "https://a:1/b"


def test_masking_leaves_the_stored_row_alone() -> None:
    row = {"route_id": "a", "add_headers": {"X-Key": "a-literal-secret"}}
    assert mask_route(row) == {"route_id": "a", "add_headers": {"X-Key": "•••cret"}}
    assert row["add_headers"] == {"X-Key": "a-literal-secret"}
