"""The unit and the Containerfile agree with the program that they run; nothing here needs an engine."""

from __future__ import annotations

import configparser
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

from proxy.audit.process import STOP_SECONDS_MAX
from proxy.settings import Settings, load_settings
from proxy.settings.model import database_path
from tests.docs.commands import parse_line
from tests.docs.documents import ROOT

STOP_MARGIN_SECONDS = 30


def read_unit() -> configparser.ConfigParser:
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read(ROOT / "docs" / "fastgate.service")
    return unit


def read_containerfile() -> list[tuple[str, str]]:
    """Return the instructions of the Containerfile in their order."""
    text = (ROOT / "Containerfile").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(line.partition(" ")[0], line.partition(" ")[2].strip()) for line in lines]


def test_the_unit_runs_a_command_that_exists() -> None:
    service = read_unit()["Service"]
    program, *words = shlex.split(service["ExecStart"])
    assert program == "/opt/fastgate/bin/fastgate"
    parse_line(words)


def test_the_unit_waits_longer_than_a_stop_may_take() -> None:
    service = read_unit()["Service"]
    longest = Settings().proxy.shutdown_grace + STOP_SECONDS_MAX + STOP_MARGIN_SECONDS
    assert int(service["TimeoutStopSec"]) >= longest
    # Workers and the recorder are the supervisor's to stop; a signal for all of them would cut requests.
    assert service["KillMode"] == "mixed"
    assert service["Type"] == "notify-reload"


def test_the_unit_may_write_where_its_files_are() -> None:
    service = read_unit()["Service"]
    folder = f"/var/lib/{service['StateDirectory']}"
    name, _, file = service["Environment"].partition("=")
    assert (name, str(Path(file).parent)) == ("FASTGATE_CONFIG", folder)
    assert service["WorkingDirectory"] == folder


def test_the_image_is_not_root_and_keeps_its_data_in_the_volume() -> None:
    instructions = dict(read_containerfile())
    assert re.search(rf"useradd --uid {instructions['USER']} ", instructions["RUN"])
    assert instructions["USER"] != "0"
    environ = dict(word.split("=", 1) for word in shlex.split(instructions["ENV"]))
    settings = load_settings(environ=environ, cwd=Path(instructions["WORKDIR"]))
    volume = Path(instructions["VOLUME"])
    for path in (database_path(settings), settings.audit.directory, settings.rate_limiting.file):
        assert path.is_relative_to(volume)
    assert settings.app.host == "0.0.0.0"
    assert str(settings.app.port) == instructions["EXPOSE"]


def test_the_image_runs_commands_that_exist() -> None:
    instructions = dict(read_containerfile())
    entry, command = (re.findall(r'"([^"]*)"', instructions[name]) for name in ("ENTRYPOINT", "CMD"))
    assert entry == ["fastgate"]
    parse_line(command)
    check = re.findall(r'"([^"]*)"', instructions["HEALTHCHECK"])
    assert f":{instructions['EXPOSE']}/health" in check[-1]
    compile(check[-1], "HEALTHCHECK", "exec")


def test_the_image_has_a_python_that_the_package_takes() -> None:
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    lowest = tuple(map(int, re.findall(r"\d+", wanted)))
    versions = [
        re.findall(r"python:(\d+)\.(\d+)", text)[0] for name, text in read_containerfile() if name == "FROM"
    ]
    assert versions
    assert all(tuple(map(int, version)) >= lowest for version in versions)


def test_the_health_check_fails_where_no_gateway_answers() -> None:
    check = re.findall(r'"([^"]*)"', dict(read_containerfile())["HEALTHCHECK"])
    # Port 9 is where nothing listens.
    done = subprocess.run(
        [sys.executable, "-c", check[-1].replace(":8514", ":9")], capture_output=True, check=False
    )
    assert done.returncode == 1
