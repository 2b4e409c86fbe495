"""What the gateway answers itself."""

from __future__ import annotations

from proxy.policy.own_pages import own_paths


def test_a_prefix_moves_all_of_them() -> None:
    assert own_paths("") == {b"/", b"/health", b"/metrics"}
    assert own_paths("/gate") == {b"/gate/", b"/gate/health", b"/gate/metrics"}
