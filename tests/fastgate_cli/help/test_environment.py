"""The page has every variable that is read and every file that is looked for."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastgate_cli.help.environment import (
    DATA_FOLDER,
    FOLDERS,
    OTHERS,
    PLACES,
    build_page,
    list_files,
    list_setting_variables,
)
from fastgate_cli.help.output import VARIABLES
from proxy.settings import database_path, load_settings
from proxy.settings.listing import list_settings
from proxy.settings.search import find_file

ROOT = Path(__file__).parents[3]
# Read, but not for anybody to set: what a shell asks a completion with, what workers are started with, and
# where `~` is.
INTERNAL = {"COMP_WORDS", "COMP_CWORD", "_TYPER_COMPLETE_ARGS", "PYTHONPATH", "HOME"}


def find_variables() -> Iterator[str]:
    """Yield the names with which the sources look into an environment."""
    for folder in ("proxy", "fastgate_cli"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
                    if node.func.attr in ("get", "getenv") and "environ" in ast.unparse(node.func.value):
                        yield from read_name(node.args[0])
                elif isinstance(node, ast.Subscript) and ast.unparse(node.value).endswith("environ"):
                    yield from read_name(node.slice)
                elif isinstance(node, ast.Compare) and ast.unparse(node.comparators[0]).endswith("environ"):
                    yield from read_name(node.left)


def read_name(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.Constant):
        yield str(node.value)


def test_no_variable_is_read_that_the_page_lacks() -> None:
    found = set(find_variables())
    assert {"FASTGATE_CONFIG", "FASTGATE_DEBUG", "NO_COLOR", "NOTIFY_SOCKET"} <= found
    known = {**OTHERS, **FOLDERS, **VARIABLES, **dict(list_setting_variables())}
    assert found - INTERNAL - set(known) == set()


def test_every_setting_has_its_variables_and_its_default(tmp_path: Path) -> None:
    (tmp_path / "fastgate.yaml").touch()
    environ = {"HOME": str(tmp_path)}
    plain = {one.name: one for one in list_settings(load_settings(environ=environ, cwd=tmp_path))}
    variables = dict(list_setting_variables())
    assert [f"FASTGATE_{name.replace('.', '_').upper()}" for name in plain] == list(variables)
    for name, shown in zip(plain, variables.values(), strict=True):
        text = shown.partition("; also ")[0]
        assert plain[name].text.replace(f"{tmp_path}/", "") == ("" if text == "empty" else text)


@pytest.mark.parametrize(
    "variable",
    [name for row in list_setting_variables() for name in row[1].partition("; also ")[2].split(", ")],
)
def test_a_shorter_name_sets_its_setting(variable: str, tmp_path: Path) -> None:
    if not variable:
        return
    values = {"APP_HOST": "::1", "APP_PORT": "1", "DATABASE_URL": "sqlite:///x.db"}
    value = values.get(variable, "token")
    environ = {"HOME": str(tmp_path), variable: value}
    origins = load_settings(environ=environ, cwd=tmp_path).origins
    assert list(origins.values()).count(f"environment:{variable}") == 1


def test_the_configuration_is_looked_for_where_the_page_says(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path / "home"), "XDG_CONFIG_HOME": str(tmp_path / "config")}
    work = tmp_path / "work"
    work.mkdir()
    own, users, system = PLACES
    assert system == "/etc/fastgate/fastgate.yaml"
    for place in (users, own):  # the weaker first
        path = Path(place.replace("$XDG_CONFIG_HOME", environ["XDG_CONFIG_HOME"]))
        (work / path).parent.mkdir(parents=True, exist_ok=True)
        (work / path).touch()
        found = find_file(None, environ, work)
        assert found
        assert found.path == work / path
    assert FOLDERS["XDG_CONFIG_HOME"].endswith("~/.config unless it is set")


def test_files_are_where_the_page_says(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path / "data-home")}
    without = load_settings(environ=environ, cwd=tmp_path)
    (tmp_path / "fastgate.yaml").touch()
    beside = load_settings(environ=environ, cwd=tmp_path)
    for row, settings in ((0, beside), (1, without)):
        paths = [database_path(settings), settings.audit.directory, settings.rate_limiting.file]
        for path, shown in zip(paths, list_files()[len(PLACES) :], strict=True):
            text = shown[row].rpartition(" ")[2].rstrip("/")
            assert str(path) == str(
                tmp_path / text.replace(DATA_FOLDER, str(tmp_path / "data-home/fastgate"))
            )


def test_the_page_shows_them_all() -> None:
    rows = dict(row for block in build_page().blocks for row in getattr(block, "rows", ()))
    assert rows == {**dict(list_files()), **OTHERS, **FOLDERS, **VARIABLES, **dict(list_setting_variables())}
