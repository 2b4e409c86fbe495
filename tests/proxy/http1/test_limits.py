"""The bounds have values that one can serve with."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from proxy.http1 import limits
from proxy.http1.limits import ServerLimits
from proxy.runtime.server import read_limits
from proxy.settings import ProxySettings, Settings


def test_what_is_unparsed_of_a_head_may_be_as_long_as_all_that_may_be_parsed() -> None:
    assert limits.UNPARSED_BYTES_MAX >= limits.LINE_BYTES_MAX + limits.HEADER_BYTES_MAX


def test_the_bounds_of_a_configuration_arrive_here() -> None:
    proxy = ProxySettings(max_connections=7, client_timeout=1.5, keep_alive_timeout=2.5)
    assert read_limits(Settings(proxy=proxy)) == ServerLimits(7, 1.5, 2.5)


def test_bounds_do_not_change_while_they_are_used() -> None:
    with pytest.raises(FrozenInstanceError):
        ServerLimits().connections_max = 0  # type: ignore[misc]
