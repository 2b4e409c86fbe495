"""What the values of a key may be, at their edges."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from proxy.errors import InvalidInputError
from proxy.settings.model import REQUESTS_MAX
from proxy.store.key_checks import (
    PERMISSION_LENGTH_MAX,
    PERMISSIONS_MAX,
    SECRET_LENGTH_MAX,
    SECRET_LENGTH_MIN,
    SOURCE_LENGTH_MAX,
    check_permissions,
    check_rate_limit,
    check_secret,
    check_source,
)

LONGEST_PATH = "/" + "x" * (PERMISSION_LENGTH_MAX - 1)


@pytest.mark.parametrize(
    ("check", "values"),
    [
        (check_source, ["a", "two words", "日本", "x" * SOURCE_LENGTH_MAX]),
        (check_permissions, [[], ["*"] * PERMISSIONS_MAX, [LONGEST_PATH], ["POST /v1/*", "model:q*"]]),
        (check_secret, ["x" * SECRET_LENGTH_MIN, "x" * SECRET_LENGTH_MAX, "sk-!~'\"\\{}"]),
    ],
)
def test_what_can_be_meant_is_accepted(check: Callable[[Any], None], values: list[Any]) -> None:
    for value in values:
        check(value)


@pytest.mark.parametrize(
    ("check", "values"),
    [
        (check_source, ["", " a", "a ", "a\tb", "x" * (SOURCE_LENGTH_MAX + 1)]),
        (check_permissions, [["*"] * (PERMISSIONS_MAX + 1), [LONGEST_PATH + "x"], ["/a\x1b"], ["v1"], [""]]),
        (check_permissions, [["PSOT /v1"], ["/a", "TRACE /v1/*"]]),
        (
            check_secret,
            ["", "x" * (SECRET_LENGTH_MIN - 1), "x" * (SECRET_LENGTH_MAX + 1), "a b" * 9, "é" * 9],
        ),
    ],
)
def test_what_cannot_be_meant_is_refused_and_a_secret_never_quoted(
    check: Callable[[Any], None], values: list[Any]
) -> None:
    for value in values:
        with pytest.raises(InvalidInputError) as caught:
            check(value)
        assert check is not check_secret or not value or value not in caught.value.message + caught.value.hint


@pytest.mark.parametrize(
    ("rate_limit", "rate_burst"),
    [(None, None), (0, None), (None, 0), (None, 5), (REQUESTS_MAX, REQUESTS_MAX)],
)
def test_limits_within_their_bounds_are_accepted(rate_limit: int | None, rate_burst: int | None) -> None:
    check_rate_limit(rate_limit, rate_burst)


@pytest.mark.parametrize(
    ("rate_limit", "rate_burst"),
    [(-1, None), (REQUESTS_MAX + 1, None), (None, -1), (5, REQUESTS_MAX + 1), (0, 5), (0, 0)],
)
def test_limits_beyond_their_bounds_and_a_burst_of_no_limit_are_refused(
    rate_limit: int | None, rate_burst: int | None
) -> None:
    with pytest.raises(InvalidInputError):
        check_rate_limit(rate_limit, rate_burst)
