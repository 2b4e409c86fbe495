"""A file replaced as a whole, with its mode, its owner and its links; or left as it was."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fastgate_cli.rewriting import rewrite_file
from proxy.errors import ConflictError, InvalidInputError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "f.yaml"
    path.write_bytes(b"old")
    path.chmod(0o640)
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_content_changes_and_mode_stays(file: Path) -> None:
    rewrite_file(file, b"old", b"new")
    assert file.read_bytes() == b"new"
    assert file.stat().st_mode & 0o7777 == 0o640
    assert names(file.parent) == ["f.yaml"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_the_owner_stays(file: Path) -> None:
    os.chown(file, 4242, 4343)
    rewrite_file(file, b"old", b"new")
    assert (file.stat().st_uid, file.stat().st_gid) == (4242, 4343)


def test_a_link_stays_one_and_what_it_leads_to_changes(file: Path, tmp_path: Path) -> None:
    (tmp_path / "links").mkdir()
    link = tmp_path / "links" / "l.yaml"
    link.symlink_to("../f.yaml")
    rewrite_file(link, b"old", b"new")
    assert link.is_symlink()
    assert (file.read_bytes(), names(tmp_path / "links")) == (b"new", ["l.yaml"])


def test_what_somebody_else_wrote_meanwhile_is_not_lost(file: Path) -> None:
    with pytest.raises(ConflictError, match="has changed meanwhile"):
        rewrite_file(file, b"older", b"new")
    assert (file.read_bytes(), names(file.parent)) == (b"old", ["f.yaml"])


def test_what_cannot_be_replaced_is_told(tmp_path: Path) -> None:
    for path in (tmp_path / "nosuch", Path("/proc/version")):
        with pytest.raises(InvalidInputError, match="cannot be written"):
            rewrite_file(path, b"", b"new")
