"""The bounds of the gateway come from the configuration."""

from __future__ import annotations

from proxy.gateway.bounds import Bounds, build_bounds
from proxy.settings import ProxySettings


def test_the_defaults_are_those_of_the_configuration() -> None:
    assert build_bounds(ProxySettings()) == Bounds()


def test_no_more_of_a_body_is_inspected_than_is_taken() -> None:
    bounds = build_bounds(ProxySettings(max_body_size=10, inspect_body_size=20))
    assert (bounds.body_bytes_max, bounds.inspected_bytes_max) == (10, 10)
