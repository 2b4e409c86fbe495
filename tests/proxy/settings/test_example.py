"""The shipped example explains every key and changes nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from proxy.settings import example_text, load_settings
from proxy.settings.document import read_document
from proxy.settings.model import SECTIONS, section_keys

KNOWN = {section: [name for name, _, _ in section_keys(section)] for section in SECTIONS}


def comment_above(line: int) -> str:
    """Return the comment lines directly above a line of the example; neighbouring keys may share one."""
    lines = example_text().splitlines()[: line - 1]
    while lines and not lines[-1].lstrip().startswith("#"):
        lines.pop()
    comment: list[str] = []
    while lines and lines[-1].lstrip().startswith("#"):
        comment.insert(0, lines.pop().strip(" #"))
    return " ".join(comment)


def test_it_has_every_key_and_no_other() -> None:
    document = read_document(example_text().encode(), "example", KNOWN)
    assert document.problems == []
    assert sorted(document.entries) == sorted(
        f"{section}.{key}" for section in KNOWN for key in KNOWN[section]
    )


def test_loading_it_unchanged_is_as_having_no_file(tmp_path: Path) -> None:
    file = tmp_path / "fastgate.yaml"
    file.write_text(example_text())
    with_file = load_settings(file, environ={}, cwd=tmp_path)
    without = load_settings(environ={"HOME": str(tmp_path)}, cwd=tmp_path / "empty")
    assert all(origin.startswith("file:") for origin in with_file.origins.values())
    placed = replace(
        with_file,
        database=without.database,
        audit=replace(with_file.audit, directory=without.audit.directory),
        rate_limiting=replace(with_file.rate_limiting, file=without.rate_limiting.file),
        source=None,
        origins=without.origins,
    )
    assert placed == without


@pytest.mark.parametrize("name", [f"{section}.{key}" for section in KNOWN for key in KNOWN[section]])
def test_every_key_is_explained(name: str) -> None:
    entry = read_document(example_text().encode(), "example", KNOWN).entries[name]
    assert comment_above(entry.key_line)
