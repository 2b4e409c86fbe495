"""What the page says of references is what the gateway and the configuration make of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastgate_cli.headers import KEEP
from fastgate_cli.help.references import HEADERS, SETTINGS, ReferenceExample, build_page
from proxy.errors import InvalidInputError
from proxy.references import find_references, resolve_value
from proxy.settings.expansion import expand

ENVIRON = {"NAME": "text"}


@pytest.mark.parametrize("example", SETTINGS, ids=lambda example: example.reference)
def test_a_reference_in_a_file_means_what_the_page_says(example: ReferenceExample) -> None:
    assert expand(example.reference, ENVIRON) == example.value
    assert expand(f"a {example.reference} b", ENVIRON) == f"a {example.value} b"
    if example.without is None:
        with pytest.raises(InvalidInputError) as caught:
            expand(example.reference, {})
        assert "message" not in example.reference or "message" in caught.value.message
    else:
        assert expand(example.reference, {}) == example.without


@pytest.mark.parametrize("example", HEADERS, ids=lambda example: example.reference)
def test_a_reference_in_a_header_means_what_the_page_says(example: ReferenceExample, tmp_path: Path) -> None:
    assert find_references(example.reference) == [example.reference]
    with pytest.raises(InvalidInputError):
        resolve_value(example.reference, {}, tmp_path)
    (tmp_path / "PATH").write_text(" text\n")
    assert resolve_value(f"Bearer {example.reference}", ENVIRON, tmp_path) == f"Bearer {example.value}"


def test_the_page_has_every_form() -> None:
    rows = dict(row for block in build_page().blocks for row in getattr(block, "rows", ()))
    assert list(rows) == [*(one.reference for one in (*HEADERS, *SETTINGS)), KEEP]
