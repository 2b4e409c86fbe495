"""The configuration as plain data."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from proxy.settings import DatabaseSettings, Settings, database_path
from proxy.settings.model import SECTIONS, section_keys


def write(value: object) -> str:
    """Return a default as a person would write it in an environment variable."""
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value).removeprefix("UTC")


def test_the_sections_are_the_fields_of_settings() -> None:
    names = [section.name for section in fields(Settings)]
    assert names == [*SECTIONS, "source", "origins"]
    for name, section in SECTIONS.items():
        assert isinstance(getattr(Settings(), name), section)


@pytest.mark.parametrize("section", SECTIONS)
def test_every_default_obeys_its_own_rule(section: str) -> None:
    for name, kind, default in section_keys(section):
        values = default if isinstance(default, tuple) else (default,)
        assert kind.is_list == isinstance(default, tuple), name
        for value in values:
            written = write(value)
            assert kind.parse(name, written) == value


def test_the_file_behind_a_url() -> None:
    assert database_path(Settings(database=DatabaseSettings(url="sqlite:////srv/a.db"))) == Path("/srv/a.db")


def test_defaults_are_the_contract_s() -> None:
    settings = Settings()
    assert (settings.app.host, settings.app.port, settings.app.workers) == ("127.0.0.1", 8514, 1)
    assert settings.proxy.strip_headers == ("host", "x-api-key", "authorization", "x-source-path")
    assert settings.proxy.max_body_size == 32 * 1024 * 1024
    assert settings.audit.body_max_size == 10 * 1024
    assert {"authorization", "x-api-key", "api-key", "cookie", "set-cookie"} <= set(
        settings.audit.redact_headers
    )
