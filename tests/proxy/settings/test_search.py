"""Where the configuration file is found."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from proxy.errors import ConfigurationError
from proxy.settings.search import find_file, home_folder, resolve_home, user_data_folder


def write(path: Path, text: str = "app: {}\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def found(file: Path | None, environ: dict[str, str], cwd: Path) -> Path | None:
    result = find_file(file, environ, cwd)
    return result.path if result else None


def test_the_named_file_comes_before_all_others(tmp_path: Path) -> None:
    named, other = write(tmp_path / "named.yaml"), write(tmp_path / "other.yaml")
    write(tmp_path / "fastgate.yaml")
    assert found(named, {"FASTGATE_CONFIG": str(other)}, tmp_path) == named
    assert found(None, {"FASTGATE_CONFIG": str(other)}, tmp_path) == other


def test_the_working_folder_comes_before_the_user_folder(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path / "home")}
    user = write(tmp_path / "home/.config/fastgate/fastgate.yaml")
    assert found(None, environ, tmp_path) == user
    local = write(tmp_path / "fastgate.yaml")
    assert found(None, environ, tmp_path) == local


def test_the_user_folder_follows_xdg_config_home(tmp_path: Path) -> None:
    user = write(tmp_path / "xdg/fastgate/fastgate.yaml")
    write(tmp_path / "home/.config/fastgate/fastgate.yaml")
    environ = {"HOME": str(tmp_path / "home"), "XDG_CONFIG_HOME": str(tmp_path / "xdg")}
    assert found(None, environ, tmp_path) == user


def test_an_empty_variable_names_no_file(tmp_path: Path) -> None:
    local = write(tmp_path / "fastgate.yaml")
    assert found(None, {"FASTGATE_CONFIG": "", "HOME": str(tmp_path)}, tmp_path) == local


@pytest.mark.skipif(Path("/etc/fastgate").exists(), reason="this machine is configured")
def test_none_is_found_where_there_is_none(tmp_path: Path) -> None:
    assert find_file(None, {"HOME": str(tmp_path)}, tmp_path) is None


def test_a_relative_name_is_of_the_working_folder_and_shown_as_written(tmp_path: Path) -> None:
    write(tmp_path / "conf/gate.yaml", "app: {}\n")
    result = find_file(Path("conf/gate.yaml"), {}, tmp_path)
    assert result is not None
    assert (result.name, result.path, result.content) == (
        "conf/gate.yaml",
        tmp_path / "conf/gate.yaml",
        b"app: {}\n",
    )


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    write(tmp_path / "fastgate.yaml")
    with pytest.raises(ConfigurationError, match=r"gone\.yaml: there is no such file") as caught:
        find_file(Path("gone.yaml"), {}, tmp_path)
    assert "fastgate init" in caught.value.hint


def test_a_folder_is_not_a_file(tmp_path: Path) -> None:
    (tmp_path / "fastgate.yaml").mkdir()
    for name in (Path("fastgate.yaml"), None):
        with pytest.raises(ConfigurationError, match=r"fastgate\.yaml: the file cannot be read"):
            find_file(name, {}, tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_not_passed_over(tmp_path: Path) -> None:
    write(tmp_path / "fastgate.yaml").chmod(0)
    with pytest.raises(ConfigurationError, match="Permission denied"):
        find_file(None, {"HOME": str(tmp_path)}, tmp_path)


def test_data_goes_below_xdg_data_home_or_home() -> None:
    assert user_data_folder({"HOME": "/h"}) == Path("/h/.local/share/fastgate")
    assert user_data_folder({"HOME": "/h", "XDG_DATA_HOME": "/d"}) == Path("/d/fastgate")
    assert user_data_folder({"HOME": "/h", "XDG_DATA_HOME": "relative"}) == Path("/h/.local/share/fastgate")


def test_a_tilde_is_the_home_folder() -> None:
    assert resolve_home(Path("~/a/b"), {"HOME": "/h"}) == Path("/h/a/b")
    assert resolve_home(Path("a/~/b"), {"HOME": "/h"}) == Path("a/~/b")
    assert home_folder({}).is_absolute()
