"""Row 49: files that others can read are named, each with the command that closes it."""

from __future__ import annotations

import logging
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from proxy.exposure import (
    FILES_MAX,
    are_metrics_closed,
    find_exposed,
    listens_on_loopback,
    warn_of_exposure,
)
from proxy.settings import AppSettings, SecuritySettings, Settings, load_settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A configuration whose files are all there, and readable by their owner only."""
    folder = tmp_path / "a folder"
    folder.mkdir()
    file = folder / "fastgate.yaml"
    file.write_text("logging: {file: log/gateway.log}\nsecurity: {admin_token: hunter2}\n")
    made = load_settings(file, environ={}, cwd=tmp_path)
    for name in (
        "data/fastgate.db",
        "data/fastgate.db-wal",
        "data/limits",
        "data/journal/worker-1.000001.log",
        "log/gateway.log",
        "log/gateway.log.1",
    ):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.parent.chmod(0o700)
    file.chmod(0o600)
    return made


def folder_of(settings: Settings) -> Path:
    assert settings.source is not None
    return settings.source.parent


def test_nothing_is_exposed_where_the_owner_alone_can_read(settings: Settings) -> None:
    assert find_exposed(settings) == []


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o606, 0o620])
@pytest.mark.parametrize(
    "name",
    [
        "data/fastgate.db",
        "data/fastgate.db-wal",
        "data/limits",
        "data/journal/worker-1.000001.log",
        "log/gateway.log",
        "log/gateway.log.1",
    ],
)
def test_a_file_that_others_can_get_at_is_named_and_the_command_closes_it(
    settings: Settings, name: str, mode: int
) -> None:
    path = folder_of(settings) / name
    path.chmod(mode)
    (exposure,) = find_exposed(settings)
    assert exposure.path == path
    assert str(path) in str(exposure)
    assert exposure.who == ("everybody" if mode & 0o007 else "its group")
    subprocess.run(exposure.fix, shell=True, check=True)
    assert find_exposed(settings) == []


def test_the_folder_of_the_journal_is_one_of_them(settings: Settings) -> None:
    settings.audit.directory.chmod(0o711)
    (exposure,) = find_exposed(settings)
    assert exposure.path == settings.audit.directory
    subprocess.run(exposure.fix, shell=True, check=True)
    assert settings.audit.directory.stat().st_mode & 0o777 == 0o700


def test_a_configuration_is_only_if_it_holds_a_secret(settings: Settings) -> None:
    file = folder_of(settings) / "fastgate.yaml"
    file.chmod(0o640)
    assert find_exposed(settings) == []  # the group of the gateway's user has to read it
    file.chmod(0o644)
    (exposure,) = find_exposed(settings)
    assert "security.admin_token" in str(exposure)
    assert "hunter2" not in repr(exposure)
    subprocess.run(exposure.fix, shell=True, check=True)
    assert find_exposed(settings) == []
    file.chmod(0o644)
    file.write_text("security: {admin_token: '${TOKEN:-}'}\n")
    assert find_exposed(settings) == []


def test_of_a_folder_full_of_them_not_all_are_named(settings: Settings) -> None:
    for number in range(FILES_MAX + 5):
        (settings.audit.directory / f"{number}.log").touch(mode=0o600)
        (settings.audit.directory / f"{number}.log").chmod(0o644)
    assert len(find_exposed(settings)) == FILES_MAX


def test_what_is_not_there_is_not_exposed_and_is_not_made(tmp_path: Path) -> None:
    made = load_settings(None, environ={"HOME": str(tmp_path)}, cwd=tmp_path)
    assert find_exposed(made) == []
    assert find_exposed(replace(made, source=tmp_path / "nosuch.yaml")) == []
    assert list(tmp_path.iterdir()) == []


def test_each_is_a_warning_in_the_log(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    warn_of_exposure(settings)
    assert caplog.records == []
    limits = settings.rate_limiting.file
    limits.chmod(0o666)
    warn_of_exposure(settings)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert f"chmod 600 '{limits}'" in record.getMessage()


@pytest.mark.parametrize(
    ("host", "is_loopback"),
    [
        *((host, True) for host in ("127.0.0.1", "127.8.9.1", "::1", "localhost", "unix:/run/f.sock")),
        *((host, True) for host in ("[::1]", "::ffff:127.0.0.1")),
        *((host, False) for host in ("0.0.0.0", "::", "192.168.1.2", "gateway.internal", "localhost.evil")),
    ],
)
def test_addresses_that_only_this_machine_reaches(host: str, is_loopback: bool) -> None:
    assert listens_on_loopback(host) is is_loopback


def test_metrics_are_closed_where_they_would_be_for_everybody(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    wide = replace(settings, app=AppSettings(host="0.0.0.0"))
    assert not are_metrics_closed(wide)  # there is a token
    open_to_all = replace(wide, security=SecuritySettings())
    assert are_metrics_closed(open_to_all)
    assert not are_metrics_closed(replace(open_to_all, app=AppSettings()))
    warn_of_exposure(open_to_all)
    assert "/metrics is closed" in caplog.text
    assert "security.admin_token" in caplog.text
