"""How commands are found and explained: imported when called, with examples at the top of their help.

A docstring is the help. What stands below its line `Examples:` is printed first and as it is; the rest
explains, and its first sentence stands in the list of a group. Help is plain text: drawing it with Rich
would cost more time than the whole command.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from inspect import cleandoc
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption
from typer.models import CommandInfo

from fastgate_cli.coercion import lighten_parameters
from fastgate_cli.output import colour_wanted
from proxy.errors import InvalidInputError

if TYPE_CHECKING:
    from typer._click import Command, Context

_EXAMPLES = "Examples:\n"
_SENTENCE = re.compile(r".*?[.](?=\s|$)|.*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class CommandPlace:
    """Where a command or a group of commands lives (`module:name`), and its line in the list of all."""

    target: str
    summary: str


class ExampleCommand(TyperCommand):
    """A command whose help opens with its examples."""

    def get_help_option(self, ctx: Context) -> TyperOption | None:
        """Return the option `-h`."""
        return _lighten(super().get_help_option(ctx))

    def get_help(self, ctx: Context) -> str:
        """Return the help page."""
        return _build_help(self, ctx)

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        """Parse; what is wrong is said of this command."""
        with _explaining_misuse(ctx, args):
            return super().parse_args(ctx, args)


class ExampleGroup(TyperGroup):
    """A group whose help opens with examples, and which alone on a line prints that help.

    Its commands are built when they are asked for: reading the signatures of all would take longer than
    most of them run.
    """

    infos: Mapping[str, CommandInfo] = MappingProxyType({})

    def list_summaries(self) -> Iterator[tuple[str, str]]:
        """Yield the name of each command and what it does, without building it."""
        for name, info in self.infos.items():
            if not info.hidden:
                yield name, _summarise(info.help or getattr(info.callback, "__doc__", "") or "")

    def format_commands(self, ctx: Context, formatter: Any) -> None:  # noqa: ARG002
        """List the commands."""
        with formatter.section("Commands"):
            formatter.write_dl(list(self.list_summaries()))

    def list_commands(self, ctx: Context) -> list[str]:  # noqa: ARG002
        """Return the names, in the order of definition."""
        return list(self.infos)

    def get_command(self, ctx: Context, cmd_name: str) -> Any:
        """Return the command of that name; None if there is none."""
        if cmd_name not in self.commands and cmd_name in self.infos:
            self.commands[cmd_name] = build_command(self.infos[cmd_name])
        return super().get_command(ctx, cmd_name)

    def get_help_option(self, ctx: Context) -> TyperOption | None:
        """Return the option `-h`."""
        return _lighten(super().get_help_option(ctx))

    def get_help(self, ctx: Context) -> str:
        """Return the help page."""
        return _build_help(self, ctx)

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        """Parse; without any argument print the help instead, as `gh` does."""
        if not args and not ctx.resilient_parsing:
            typer.echo(self.get_help(ctx))
            ctx.exit(0)
        with _explaining_misuse(ctx, args):
            return super().parse_args(ctx, args)

    def resolve_command(self, ctx: Context, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Find the command that the first argument names; a mistyped one is answered with its neighbours."""
        name = args[0]
        if name.startswith("-") or ctx.resilient_parsing or name in self.list_commands(ctx):
            return super().resolve_command(ctx, args)
        similar = get_close_matches(name, self.list_commands(ctx), n=3)
        question = f"did you mean {' or '.join(similar)}? " if similar else ""
        raise InvalidInputError(
            f"there is no command {f'{ctx.command_path} {name}'!r}",
            hint=f"{question}'{ctx.command_path} -h' lists the commands",
        )


class LazyGroup(ExampleGroup):
    """The top of the command line: knows what there is, and imports what is called."""

    places: ClassVar[Mapping[str, CommandPlace]] = MappingProxyType({})

    def list_commands(self, ctx: Context) -> list[str]:  # noqa: ARG002
        """Return the names, in the order of the table."""
        return list(self.places)

    def get_command(self, ctx: Context, cmd_name: str) -> Any:
        """Return the command of that name, imported now; None if there is none."""
        if cmd_name not in self.commands and cmd_name in self.places:
            self.commands[cmd_name] = load_command(cmd_name, self.places[cmd_name])
        return super().get_command(ctx, cmd_name)

    def list_summaries(self) -> Iterator[tuple[str, str]]:
        """Yield them from the table alone: help imports none of the commands."""
        for name, place in self.places.items():
            yield name, place.summary


def load_command(name: str, place: CommandPlace) -> TyperCommand | TyperGroup:
    """Import what a place names, a Typer app or a function, and make the command of it."""
    module, _, attribute = place.target.partition(":")
    target = getattr(import_module(module), attribute)
    if isinstance(target, typer.Typer):
        return build_group(target, name)
    return build_command(CommandInfo(name, callback=target))


def build_group(app: typer.Typer, name: str) -> ExampleGroup:
    """Return a Typer app as a group under a name, its help and its errors ours."""
    bare = copy(app)
    bare.registered_commands = []
    bare.info = copy(app.info)
    if not (isinstance(app.info.cls, type) and issubclass(app.info.cls, ExampleGroup)):
        bare.info.cls = ExampleGroup
    group = typer.main.get_group(bare)
    assert isinstance(group, ExampleGroup)
    group.name = name
    group.infos = {_name_of(info): info for info in app.registered_commands}
    lighten_parameters(group.params)
    return group


def build_command(info: CommandInfo) -> TyperCommand:
    """Return one command, its help ours."""
    info = copy(info)
    if not (info.cls and issubclass(info.cls, ExampleCommand)):
        info.cls = ExampleCommand
    command = typer.main.get_command_from_info(info, pretty_exceptions_short=True, rich_markup_mode=None)
    assert isinstance(command, ExampleCommand)
    lighten_parameters(command.params)
    return command


def _name_of(info: CommandInfo) -> str:
    return info.name or typer.main.get_command_name(getattr(info.callback, "__name__", ""))


def _lighten(option: TyperOption | None) -> TyperOption | None:
    lighten_parameters([option] if option else [])
    return option


def split_help(command: Command) -> tuple[str, list[str]]:
    """Return what explains a command, in paragraphs, and the lines of its examples, less their indent."""
    description, _, examples = cleandoc(command.help or "").partition(_EXAMPLES)
    return description.strip(), cleandoc(f"\n{examples}").splitlines()


def write_examples(formatter: Any, lines: Iterable[str]) -> None:
    """Write the examples that a page opens with, their heading bold where that can be seen."""
    heading = "\x1b[1m{}\x1b[0m" if colour_wanted(sys.stdout) else "{}"
    formatter.write(heading.format(_EXAMPLES.strip()) + "\n")
    formatter.write("".join(f"  {line}".rstrip() + "\n" for line in lines) + "\n")


def _summarise(help_text: str) -> str:
    paragraph = cleandoc(help_text).partition(_EXAMPLES)[0].partition("\n\n")[0]
    sentence = _SENTENCE.match(paragraph)
    return " ".join(sentence[0].split()) if sentence else ""


@contextmanager
def _explaining_misuse(ctx: Context, args: Sequence[str]) -> Iterator[None]:
    given = tuple(args)  # the parser takes the list apart
    try:
        yield
    except typer.TyperException as error:
        if getattr(error, "ctx", ctx) is None:
            error.ctx = ctx  # type: ignore[attr-defined]
        if not getattr(error, "possibilities", True):
            _find_long_option(error, given, ctx)
        raise


def _find_long_option(error: Any, given: Sequence[str], ctx: Context) -> None:
    """Name the option that `-source` was meant to be, which a parser reads as -s, -o, -u and so on."""
    letter = error.option_name[1:]
    params = ctx.command.get_params(ctx)
    known = [name for param in params for name in (*param.opts, *param.secondary_opts) if name[:2] == "--"]
    for word in given:
        if len(letter) == 1 and word[:1] == "-" and word[1:2] != "-" and letter in word[1:]:
            name = word.partition("=")[0]
            if similar := get_close_matches(f"-{name}", known, n=1, cutoff=0.8):
                error.message, error.option_name = f"No such option: {name}", name
                error.possibilities = similar
            return


def _build_help(command: TyperCommand | TyperGroup, ctx: Context) -> str:
    description, examples = split_help(command)
    formatter = ctx.make_formatter()
    if examples:
        write_examples(formatter, examples)
    if description:
        formatter.write_text(description)
        formatter.write_paragraph()
    command.format_usage(ctx, formatter)
    command.format_options(ctx, formatter)
    return formatter.getvalue().rstrip("\n")
