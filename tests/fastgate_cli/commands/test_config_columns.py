"""How a setting is named and printed."""

from __future__ import annotations

import pytest

from fastgate_cli.commands.config_columns import (
    complete_settings,
    describe_setting,
    print_setting,
    shorten_origin,
    style_origin,
)
from fastgate_cli.output import OutputOptions
from proxy.settings.listing import Listed

SETTING = Listed("proxy.strip_headers", ["host", "x-a"], "host, x-a", "/etc/fastgate/fastgate.yaml:7")


def test_names_are_completed() -> None:
    assert complete_settings("app.po") == [("app.port", "a whole number from 0 to 65535")]
    assert complete_settings("nosuch") == []
    assert ("cors.enabled", "true or false") in complete_settings("")


def test_an_origin_is_short_for_people() -> None:
    assert shorten_origin(SETTING.origin) == "fastgate.yaml:7"
    assert shorten_origin("environment:APP_PORT") == "environment:APP_PORT"
    assert (style_origin("default"), style_origin(SETTING.origin)) == ("dim", "")


def test_a_value_is_printed_alone_unless_a_format_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    print_setting(SETTING, OutputOptions())
    assert capsys.readouterr().out == '["host", "x-a"]\n'
    print_setting(SETTING, OutputOptions("tsv", ("setting",)))
    assert capsys.readouterr().out == "setting\nproxy.strip_headers\n"


def test_an_empty_text_is_shown_as_none() -> None:
    assert describe_setting(Listed("logging.file", "", "", "default"))["text"] is None
