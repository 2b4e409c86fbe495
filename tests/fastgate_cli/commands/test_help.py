"""`fastgate help`: topics, commands as their -h explains them, and the manual."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from fastgate_cli.help.topics import TOPICS
from tests.fastgate_cli.examples import every_command

Cli = Callable[..., subprocess.CompletedProcess[str]]
TerminalCli = Callable[..., tuple[int, str]]


def test_without_words_the_topics_are_listed(cli: Cli) -> None:
    done = cli("help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Examples:\n  fastgate help patterns\n")
    for name, topic in TOPICS.items():
        assert f"  {name} " in done.stdout
        assert topic.summary in done.stdout
    assert "'fastgate -h' lists the commands" in done.stdout


def test_topics_is_a_word_for_the_list_of_them(cli: Cli) -> None:
    done = cli("help", "topics")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == cli("help").stdout


@pytest.mark.parametrize("name", TOPICS)
def test_a_topic_is_explained(cli: Cli, name: str) -> None:
    done = cli("help", name)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == "Examples:"
    assert max(map(len, lines)) <= 80
    assert "\n\n\n" not in done.stdout


@pytest.mark.parametrize("path", [ctx.command_path.split()[1:] for ctx in every_command()[1:]], ids=" ".join)
def test_a_command_is_explained_as_by_its_own_option(cli: Cli, path: list[str]) -> None:
    assert cli("help", *path).stdout == cli(*path, "-h").stdout


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (
            ["paterns"],
            "there is no topic and no command 'paterns'",
            "did you mean patterns? 'fastgate help' lists",
        ),
        (["kesy"], "there is no topic and no command 'kesy'", "did you mean keys?"),
        (["zzzzzz"], "there is no topic and no command 'zzzzzz'", "'fastgate help' lists the topics"),
        (["keys", "crate"], "there is no command 'fastgate keys crate'", "did you mean create"),
        (["serve", "now"], "'fastgate serve' has no command 'now'", "'fastgate serve -h' explains it"),
        (["patterns", "more"], "'patterns' is a topic, and has no 'more'", "write 'fastgate help patterns'"),
        (
            ["topics", "patterns"],
            "'topics' lists all topics, and takes no 'patterns'",
            "write 'fastgate help patterns'",
        ),
        (["topisc"], "there is no topic and no command 'topisc'", "did you mean topics"),
        (["--man", "keys"], "the manual is one for everything", "leave out --man, or the words"),
    ],
)
def test_what_cannot_be_explained_is_answered_with_what_can(
    cli: Cli, words: list[str], message: str, hint: str
) -> None:
    done = cli("help", *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {message}\nhint: {hint}")


def test_the_manual_is_printed_whole(cli: Cli) -> None:
    done = cli("help", "--man")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith('.TH "FASTGATE"')
    assert "\\fB\\-\\-install\\-completion\\fR" in done.stdout


def test_help_needs_no_configuration_and_makes_nothing(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "fastgate.yaml").write_text("app: [")
    before = sorted(tmp_path.rglob("*"))
    for words in ([], ["environment"], ["keys", "create"], ["--man"]):
        assert cli("help", *words).returncode == 0
    assert sorted(tmp_path.rglob("*")) == before


def test_the_heading_is_bold_on_a_terminal_that_has_colours(terminal_cli: TerminalCli) -> None:
    assert terminal_cli("help", "times")[1].startswith("\x1b[1mExamples:\x1b[0m\n")
    assert terminal_cli("help", "times", env={"NO_COLOR": "1"})[1].startswith("Examples:\n")


def test_a_long_page_goes_through_the_pager_that_is_named(terminal_cli: TerminalCli) -> None:
    env = {"PAGER": "sed s/^/paged:/"}
    assert "\npaged:  FASTGATE_APP_PORT" in terminal_cli("help", "environment", env=env)[1]
    assert "paged:" not in terminal_cli("help", "limits", "-h", env=env)[1]
    assert "paged:" not in terminal_cli("help", "environment")[1]
