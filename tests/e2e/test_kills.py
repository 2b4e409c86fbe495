"""Whatever is killed, each request that reached the backend has one row (the long form: `kills.py`)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.kills import TARGETS, run


@pytest.mark.timeout(180)
def test_whatever_is_killed_each_request_that_reached_the_backend_has_one_row(tmp_path: Path) -> None:
    site = run(tmp_path, [*TARGETS, "recorder", "worker"], seed=7)

    assert len(site.load.seen) > 50
    # Of the kills themselves the log tells; of rows that are lost there is nothing to tell.
    assert "started again" in site.log()
    assert "Traceback" not in site.log()
