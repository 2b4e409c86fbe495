"""Files that others can read, and room on the disks."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from proxy.checks.files import (
    FREE_BYTES_NEEDED,
    FREE_BYTES_WANTED,
    check_permissions,
    check_room,
    find_existing,
    find_write_fault,
    judge_room,
)
from proxy.settings import Settings, database_path


def test_each_exposed_file_is_a_warning_with_its_chmod(settings: Settings) -> None:
    assert [check.status for check in check_permissions(settings)] == ["passed"]
    path = database_path(settings)
    path.chmod(0o604)
    (check,) = check_permissions(settings)
    assert (check.status, check.fix) == ("warning", f"chmod 600 {path}")
    assert str(path) in check.detail


def test_room_is_told_once_for_each_disk(bare: Settings) -> None:
    (check,) = check_room(bare)
    assert check.detail.endswith("free for the database and the journal")


@pytest.mark.parametrize(
    ("free", "status"),
    [
        (FREE_BYTES_NEEDED - 1, "failed"),
        (FREE_BYTES_NEEDED, "warning"),
        (FREE_BYTES_WANTED - 1, "warning"),
        (FREE_BYTES_WANTED, "passed"),
    ],
)
def test_little_room_is_told_before_there_is_none(free: int, status: str) -> None:
    check = judge_room("the database", free)
    assert check.status == status
    assert bool(check.fix) is (status != "passed")


def test_the_nearest_folder_that_exists_is_found(tmp_path: Path) -> None:
    assert find_existing(tmp_path / "a" / "b") == tmp_path
    assert find_existing(tmp_path) == tmp_path


def test_a_place_where_nothing_can_be_made_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_write_fault(tmp_path / "a" / "b") == ""
    (tmp_path / "file").touch()
    assert find_write_fault(tmp_path / "file" / "b") == f"{tmp_path / 'file'} is not a folder"
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write anywhere
    assert "cannot write" in find_write_fault(tmp_path / "a")
