"""A setting put into a file or taken out: what was meant, valid, and nothing else changed."""

from __future__ import annotations

import difflib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import ConfigurationError, InvalidInputError
from proxy.settings import Settings, example_text
from proxy.settings.editing import find_setting, set_setting, unset_setting
from proxy.settings.listing import list_settings
from proxy.settings.load import read_settings
from proxy.settings.search import FoundFile

# For each setting values that are valid, written as on a command line.
VALUES: dict[str, list[str]] = {
    "app.name": ["Gate", "no", "1e3", "a: b #c", "'\"", "日本"],
    "app.host": ["0.0.0.0", "::1", "localhost"],
    "app.port": ["0", "9000"],
    "app.timezone": ["+09:00", "UTC"],
    "app.workers": ["4"],
    "app.system_prefix": ["/_gateway", ""],
    "database.url": ["sqlite:///other.db", "sqlite:////var/lib/a b.db"],
    "security.admin_token": ["${TOKEN:-}", "abc", ""],
    "security.default_expiry_days": ["0"],
    "security.trusted_proxies": ["10.0.0.0/8,192.168.0.1", "[]", ""],
    "rate_limiting.enabled": ["no", "false", "true"],
    "logging.level": ["debug"],
    "logging.file": ["/var/log/x", ""],
    "proxy.timeout": ["0.5", "600"],
    "proxy.max_body_size": ["64MB", "1000"],
    "proxy.strip_headers": ["[host, x-a]", "host", "x-a, x-b,host"],
    "audit.redact_headers": ["cookie,x-new,authorization", "[]"],
    "audit.fsync": ["always"],
    "cors.allow_origins": ['[http://a, "*"]', '["*"]', "https://a.b,https://c.d", "${ORIGINS:-https://x.y}"],
}
CHANGES = st.sampled_from([(name, text) for name, texts in VALUES.items() for text in texts])
LAYOUTS = [
    "",
    "# nothing\n",
    "app: {}\n",
    "---\napp:\n  port: 1\n",
    "---\napp:\n  port: 1\n...  # end of it\n# last\n",
    "{app: {port: 1}, cors: {allow_origins: ['*']}}\n",
    "proxy:\n    timeout:   5   # slow\n\n    strip_headers:\n    - host   # a\n    # b\n    - x-a\n# end",
    "app: {name: \"A\", 'port' : 1}  # c\r\n\r\nlogging:\r\n  # d\r\n  level: INFO\r\n",
    'security:\n  admin_token: "${TOKEN:-}"\n  trusted_proxies: [10.0.0.0/8,\n    127.0.0.1]  # e\n',
    '\ufeffcors:\n\n  allow_origins: ["*"]\n\n\n# last\n',
    example_text(),
]


def file_of(text: str) -> FoundFile:
    return FoundFile("f.yaml", Path("/nowhere/f.yaml"), text.encode())


def values_of(settings: Settings) -> dict[str, Any]:
    return {setting.name: setting.value for setting in list_settings(settings)}


def lost_lines(old: FoundFile, new: FoundFile) -> list[str]:
    lines = difflib.ndiff(old.content.decode().splitlines(True), new.content.decode().splitlines(True))
    return [line[2:] for line in lines if line.startswith("- ")]


@given(st.sampled_from(LAYOUTS), st.lists(CHANGES, min_size=1, max_size=4))
def test_whatever_the_layout_only_what_was_meant_changes(layout: str, changes: list[tuple[str, str]]) -> None:
    found = file_of(layout)
    comments = [line for line in layout.splitlines() if line.lstrip().startswith("#")]
    for name, text in changes:
        before = values_of(read_settings(found, {}))
        found, settings = set_setting(found, name, text, {})
        after = values_of(settings)
        assert {other: after[other] for other in after if other != name} == {
            other: before[other] for other in before if other != name
        }
        assert settings.origins[name].startswith("file:")
        again, _ = set_setting(found, name, text, {})
        assert again.content == found.content
        assert after[name] == values_of(read_settings(file_of(plain_file(name, text)), {}))[name]
    kept = found.content.decode().splitlines()
    # The one that stands before an item of a list goes with it.
    assert [line for line in comments if line not in kept] in ([], ["    # b"])


def plain_file(name: str, text: str) -> str:
    """Return a file with one setting, written by hand as JSON has it."""
    section, _, key = name.partition(".")
    kind = find_setting(name)[2]
    value: Any = json.dumps(text)
    if kind.is_list and "$" not in text:
        value = json.dumps([word.strip(' []"') for word in text.split(",") if word.strip(" []")])
    elif kind.scalar_types == {"bool"}:
        value = "false" if text in ("no", "false") else "true"
    elif kind.scalar_types & {"int", "float"} and text[-1].isdigit():
        value = text
    return f"{section}: {{{key}: {value}}}\n"


@given(st.sampled_from(LAYOUTS), CHANGES)
def test_taking_out_what_was_put_in_leaves_the_default(layout: str, change: tuple[str, str]) -> None:
    name, text = change
    found, _ = set_setting(file_of(layout), name, text, {})
    left, settings = unset_setting(found, name, {})
    assert settings.origins[name] == "default"
    again, _ = unset_setting(left, name, {})
    assert again.content == left.content


@pytest.mark.parametrize("name", [name for name in VALUES if name != "audit.redact_headers"])
def test_in_the_example_one_line_changes_and_no_other_byte(name: str) -> None:
    old = file_of(example_text())
    new, _ = set_setting(old, name, VALUES[name][0], {})
    key = name.partition(".")[2]
    assert [line.split(":")[0].strip() for line in lost_lines(old, new)] == [key]
    assert len(new.content.splitlines()) == len(old.content.splitlines())


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        ("app.port", "99999", "f.yaml:2:9: app.port must be a whole number from 0 to 65535, not '99999'"),
        ("app.port", "abc", "f.yaml:2:9: app.port must be a whole number"),
        ("app.port", "0o7", "f.yaml:2:9: app.port must be a whole number"),
        ("app.host", "a b", "f.yaml:3:9: app.host must be a host name"),
        ("cors.enabled", "maybe", "f.yaml:6:12: cors.enabled must be true or false"),
        ("cors.allow_origins", "a\tb", "f.yaml:6:19: "),
        ("app.name", "${NOSUCH}", "f.yaml:2:9: app.name: the environment variable NOSUCH is not set"),
    ],
)
def test_what_would_not_be_valid_is_refused_with_its_place(name: str, text: str, fault: str) -> None:
    found = file_of("app:\n  port: 1\n  host: x\n\ncors:\n")
    with pytest.raises(ConfigurationError) as caught:
        set_setting(found, name, text, {})
    assert str(caught.value.problems[0]).startswith(fault)


def test_another_fault_of_the_file_is_told_and_its_own_is_mended() -> None:
    assert set_setting(file_of("app: {port: x}"), "app.port", "1", {})[1].app.port == 1
    with pytest.raises(ConfigurationError, match=r"f\.yaml:1:7: unknown key 'prot'"):
        set_setting(file_of("app: {prot: 1}"), "cors.enabled", "true", {})
    with pytest.raises(ConfigurationError, match="invalid YAML"):
        set_setting(file_of("app: ["), "app.port", "1", {})


@pytest.mark.parametrize("text", ["{app: {port}}\n", "app: {port}\ncors: {enabled: true}\n"])
def test_a_file_that_is_written_beyond_what_can_be_changed_is_left_alone(text: str) -> None:
    with pytest.raises(InvalidInputError):
        set_setting(file_of(text), "app.port", "9", {})


def test_a_change_that_would_take_others_along_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="cannot be changed here"):
        unset_setting(file_of("app:\r  port: 1\r  host: x\r"), "app.port", {})


def test_a_secret_is_in_no_message() -> None:
    with pytest.raises(ConfigurationError) as caught:
        set_setting(file_of(""), "security.admin_token", "hunter2 é", {})
    assert "hunter2" not in str(caught.value) + caught.value.hint


def test_a_list_that_is_none_is_refused() -> None:
    for text in ("[a", "[[a]]", "[a]: b", "[a] b"):
        with pytest.raises(InvalidInputError, match=r"proxy\.strip_headers is not a list"):
            set_setting(file_of(""), "proxy.strip_headers", text, {})


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("app.prot", "did you mean app.port?"),
        ("port", "did you mean app.port?"),
        ("enabled", "did you mean rate_limiting.enabled or audit.enabled or cors.enabled?"),
        ("app", "name one of app.name, app.host"),
        ("xyz", "'fastgate config show' lists"),
    ],
)
def test_what_is_no_setting_is_answered_with_what_was_meant(name: str, hint: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        find_setting(name)
    assert caught.value.hint.startswith(hint)
