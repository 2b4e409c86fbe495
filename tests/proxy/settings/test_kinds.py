"""What the text of a setting may be."""

from __future__ import annotations

from datetime import timedelta, timezone
from ipaddress import ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import InvalidInputError
from proxy.settings import kinds
from proxy.settings.kinds import Metadata


def parse(metadata: Metadata, text: str) -> object:
    return metadata["kind"].parse("app.key", text)


@pytest.mark.parametrize(
    ("metadata", "text", "expected"),
    [
        (kinds.flag(), "true", True),
        (kinds.flag(), "Off", False),
        (kinds.flag(), "0", False),
        (kinds.whole_number(0, 65535), "0", 0),
        (kinds.whole_number(0, 65535), "65535", 65535),
        (kinds.seconds(), "0.5", 0.5),
        (kinds.seconds(zero=True), "0", 0.0),
        (kinds.size(), "0", 0),
        (kinds.size(), "17", 17),
        (kinds.size(), "17B", 17),
        (kinds.size(), "10KB", 10 * 1024),
        (kinds.size(), "10 kib", 10 * 1024),
        (kinds.size(), "32M", 32 * 1024 * 1024),
        (kinds.size(), "1GB", 1024**3),
        (kinds.one_of("INFO", "DEBUG"), "debug", "DEBUG"),
        (kinds.utc_offset(), "-03:30", timezone(-timedelta(hours=3, minutes=30))),
        (kinds.utc_offset(), "UTC", timezone(timedelta(0))),
        (kinds.path(), "a/b", Path("a/b")),
        (kinds.optional_path(), "", None),
        (kinds.header_names(), "X-API-Key", "x-api-key"),
        (kinds.networks(), "10.0.0.0/8", ip_network("10.0.0.0/8")),
        (kinds.networks(), "::1", ip_network("::1/128")),
        *(
            (kinds.origins(), origin, origin)
            for origin in (
                "*",
                "null",
                "https://app.example.com",
                "https://App.example.com:8443/",
                "http://localhost:*",
                "http://[::1]:3000",
                "http://10.0.0.1",
                "https://*.example.com",
                "https://*.example.com:8443",
                "https://*",
                "chrome-extension://*",
                "chrome-extension://jfaaddlfjbohmgkelkjbemkjnhbfjflf",
                "tauri://localhost",
            )
        ),
        (kinds.secret(), "", ""),
        (kinds.secret(), "tok!en~", "tok!en~"),
        (kinds.sqlite_url(), "sqlite:///a/b.db", "sqlite:///a/b.db"),
        (kinds.sqlite_url(), "sqlite:////a/b.db", "sqlite:////a/b.db"),
    ],
)
def test_reads(metadata: Metadata, text: str, expected: object) -> None:
    value = parse(metadata, text)
    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize(
    ("metadata", "text"),
    [
        (kinds.flag(), ""),
        (kinds.flag(), "maybe"),
        (kinds.whole_number(0, 65535), "-1"),
        (kinds.whole_number(0, 65535), "65536"),
        (kinds.whole_number(0, 65535), "1.0"),
        (kinds.whole_number(0, 65535), "0x10"),
        (kinds.whole_number(0, 65535), "9" * 5000),
        (kinds.seconds(), "0"),
        (kinds.seconds(), "-1"),
        (kinds.seconds(), "nan"),
        (kinds.seconds(), "inf"),
        (kinds.seconds(), "1e300"),
        (kinds.seconds(zero=True), "-0.1"),
        (kinds.size(), "-1"),
        (kinds.size(), "1.5MB"),
        (kinds.size(), "1TB"),
        (kinds.size(), "MB"),
        (kinds.size(), "9999GB"),
        (kinds.plain_text(), ""),
        (kinds.plain_text(), "two\nlines"),
        (kinds.plain_text(), "bell\a"),
        (kinds.one_of("INFO", "DEBUG"), "LOUD"),
        (kinds.utc_offset(), "Europe/Paris"),
        (kinds.utc_offset(), "+25:00"),
        (kinds.path(), ""),
        (kinds.header_names(), "x api key"),
        (kinds.header_names(), "host:"),
        (kinds.networks(), "10.0.0.1/8"),
        (kinds.networks(), "example.org"),
        *(
            (kinds.origins(), text)
            for text in (
                "",
                "app.example.com",
                "*.example.com",
                "localhost:3000",
                "https://",
                "https://app.example.com/path",
                "https://app.example.com/?a",
                "https://app.example.com//",
                "https://app.example.com:",
                "https://app.example.com:https",
                "https://user@app.example.com",
                "https://app.*.com",
                "https://*example.com",
                "https://*.*.example.com",
                "https://*:8443",
                "https://a.example, https://b.example",
                "https://b\u00fccher.example",
                "http*://app.example.com",
                "chrome-extension://a*",
                "file://",
                "**",
            )
        ),
        (kinds.secret(), "two words"),
        (kinds.secret(), "newline\n"),
        (kinds.secret(), "schlüssel"),
        (kinds.sqlite_url(), "sqlite:///:memory:"),
        (kinds.sqlite_url(), "sqlite:///"),
        (kinds.sqlite_url(), "sqlite://"),
        (kinds.sqlite_url(), "sqlite:///folder/"),
        (kinds.sqlite_url(), "sqlite:///a.db?mode=ro"),
        (kinds.sqlite_url(), "a.db"),
        (kinds.sqlite_url(), "postgresql://me@host/db"),
    ],
)
def test_refuses(metadata: Metadata, text: str) -> None:
    with pytest.raises(InvalidInputError, match=r"app\.key must be"):
        parse(metadata, text)


def test_a_refusal_says_what_was_found() -> None:
    with pytest.raises(InvalidInputError, match=r"^app\.key must be a whole number from 1 to 64, not '65'$"):
        parse(kinds.whole_number(1, 64), "65")


def test_a_long_value_is_cut_in_a_refusal() -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse(kinds.flag(), "x" * 10_000)
    assert len(caught.value.message) < 200


@pytest.mark.parametrize("metadata", [kinds.secret(), kinds.sqlite_url()])
def test_what_may_be_secret_is_never_in_a_refusal(metadata: Metadata) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse(metadata, "postgresql://me:hunter2 @host")
    assert "hunter2" not in str(caught.value)


def test_a_list_in_one_text_is_split_at_commas() -> None:
    kind = kinds.header_names()["kind"]
    assert kind.parse_whole("a", "Host, X-Api-Key,,") == ("host", "x-api-key")
    assert kind.parse_whole("a", "") == ()


def test_a_text_that_is_no_list_is_taken_whole() -> None:
    assert kinds.plain_text()["kind"].parse_whole("a", "one, two") == ("one, two",)


@given(
    st.integers(min_value=0, max_value=1000), st.sampled_from([("", 0), ("KB", 10), ("MB", 20), ("GB", 30)])
)
def test_a_size_is_its_number_times_its_unit(number: int, unit: tuple[str, int]) -> None:
    assert parse(kinds.size(), f"{number}{unit[0]}") == number << unit[1]


@given(st.text(max_size=30))
def test_reading_raises_nothing_but_its_own_error(text: str) -> None:
    every = [kinds.flag(), kinds.whole_number(0, 9), kinds.seconds(), kinds.size(), kinds.plain_text()]
    every += [kinds.secret(), kinds.utc_offset(), kinds.networks(), kinds.path(), kinds.sqlite_url()]
    for metadata in every:
        try:
            parse(metadata, text)
        except InvalidInputError:
            continue
