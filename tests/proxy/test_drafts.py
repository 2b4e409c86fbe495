"""A file is complete, private and on the disk, or it is not there; nothing else stays."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.drafts import check_place, draft_file
from proxy.errors import ConflictError, InvalidInputError


def write(
    place: Path, text: str, *, replace: bool = False, then: Callable[[], object] = lambda: None
) -> None:
    with draft_file(place, replace=replace) as draft:
        draft.write_text(text)
        then()


def test_a_draft_becomes_the_file_when_it_is_done(tmp_path: Path) -> None:
    place = tmp_path / "x.csv"
    umask = os.umask(0)
    try:
        with draft_file(place, replace=False) as draft:
            assert not place.exists()
            assert draft.parent == tmp_path
            draft.write_text("whole")
    finally:
        os.umask(umask)
    assert place.read_text() == "whole"
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["x.csv"]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, ValueError, SystemExit])
def test_nothing_stays_of_what_was_broken_off(tmp_path: Path, kind: type[BaseException]) -> None:
    place = tmp_path / "x.csv"
    place.write_text("before")

    def raise_kind() -> None:
        raise kind

    with pytest.raises(kind):
        write(place, "half", replace=True, then=raise_kind)
    assert place.read_text() == "before"
    assert os.listdir(tmp_path) == ["x.csv"]


def test_a_file_that_appears_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    place = tmp_path / "x.csv"
    with pytest.raises(ConflictError):
        write(place, "mine", then=lambda: place.write_text("theirs"))
    assert place.read_text() == "theirs"
    write(place, "mine", replace=True)
    assert place.read_text() == "mine"
    assert os.listdir(tmp_path) == ["x.csv"]


def test_what_the_system_refuses_is_told_with_the_place(tmp_path: Path) -> None:
    with (
        pytest.raises(InvalidInputError, match=r"absent/x\.csv cannot be written: No such"),
        draft_file(tmp_path / "absent" / "x.csv", replace=False),
    ):
        pass


def test_places_that_no_file_can_have_are_refused_beforehand(tmp_path: Path) -> None:
    there, pipe = tmp_path / "there", tmp_path / "pipe"
    there.write_text("")
    os.mkfifo(pipe)
    for place, replace in ((tmp_path, True), (pipe, True), (Path("/dev/null"), True)):
        with pytest.raises(InvalidInputError):
            check_place(place, replace=replace)
    with pytest.raises(ConflictError):
        check_place(there, replace=False)
    check_place(there, replace=True)
    check_place(tmp_path / "new", replace=False)
