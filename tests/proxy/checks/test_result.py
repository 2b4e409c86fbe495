"""A check that breaks is a failed line; sizes and times as people read them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from proxy.checks.result import Check, failed, format_days, format_size, guard, passed, warning
from proxy.errors import InvalidInputError


def break_after_one(error: Exception) -> Iterator[Check]:
    yield passed("a", "one")
    raise error


def test_a_check_has_a_status_and_what_mends_it() -> None:
    assert passed("a", "b") == Check("a", "passed", "b", "")
    assert warning("a", "b", "c") == Check("a", "warning", "b", "c")
    assert failed("a", "b", "c") == Check("a", "failed", "b", "c")


@pytest.mark.parametrize(
    ("error", "detail"),
    [
        (InvalidInputError("it is odd", hint="mend it"), "it is odd"),
        (
            PermissionError(13, "Denied", "/a/b"),
            "it could not be looked at: /a/b: Denied",
        ),
        (OSError(), "it could not be looked at: OSError"),
        (ValueError("s3cret"), "the check itself broke: ValueError"),
    ],
)
def test_what_breaks_has_failed_and_what_came_before_stays(error: Exception, detail: str) -> None:
    before, broken = guard("name", lambda: break_after_one(error))
    assert before == passed("a", "one")
    assert (broken.check, broken.status, broken.detail) == ("name", "failed", detail)
    assert broken.fix


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1024, "1.0 KB"),
        (102_400, "100 KB"),
        (5 << 20, "5.0 MB"),
        (77 << 30, "77 GB"),
        (1 << 50, "1024 TB"),
    ],
)
def test_sizes_are_short(size: int, text: str) -> None:
    assert format_size(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 seconds"), (60, "1 minute"), (7200, "2 hours"), (86_400, "1 day"), (13.9 * 86_400, "13 days")],
)
def test_lengths_of_time_are_in_their_largest_unit(seconds: float, text: str) -> None:
    assert format_days(seconds) == text
