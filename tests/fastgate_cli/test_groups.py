"""Commands are imported when called, and their help opens with examples."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, ClassVar

import pytest
import typer

from fastgate_cli.groups import (
    CommandPlace,
    ExampleCommand,
    ExampleGroup,
    LazyGroup,
    build_group,
    load_command,
    split_help,
)
from proxy.errors import InvalidInputError


class Group(LazyGroup):
    """A table of one command that can be imported and one that cannot."""

    places: ClassVar[Mapping[str, CommandPlace]] = {
        "path": CommandPlace("fastgate_cli.commands.db:show_path", "Where it is."),
        "keys": CommandPlace("fastgate_cli.commands.keys:app", "Keys."),
        "absent": CommandPlace("fastgate_cli.commands.no_such_module:app", "Never imported."),
    }


@pytest.fixture
def group() -> LazyGroup:
    """The group, as the command line has it."""
    app = typer.Typer(cls=Group, add_completion=False)

    @app.callback()
    def start() -> None:
        """All of it.

        Examples:
          program path
        """

    built = build_group(app, "program")
    assert isinstance(built, LazyGroup)
    return built


def run(group: LazyGroup, *arguments: str) -> int:
    """Return the exit code of a command line."""
    try:
        with group.make_context("program", list(arguments)) as ctx:
            group.invoke(ctx)
    except typer.Exit as leaving:
        return leaving.exit_code
    return 0


def test_help_lists_commands_without_importing_them(
    group: LazyGroup, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(group) == 0
    page = capsys.readouterr().out
    assert page.startswith("Examples:\n  program path\n")
    assert "absent  Never imported." in page
    assert "fastgate_cli.commands.no_such_module" not in sys.modules


def test_a_function_becomes_a_command_with_examples_first(
    group: LazyGroup, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(group, "path", "--help") == 0
    page = capsys.readouterr().out
    assert page.startswith("Examples:\n  sqlite3")
    assert page.index("Print the path") < page.index("Usage: program path") < page.index("Options:")


def test_commands_of_a_group_are_built_when_asked_for() -> None:
    command = load_command("keys", Group.places["keys"])
    assert isinstance(command, ExampleGroup)
    assert (command.name, command.commands) == ("keys", {})
    ctx = typer.Context(command)
    for name in command.list_commands(ctx):
        assert isinstance(command.get_command(ctx, name), ExampleCommand)
    assert list(command.commands) == [
        "create",
        "list",
        "show",
        "update",
        "rotate",
        "enable",
        "disable",
        "delete",
        "sources",
    ]
    assert command.get_command(ctx, "nosuch") is None


def test_a_mistyped_command_is_answered_with_its_neighbours(group: LazyGroup) -> None:
    with pytest.raises(InvalidInputError) as caught:
        run(group, "kyes")
    assert caught.value.message == "there is no command 'program kyes'"
    assert "did you mean keys?" in caught.value.hint


@pytest.fixture
def tools() -> ExampleGroup:
    """A group of two commands, one of which nobody is told of."""
    app = typer.Typer(help="Tools.\n\nExamples:\n  program tool")

    @app.command("tool")
    def tool(source: str = typer.Option("", "--source"), short: bool = typer.Option(False, "-s")) -> None:
        """Do what a tool of version 0.2 does, and whatever else may be needed by anybody at any
        time; all of it at once. It takes long.

        Examples:
          program tool
            --source x

          program tool -s
        """

    app.command("secret", hidden=True)(lambda: None)
    return build_group(app, "program")


def test_the_list_of_commands_has_their_first_sentences_whole(tools: ExampleGroup) -> None:
    sentence = (
        "Do what a tool of version 0.2 does, and whatever else may be needed by anybody at any time; "
        "all of it at once."
    )
    assert list(tools.list_summaries()) == [("tool", sentence)]
    page = " ".join(tools.get_help(typer.Context(tools, info_name="program")).split())
    assert page.endswith(f"Commands: tool {sentence}")
    assert tools.commands == {}


def test_a_docstring_is_an_explanation_and_lines_of_examples(tools: ExampleGroup) -> None:
    description, examples = split_help(tools.get_command(typer.Context(tools), "tool"))
    assert description.startswith("Do what")
    assert description.endswith("It takes long.")
    assert examples == ["program tool", "  --source x", "", "program tool -s"]


@pytest.mark.parametrize(
    ("arguments", "name", "meant"),
    [
        (["-sorce", "x"], "-sorce", ["--source"]),
        (["-source=x"], "-source", ["--source"]),
        (["--sorce", "x"], "--sorce", ["--source"]),
        (["-x"], "-x", None),
        (["-sx"], "-x", None),
    ],
)
def test_an_option_that_is_mistyped_is_answered_with_what_was_meant(
    tools: ExampleGroup, arguments: list[str], name: str, meant: list[str] | None
) -> None:
    command = tools.get_command(typer.Context(tools), "tool")
    with pytest.raises(typer.TyperException) as caught:
        command.make_context("tool", arguments)
    assert getattr(caught.value, "option_name", None) == name
    assert getattr(caught.value, "possibilities", None) == meant


def test_an_error_belongs_to_the_command_that_it_is_about(tools: ExampleGroup) -> None:
    command = tools.get_command(typer.Context(tools), "tool")
    with pytest.raises(typer.TyperException) as caught:
        command.make_context("tool", ["--source"])
    context: Any = getattr(caught.value, "ctx", None)
    assert context.info_name == "tool"
