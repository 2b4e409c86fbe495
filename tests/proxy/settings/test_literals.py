"""Which settings hold a secret as it is: told by name, never by value."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.settings.literals import find_literal_secrets

TOKEN, PROXY = "security.admin_token", "proxy.egress_proxy"


def find(folder: Path, text: str) -> list[str]:
    (folder / "fastgate.yaml").write_text(text)
    return find_literal_secrets(folder / "fastgate.yaml")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("security: {admin_token: hunter2}", [TOKEN]),
        ("security: {admin_token: '${TOKEN:-hunter2}'}", [TOKEN]),
        ("proxy: {egress_proxy: 'http://user:hunter2@10.0.0.1:3128'}", [PROXY]),
        (
            "security: {admin_token: a}\nproxy: {egress_proxy: 'http://u:p@h'}",
            [TOKEN, PROXY],
        ),
        ("security: {admin_token: '${TOKEN}'}", []),
        ("security: {admin_token: '${TOKEN:-}'}", []),
        ("security: {admin_token: '${TOKEN:?set it}'}", []),
        ("security: {admin_token: ''}", []),
        ("proxy: {egress_proxy: 'http://10.0.0.1:3128'}", []),
        ("proxy: {egress_proxy: 'http://user:${PASSWORD}@10.0.0.1:3128'}", []),
        ("database: {url: 'sqlite:///data/a.db'}", []),
        ("app: {name: hunter2}", []),
        ("", []),
        ("app: [", []),
    ],
)
def test_a_secret_is_one_unless_a_variable_holds_it(tmp_path: Path, text: str, names: list[str]) -> None:
    assert find(tmp_path, text) == names


def test_a_file_that_is_not_there_holds_none(tmp_path: Path) -> None:
    assert find_literal_secrets(tmp_path / "nosuch.yaml") == []
