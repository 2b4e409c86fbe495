"""Results of checks in one sentence. How they are drawn is tested with `doctor`."""

from __future__ import annotations

from collections import Counter

import pytest

from fastgate_cli.checks import describe_counts


@pytest.mark.parametrize(
    ("counts", "text"),
    [
        ({"passed": 3}, "3 passed"),
        ({"passed": 3, "warning": 1}, "1 warning, 3 passed"),
        ({"passed": 0, "warning": 2, "failed": 1}, "1 failed, 2 warnings, 0 passed"),
    ],
)
def test_the_summary_names_what_has_to_be_mended_first(counts: dict[str, int], text: str) -> None:
    assert describe_counts(Counter(counts)) == text
