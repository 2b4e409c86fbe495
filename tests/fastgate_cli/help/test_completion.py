"""The page says truly what is installed where, and what Tab completes."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from fastgate_cli.help.completion import FILES, build_page

Cli = Callable[..., subprocess.CompletedProcess[str]]
# Typer asks the system which shell it is in; with this it takes the option's word for it.
TOLD = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}


@pytest.mark.parametrize("shell", FILES)
def test_what_is_installed_is_where_the_page_says(
    process_cli: Cli, environment: dict[str, str], shell: str
) -> None:
    home = Path(environment["HOME"])
    done = process_cli("--install-completion", shell, env=TOLD)
    assert done.returncode == 0, done.stderr
    assert shell in done.stdout
    written = {str(path.relative_to(home)) for path in home.rglob("*") if path.is_file()}
    assert written == set(filter(None, FILES[shell]))
    assert f"complete_{shell}" in (home / FILES[shell][0]).read_text()


def test_the_script_can_be_seen_first(process_cli: Cli) -> None:
    assert "complete_zsh" in process_cli("--show-completion", "zsh", env=TOLD).stdout


def test_the_page_names_every_shell() -> None:
    rows = dict(row for block in build_page().blocks for row in getattr(block, "rows", ()))
    assert set(FILES) <= set(rows)
