"""What the page says of times is how they are read and printed."""

from __future__ import annotations

from datetime import datetime

import pytest

from fastgate_cli.help.times import (
    LOOKING_AHEAD,
    LOOKING_BACK,
    NOW,
    REFUSED,
    ZONES,
    TimeExample,
    build_page,
)
from proxy.clock import STORAGE_TIMEZONE, parse_moment, parse_timezone
from proxy.errors import InvalidInputError


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=STORAGE_TIMEZONE)


@pytest.mark.parametrize("example", [*LOOKING_BACK, *LOOKING_AHEAD], ids=lambda example: example.text)
def test_a_time_is_the_moment_that_it_says(example: TimeExample) -> None:
    read = parse_moment(example.text, now=at(NOW), zone=STORAGE_TIMEZONE, future=example.future)
    assert read == at(example.moment)


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_said_to_be_no_time_is_none(text: str) -> None:
    with pytest.raises(InvalidInputError):
        parse_moment(text, now=at(NOW), zone=STORAGE_TIMEZONE)


@pytest.mark.parametrize("text", ZONES)
def test_zones_are_written_as_the_page_says(text: str) -> None:
    assert parse_timezone(text)


def test_the_time_that_the_page_prints_is_the_noon_of_its_examples() -> None:
    page = " ".join(block.text for block in build_page().blocks if hasattr(block, "text"))
    assert f"{NOW}.000000+08:00" in page
