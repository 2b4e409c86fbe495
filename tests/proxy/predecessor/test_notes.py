"""The notes on a row: how grave they are, and which of them refuse it."""

from __future__ import annotations

from proxy.predecessor.notes import Note, Notebook


def test_a_notebook_keeps_what_is_said_of_its_row() -> None:
    book = Notebook("route", "general")
    book.change("match_path", "written otherwise")
    book.warn("match_headers", "means something else")
    assert not book.is_refused
    book.refuse("target_host", "no host")
    assert book.is_refused
    assert [note.level for note in book.notes] == ["changed", "warning", "refused"]
    assert book.notes[0] == Note("route", "general", "changed", "match_path", "written otherwise", 1)
