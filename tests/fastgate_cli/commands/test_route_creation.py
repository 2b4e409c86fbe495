"""Pure parts of `routes add`: how a row is shown."""

from __future__ import annotations

from fastgate_cli.commands.route_creation import describe_target, mask_route


def test_a_target_reads_as_a_url() -> None:
    row = {"target_protocol": "https", "target_host": "a:1", "target_path": "/b"}
    assert describe_target(row) == "https://a:1/b"


def test_masking_leaves_the_stored_row_alone() -> None:
    row = {
        "route_id": "a",
        "add_headers": {"X-Key": "a-literal-secret"},
        "add_body_fields": {"api_key": "a-literal-secret", "max_tokens": 5, "model": "qwen3"},
    }
    assert mask_route(row) == {
        "route_id": "a",
        "add_headers": {"X-Key": "•••cret"},
        "add_body_fields": {"api_key": "•••cret", "max_tokens": 5, "model": "qwen3"},
    }
    assert row["add_headers"] == {"X-Key": "a-literal-secret"}
