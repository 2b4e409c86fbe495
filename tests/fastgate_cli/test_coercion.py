"""Arguments of plain types become values without pydantic; wrong ones are errors that say why."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import typer

from fastgate_cli.coercion import PlainArgument, PlainOption
from fastgate_cli.groups import build_group


def run(*arguments: str) -> dict[str, Any]:
    """Return what a command of every plain type is called with."""
    seen: dict[str, Any] = {}
    app = typer.Typer(add_completion=False)

    @app.callback()
    def start() -> None:
        """Make it a group."""

    @app.command("go")
    def go(
        words: Annotated[list[str] | None, typer.Argument()] = None,
        text: Annotated[str, typer.Option("--text")] = "t",
        texts: Annotated[list[str] | None, typer.Option("--texts")] = None,
        whole: Annotated[int | None, typer.Option("--whole", min=0, max=9)] = None,
        part: Annotated[float, typer.Option("--part", min=0)] = 0.5,
        path: Annotated[Path | None, typer.Option("--path")] = None,
        choice: Annotated[Literal["a", "b"] | None, typer.Option("--choice")] = None,
        flag: Annotated[bool, typer.Option("--flag")] = False,
        both: Annotated[bool | None, typer.Option("--yes/--no")] = None,
    ) -> None:
        seen.update(locals())

    group = build_group(app, "program")
    for parameter in group.get_command(typer.Context(group), "go").params:
        assert isinstance(parameter, PlainOption | PlainArgument)
    with group.make_context("program", ["go", *arguments]) as ctx:
        group.invoke(ctx)
    seen.pop("seen", None)
    return seen


def test_what_is_not_given_is_the_default() -> None:
    assert run() == {
        "words": None,
        "text": "t",
        "texts": None,
        "whole": None,
        "part": 0.5,
        "path": None,
        "choice": None,
        "flag": False,
        "both": None,
    }


def test_what_is_given_has_its_type() -> None:
    line = "x y --text= --texts a --texts b --whole 9 --part 2 --path /p --choice b --flag --no"
    given = line.split()
    assert run(*given) == {
        "words": ["x", "y"],
        "text": "",
        "texts": ["a", "b"],
        "whole": 9,
        "part": 2.0,
        "path": Path("/p"),
        "choice": "b",
        "flag": True,
        "both": False,
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--whole", "10"], "'--whole': 10 is more than 9"),
        (["--whole", "-1"], "'--whole': -1 is less than 0"),
        (["--whole", "1.5"], "'--whole': '1.5' is not a whole number"),
        (["--part", "much"], "'--part': 'much' is not a number"),
        (["--part", "nan"], "'--part': nan is less than 0"),
        (["--choice", "c"], "'--choice': 'c' is not one of a, b"),
    ],
)
def test_a_wrong_value_is_an_error_that_says_why(arguments: list[str], message: str) -> None:
    with pytest.raises(typer.BadParameter) as caught:
        run(*arguments)
    assert caught.value.format_message() == f"Invalid value for {message}"


def test_help_says_bounds_in_words_and_arguments_without_types() -> None:
    app = typer.Typer(add_completion=False)

    @app.callback()
    def start() -> None:
        """Make it a group."""

    @app.command("go")
    def go(
        names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Names.")],
        low: Annotated[int, typer.Option("--low", min=1)] = 2,
        high: Annotated[float | None, typer.Option("--high", max=9)] = None,
        both: Annotated[int | None, typer.Option("--both", min=0, max=9)] = None,
        free: Annotated[int | None, typer.Option("--free")] = None,
    ) -> None:
        pass

    group = build_group(app, "program")
    command = group.get_command(typer.Context(group), "go")
    ctx = typer.Context(command, info_name="go")
    records = dict(filter(None, (param.get_help_record(ctx) for param in command.params)))
    assert records == {
        "NAME...": "Names.  [required]",
        "--low <int range>": "[default: 2; 1 or more]",
        "--high <float range>": "[at most 9]",
        "--both <int range>": "[0 to 9]",
        "--free <int>": "",
    }
    assert command.get_usage(ctx) == "Usage: go [OPTIONS] NAME..."
