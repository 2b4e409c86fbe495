"""Questions are asked only where somebody can answer, and completions are few and described."""

from __future__ import annotations

import io
from typing import get_args

import pytest
import typer

from fastgate_cli.options import (
    COMPLETIONS_MAX,
    complete_formats,
    confirm_or_exit,
    note_dry_run,
    pick_completions,
)
from fastgate_cli.output import Format
from proxy.errors import InvalidInputError


class Keyboard(io.StringIO):
    """A stdin with somebody in front of it."""

    def isatty(self) -> bool:
        return True


def test_yes_asks_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    confirm_or_exit("delete everything", yes=True)
    assert capsys.readouterr() == ("", "")


def test_without_a_terminal_it_is_refused_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    with pytest.raises(InvalidInputError) as caught:
        confirm_or_exit("delete everything", yes=False)
    assert "delete everything" in caught.value.message
    assert "-y" in caught.value.hint


@pytest.mark.parametrize("answer", ["n\n", "\n"])
def test_no_is_the_default_and_exit_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], answer: str
) -> None:
    monkeypatch.setattr("sys.stdin", Keyboard(answer))
    with pytest.raises(typer.Exit) as caught:
        confirm_or_exit("delete everything", yes=False)
    assert caught.value.exit_code == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "nothing was changed" in err


def test_a_yes_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", Keyboard("y\n"))
    confirm_or_exit("delete everything", yes=False)


def test_only_a_dry_run_is_noted(capsys: pytest.CaptureFixture[str]) -> None:
    note_dry_run(False)
    note_dry_run(True)
    assert capsys.readouterr() == ("", "dry run: nothing was written\n")


def test_completions_are_those_that_begin_as_typed_and_not_too_many() -> None:
    pairs = [(f"a{number}", str(number)) for number in range(COMPLETIONS_MAX * 2)]
    assert pick_completions([("b", "B"), *pairs, ("b2", "C")], "b") == [("b", "B"), ("b2", "C")]
    assert pick_completions(pairs, "a") == pairs[:COMPLETIONS_MAX]


def test_every_format_is_completed_with_what_it_is() -> None:
    found = complete_formats("")
    assert [name for name, _ in found] == list(get_args(Format))
    assert all(description for _, description in found)
    assert complete_formats("js") == [
        ("json", "an array of objects, or one object"),
        ("jsonl", "one object a line"),
    ]
