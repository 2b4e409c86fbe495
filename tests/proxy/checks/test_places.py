"""Places that cannot be written to are told before a gateway meets them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from proxy.checks.places import check_places
from proxy.settings import Settings, load_settings


def load(folder: Path, text: str) -> Settings:
    (folder / "fastgate.yaml").write_text(text)
    return load_settings(environ={"HOME": str(folder)}, cwd=folder)


def test_places_below_a_file_and_of_the_wrong_kind_are_faults(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    text = "rate_limiting: {file: file/limits}\nlogging: {file: folder}\n"
    found = list(check_places(load(tmp_path, text)))
    assert [(check.check, check.status) for check in found] == [("limits", "failed"), ("log", "failed")]
    assert found[0].detail == f"{tmp_path}/file is not a folder"
    assert found[1].fix == "set logging.file"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everything")
def test_a_place_that_cannot_be_written_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "shut").mkdir(mode=0o500)
    (check,) = check_places(load(tmp_path, "rate_limiting: {file: shut/limits}\n"))
    assert (check.status, "cannot write" in check.detail) == ("failed", True)


def test_what_is_there_or_can_be_made_is_fine_and_nothing_is_made(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("")
    text = "rate_limiting: {file: new/limits}\nlogging: {file: log}\n"
    assert [check.status for check in check_places(load(tmp_path, text))] == ["passed", "passed"]
    assert not (tmp_path / "new").exists()


def test_what_is_not_used_is_not_looked_at(tmp_path: Path) -> None:
    assert list(check_places(load(tmp_path, "rate_limiting: {enabled: false}\n"))) == []
