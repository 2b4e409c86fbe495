"""A page is plain data, which nobody can change behind its back."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from fastgate_cli.help.page import Lines, Page, Rows, Text


def test_pages_with_the_same_content_are_the_same() -> None:
    def build() -> Page:
        return Page(("fastgate serve",), (Text("a"), Rows((("b", "c"),), "d"), Lines(("e",))))

    assert build() == build()
    assert Rows((("b", "c"),)) != Rows((("b", "c"),), "d")


def test_a_page_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        Text("a").text = "b"  # type: ignore[misc]
