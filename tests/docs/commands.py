"""The real command line, as the tests of the documents look at it: what there is, and what parses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import typer
from typer.core import TyperGroup

from fastgate_cli.groups import build_group
from fastgate_cli.main import PROGRAM, app


def list_commands() -> dict[str, Any]:
    """Return every command that is no group by its words, as `keys create`, and the program itself as ''."""
    root = build_group(app, PROGRAM)
    with root.make_context(PROGRAM, [], resilient_parsing=True) as ctx:
        root.params += typer.main.get_install_completion_arguments()
        return {"": root, **dict(_walk(root, ctx, ""))}


def name_commands() -> set[str]:
    """Return the words of every command and of every group."""
    commands = [name.split() for name in list_commands()]
    return {" ".join(words[:count]) for words in commands for count in range(1, len(words) + 1)}


def option_names(command: Any) -> Iterator[tuple[str, ...]]:
    """Yield the names of each thing that can be said with an option; any of them says it.

    A switch such as `--disabled/--enabled` is two things, unless the second only has `no-` in it.
    """
    for parameter in command.params:
        if parameter.param_type_name != "option":
            continue
        others = tuple(name for name in parameter.secondary_opts if not name.startswith("--no-"))
        yield tuple(parameter.opts)
        if others:
            yield others


def parse_line(words: Sequence[str]) -> None:
    """Parse a line, without the program's name, as the program would; raises what it would tell."""
    if len(words) == 1 and words[0] in _global_options():
        return  # these act while they are parsed: one of them writes into the home folder
    group: TyperGroup = build_group(app, PROGRAM)
    with suppress(typer.Exit), group.make_context(PROGRAM, list(words)) as ctx:
        _descend(group, ctx)


def _global_options() -> set[str]:
    return {name for names in option_names(list_commands()[""]) for name in names}


def _walk(group: TyperGroup, ctx: Any, before: str) -> Iterator[tuple[str, Any]]:
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        words = f"{before} {name}".strip()
        if isinstance(command, TyperGroup):
            yield from _walk(command, ctx, words)
        else:
            yield words, command


def _descend(group: TyperGroup, ctx: Any) -> None:
    name, command, rest = group.resolve_command(ctx, [*ctx._protected_args, *ctx.args])
    assert command is not None
    with command.make_context(name, rest, parent=ctx) as inner:
        if isinstance(command, TyperGroup):
            _descend(command, inner)
