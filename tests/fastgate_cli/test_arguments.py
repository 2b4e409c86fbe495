"""Arguments that hold JSON or name a file that does."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastgate_cli import arguments
from fastgate_cli.arguments import read_argument, read_field, read_json
from proxy.errors import InvalidInputError


def test_argument_is_taken_as_it_is_byte_for_byte() -> None:
    assert read_argument('{"é": 1}') == '{"é": 1}'.encode()
    assert read_argument("\udcff") == b"\xff"


def test_file_is_read_whole_up_to_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "data"
    path.write_bytes(b"\x00\xff" * 50)
    assert read_argument(f"@{path}") == b"\x00\xff" * 50
    monkeypatch.setattr(arguments, "FILE_BYTES_MAX", 99)
    with pytest.raises(InvalidInputError, match="larger than 99 bytes"):
        read_argument(f"@{path}")


@pytest.mark.parametrize("name", ["", "nosuch", "/", "a\0b"])
def test_file_that_cannot_be_read_is_named(name: str) -> None:
    with pytest.raises(InvalidInputError, match="cannot be read"):
        read_argument(f"@{name}")


def test_error_in_json_names_option_and_place() -> None:
    assert read_json("--data", "[1]") == [1]
    with pytest.raises(InvalidInputError, match=r"--data: .* line 1, column 2"):
        read_json("--data", "[")


def test_field_is_a_name_and_json() -> None:
    assert read_field("--set-body", "a.b= 1") == ("a.b", 1)
    assert read_field("--set-body", 'a="x=y"') == ("a", "x=y")
    with pytest.raises(InvalidInputError) as caught:
        read_field("--set-body", "model=qwen3")
    assert 'model="qwen3"' in caught.value.hint
    for text in ("model", "=1", " =1"):
        with pytest.raises(InvalidInputError, match="no field name"):
            read_field("--set-body", text)
