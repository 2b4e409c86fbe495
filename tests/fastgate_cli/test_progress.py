"""The progress bar: on a terminal's stderr alone, and gone afterwards."""

from __future__ import annotations

import os
import pty
import sys
from collections.abc import Callable
from io import StringIO

import pytest

from fastgate_cli.progress import Report, show_progress


def run_on_terminal(work: Callable[[Report], None], monkeypatch: pytest.MonkeyPatch, **environ: str) -> str:
    """Return what a terminal on stderr got."""
    ours, theirs = pty.openpty()
    for name, value in {"TERM": "xterm-256color", "COLUMNS": "80", **environ}.items():
        monkeypatch.setenv(name, value)
    with os.fdopen(theirs, "w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        with show_progress("copying") as report:
            work(report)
        stream.flush()
        stream.write("\nend")
        stream.flush()
        screen = b""
        while not screen.endswith(b"end"):
            screen += os.read(ours, 65536)
    os.close(ours)
    return screen.decode().removesuffix("\r\nend")


def test_a_terminal_sees_title_and_share(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = run_on_terminal(lambda report: report(50, 100), monkeypatch)
    assert "copying" in screen
    assert "50%" in screen


def test_an_unknown_total_is_drawn_too(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "copying" in run_on_terminal(lambda report: report(5, 0), monkeypatch)


@pytest.mark.parametrize("term", ["dumb", "unknown"])
def test_a_terminal_that_cannot_draw_sees_nothing(term: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_on_terminal(lambda report: report(1, 2), monkeypatch, TERM=term) == ""


def test_without_colour_there_is_a_bar_without_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = run_on_terminal(lambda report: report(1, 2), monkeypatch, NO_COLOR="1")
    assert "copying" in screen
    assert "\x1b[3" not in screen


def test_a_pipe_sees_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = StringIO()
    monkeypatch.setattr(sys, "stderr", pipe)
    with show_progress("copying") as report:
        report(1, 2)
    assert pipe.getvalue() == ""
