"""Every topic has a page, and what pages name exists: commands, options, settings and other pages."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
from typer.core import TyperOption

from fastgate_cli.help.page import Lines, Page, Rows, Text
from fastgate_cli.help.text import format_blocks
from fastgate_cli.help.topics import TOPICS
from fastgate_cli.main import FastGateGroup
from proxy.settings.model import SECTIONS, section_keys
from tests.fastgate_cli.examples import every_command, find_calls, parse_call

COLUMNS = 80
WIDTH = 78  # what is wrapped on such a terminal
SETTINGS = {f"{section}.{key}" for section in SECTIONS for key, _, _ in section_keys(section)}
OPTIONS = {
    name
    for ctx in every_command()
    for param in ctx.command.get_params(ctx)
    if isinstance(param, TyperOption)
    for name in (*param.opts, *param.secondary_opts)
}


@pytest.fixture(params=TOPICS)
def page(request: pytest.FixtureRequest) -> Page:
    """Each page."""
    return TOPICS[request.param].build_page()


def texts_of(page: Page) -> Iterator[str]:
    for block in page.blocks:
        match block:
            case Text():
                yield block.text
            case Rows():
                yield from (f"{term} {meaning}" for term, meaning in block.rows)
            case Lines():
                yield from block.lines


def test_a_page_fits_80_columns_and_opens_with_examples(page: Page) -> None:
    assert page.examples
    assert [line for line in page.examples if len(line) > COLUMNS - len("  ")] == []
    assert [line for line in format_blocks(page, WIDTH).splitlines() if len(line) > WIDTH] == []


def test_examples_of_a_page_parse(page: Page) -> None:
    calls = list(find_calls(page.examples))
    assert calls
    for call in calls:
        if call:  # without arguments it is a question of the shell
            parse_call(call)


def test_commands_that_a_page_names_exist(page: Page) -> None:
    named = [quoted for text in texts_of(page) for quoted in re.findall(r"'fastgate ([^']+)'", text)]
    paths = {ctx.command_path.removeprefix("fastgate ") for ctx in every_command()}
    for words in named:
        command, _, option = words.partition(" -")
        topic = command.removeprefix("help ")
        assert command in paths or (topic != command and topic in TOPICS), words
        assert not option or f"-{option}" in OPTIONS


def test_options_that_a_page_names_exist(page: Page) -> None:
    for text in texts_of(page):
        assert set(re.findall(r"(?<![\w:-])--?[a-z][a-z-]*", text)) - OPTIONS == set(), text


def test_settings_that_a_page_names_exist(page: Page) -> None:
    sections = "|".join(SECTIONS)
    for text in texts_of(page):
        named = set(re.findall(rf"(?<![\w./])(?:{sections})\.[a-z_]+", text))
        assert named - SETTINGS == set(), text


def test_topics_are_no_commands_and_have_short_summaries() -> None:
    assert not set(TOPICS) & set(FastGateGroup.places)
    for name, topic in TOPICS.items():
        assert re.fullmatch(r"[a-z-]+", name)
        assert re.fullmatch(r"[A-Z].{1,59}\.", topic.summary)


def test_the_topics_that_everybody_needs_are_there() -> None:
    wanted = "patterns permissions filters exit-codes environment output times bodies references limits"
    assert set(shlex.split(wanted)) <= set(TOPICS)


def test_checks_of_names_can_fail() -> None:
    wrong: Any = Page((), [Text("See 'fastgate nosuch', --nosuch and app.nosuch.")])
    for check in (
        test_commands_that_a_page_names_exist,
        test_options_that_a_page_names_exist,
        test_settings_that_a_page_names_exist,
    ):
        with pytest.raises(AssertionError):
            check(wrong)
