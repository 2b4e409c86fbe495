"""Documents from files and from stdin."""

from __future__ import annotations

from io import BytesIO, TextIOWrapper
from pathlib import Path

import pytest

from fastgate_cli.context import Invocation
from fastgate_cli.documents.source import read_source
from fastgate_cli.documents.state import EMPTY
from proxy.errors import ConfigurationError


@pytest.fixture
def invocation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Invocation:
    monkeypatch.chdir(tmp_path)
    return Invocation(environ={"HOME": str(tmp_path)})


def test_a_document_is_read_from_a_file_or_from_stdin(
    invocation: Invocation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "d.yaml").write_text("keys: [{key_id: a}]")
    monkeypatch.setattr("sys.stdin", TextIOWrapper(BytesIO(b"keys: [{key_id: b}]")))
    for file, key_id in (("d.yaml", "a"), ("-", "b")):
        (change,) = read_source(file, invocation).plan(EMPTY, prune=False)
        assert change.object_id == key_id


def test_a_new_key_ends_when_the_configuration_says(invocation: Invocation, tmp_path: Path) -> None:
    (tmp_path / "d.yaml").write_text("keys: [{key_id: a}]")
    (tmp_path / "fastgate.yaml").write_text("security: {default_expiry_days: 1}")
    (change,) = read_source("d.yaml", invocation).plan(EMPTY, prune=False)
    assert (change.after["expires_at"] - invocation.now).days == 1


def test_faults_come_in_the_order_of_the_document_each_once(invocation: Invocation, tmp_path: Path) -> None:
    (tmp_path / "d.yaml").write_text("routes: [{}]\nkeys: [{}]\n")
    source = read_source("d.yaml", invocation)
    for _ in range(2):
        with pytest.raises(ConfigurationError) as caught:
            source.plan(EMPTY, prune=False)
        lines = [problem.line for problem in caught.value.problems]
        assert lines == [1, 1, 1, 2]
    assert "nothing was changed" in caught.value.hint


@pytest.mark.parametrize("file", ["nosuch", "."])
def test_what_cannot_be_opened_is_told(invocation: Invocation, file: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_source(file, invocation)
