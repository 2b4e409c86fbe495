"""Long texts go through the pager that was asked for, on a terminal, and through none otherwise."""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from fastgate_cli.pager import find_pager, print_paged


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def ten_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINES", "10")
    monkeypatch.setenv("COLUMNS", "80")


def screen_of(text: str, pager: list[str]) -> str:
    """Return what a terminal gets that is no pager's."""
    with redirect_stdout(Terminal()) as screen:
        print_paged(text, pager)
    return screen.getvalue()


@pytest.mark.parametrize(
    ("environ", "command"),
    [
        ({}, []),
        ({"PAGER": "less -R"}, ["less", "-R"]),
        ({"PAGER": "less", "FASTGATE_PAGER": "more"}, ["more"]),
        ({"PAGER": "less", "FASTGATE_PAGER": ""}, []),
        ({"PAGER": "cat"}, []),
        ({"PAGER": "less", "TERM": "dumb"}, []),
        ({"PAGER": "less '"}, []),
    ],
)
def test_the_pager_is_the_one_of_the_environment(environ: dict[str, str], command: list[str]) -> None:
    with redirect_stdout(Terminal()):
        assert find_pager(environ) == command


def test_in_a_pipe_there_is_none() -> None:
    with redirect_stdout(io.StringIO()):
        assert find_pager({"PAGER": "less"}) == []


def test_a_long_text_goes_through_it_and_a_short_one_does_not(tmp_path: Path) -> None:
    pager = ["sh", "-c", f"cat > {tmp_path}/seen"]
    assert screen_of("short\n" * 3, pager) == "short\n" * 3
    assert screen_of("long \ud800 ü\n" * 30, pager) == ""
    assert (tmp_path / "seen").read_text() == "long \\ud800 ü\n" * 30


@pytest.mark.parametrize("pager", [["no-such-pager"], []])
def test_without_a_pager_that_runs_it_is_just_printed(pager: list[str]) -> None:
    assert screen_of("long\n" * 30, pager) == "long\n" * 30


def test_a_pager_that_is_left_early_is_no_error() -> None:
    assert screen_of("long\n" * 500_000, ["true"]) == ""
