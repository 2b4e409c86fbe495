"""Commands are imported when called, and their help opens with examples."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import ClassVar

import pytest
import typer

from fastgate_cli.groups import (
    CommandPlace,
    ExampleCommand,
    ExampleGroup,
    LazyGroup,
    build_group,
    load_command,
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
