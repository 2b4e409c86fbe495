"""Settings one by one: complete, as JSON has them, settable again, and without a secret."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from proxy.settings import load_settings
from proxy.settings.listing import HIDDEN, Listed, list_settings
from proxy.settings.model import SECTIONS, section_keys


def listed(folder: Path, text: str = "", **environ: str) -> dict[str, Listed]:
    (folder / "fastgate.yaml").write_text(text)
    settings = load_settings(environ={"HOME": str(folder), **environ}, cwd=folder)
    return {setting.name: setting for setting in list_settings(settings)}


def test_every_setting_is_there_in_order_and_as_json_has_it(tmp_path: Path) -> None:
    settings = listed(tmp_path)
    assert list(settings) == [f"{home}.{key}" for home in SECTIONS for key, _, _ in section_keys(home)]
    assert json.loads(json.dumps([setting.value for setting in settings.values()]))


@pytest.mark.parametrize(
    ("name", "written", "value", "text"),
    [
        ("app.port", "9000", 9000, "9000"),
        ("app.timezone", '"-03:30"', "-03:30", "-03:30"),
        ("proxy.timeout", "300", 300, "300"),
        ("proxy.timeout", "0.5", 0.5, "0.5"),
        ("proxy.max_body_size", "32MB", 32 << 20, "32MB"),
        ("proxy.max_body_size", "1025", 1025, "1025"),
        ("proxy.max_body_size", "0", 0, "0"),
        ("cors.enabled", "true", True, "true"),
        ("proxy.strip_headers", "[A, b]", ["a", "b"], "a, b"),
        ("security.trusted_proxies", "['10.0.0.0/8']", ["10.0.0.0/8"], "10.0.0.0/8"),
        ("logging.file", '""', "", ""),
        ("logging.file", "/var/log/fg.log", "/var/log/fg.log", "/var/log/fg.log"),
    ],
)
def test_a_value_is_shown_for_programs_and_for_people(
    tmp_path: Path, name: str, written: str, value: Any, text: str
) -> None:
    section, _, key = name.partition(".")
    setting = listed(tmp_path, f"{section}:\n  {key}: {written}\n")[name]
    assert (setting.value, type(setting.value), setting.text) == (value, type(value), text)


def test_each_says_where_it_came_from(tmp_path: Path) -> None:
    settings = listed(tmp_path, "app:\n  port: 1\n", FASTGATE_APP_HOST="x")
    assert settings["app.port"].origin == f"{tmp_path}/fastgate.yaml:2"
    assert settings["app.host"].origin == "environment:FASTGATE_APP_HOST"
    assert settings["app.name"].origin == "default"


def test_no_secret_is_among_them(tmp_path: Path) -> None:
    text = "proxy: {egress_proxy: 'http://user:hunter2@10.0.0.1:3128'}\nsecurity: {admin_token: hunter2}\n"
    settings = listed(tmp_path, text)
    assert "hunter2" not in repr(settings)
    assert settings["security.admin_token"].value == HIDDEN
    assert settings["proxy.egress_proxy"].value == f"http://{HIDDEN}@10.0.0.1:3128"
    assert listed(tmp_path)["security.admin_token"].value == ""
