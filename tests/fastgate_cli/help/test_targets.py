"""What the page says of targets is what the gateway would ask a backend for."""

from __future__ import annotations

import pytest

from fastgate_cli.commands.route_options import choices_of
from fastgate_cli.help.targets import TARGETS, TargetExample, build_page
from proxy.policy.patterns import compile_pattern
from proxy.policy.targets import compile_target, parse_target
from tests.fastgate_cli.examples import parse_call


@pytest.mark.parametrize("example", TARGETS, ids=lambda example: example.options)
def test_a_path_is_sent_as_the_page_says(example: TargetExample) -> None:
    pattern = compile_pattern(example.match)
    target = parse_target(example.to, strip_prefix=example.strip, pattern=pattern)
    build_path = compile_target(target.path, strip_prefix=example.strip, pattern=pattern)
    match = pattern.match(example.path.encode())
    assert match
    assert build_path(example.path.encode(), match) == example.sent.encode()


@pytest.mark.parametrize("example", TARGETS, ids=lambda example: example.options)
def test_the_options_are_those_of_a_route(example: TargetExample) -> None:
    parse_call(["routes", "add", *example.options.replace("'", "").split()])


def test_every_way_of_balancing_is_explained() -> None:
    rows = dict(row for block in build_page().blocks for row in getattr(block, "rows", ()))
    assert set(choices_of("balance")) <= set(rows)
    assert {example.options for example in TARGETS} <= set(rows)
