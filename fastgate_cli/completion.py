"""What the shell is told when somebody presses Tab: commands, options, and what is there to be named.

Typer's scripts ask, and shells.py spells the answer; here it is found. Whatever goes wrong is silence, for
the shell is in the middle of a line. Nothing is written, and no command is run.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typer.core import TyperGroup, TyperOption

from fastgate_cli.context import Invocation
from fastgate_cli.shells import SHELLS, Candidate, Line

if TYPE_CHECKING:
    from typer._click import Context

    from fastgate_cli.groups import ExampleGroup

_ASKING = "complete_"
_FISH_ACTION = "_TYPER_COMPLETE_FISH_ACTION"
_PATH_METAVARS = ("FILE", "[FILE]")


@dataclass(frozen=True, slots=True)
class Slot:
    """Where the cursor is: in the value of `param`, or, without one, where commands or options stand.

    `before` is what stands before the value in the same word (`--key=`).
    """

    ctx: Context
    incomplete: str
    param: Any = None
    before: str = ""

    @property
    def takes_files(self) -> bool:
        """Tell whether a path is wanted, which the shell completes better."""
        if self.param is None:
            return False
        return self.param.type_descriptor.annotation is Path or self.param.metavar in _PATH_METAVARS


def answer_shell(group: ExampleGroup, name: str, asked: str, environ: Mapping[str, str]) -> int:
    """Print what the shell asks for, such as `complete_bash`, and return the exit code."""
    shell = SHELLS.get(asked.removeprefix(_ASKING)) if asked.startswith(_ASKING) else None
    try:
        if shell is None:
            group.main(prog_name=name)  # Typer prints its scripts, answers other shells, and exits
            return 0
        line = shell.read(environ)
        slot = find_slot(group, name, line, environ)
        takes_files = slot is not None and slot.takes_files
        if environ.get(_FISH_ACTION) == "is-args":
            return int(takes_files)  # with 0 fish asks again, with 1 it completes files
        candidates = [] if slot is None or takes_files else list_candidates(slot)
        text = shell.files if takes_files else shell.write(candidates, line)
        sys.stdout.write(f"{text}\n" if text else "")
        sys.stdout.flush()
    except (Exception, KeyboardInterrupt):
        if environ.get("FASTGATE_DEBUG"):
            raise
        return 1
    return 0


def find_slot(group: ExampleGroup, name: str, line: Line, environ: Mapping[str, str]) -> Slot | None:
    """Return where the cursor is; None if nothing can stand there."""
    ctx = _follow_words(group, name, line.words)
    if ctx is None:
        return None
    _name_configuration(ctx.find_root(), environ)
    are_options_over = "--" in line.words
    if line.incomplete.startswith("-") and not are_options_over:
        option, equals, value = line.incomplete.partition("=")
        if not equals:
            return Slot(ctx, line.incomplete)
        param = _find_option(ctx, option)
        return Slot(ctx, value, param, f"{option}=") if param else None
    param = _find_option(ctx, line.words[-1]) if line.words and not are_options_over else None
    param = param or _find_argument(ctx)
    return Slot(ctx, line.incomplete, param) if param or isinstance(ctx.command, TyperGroup) else None


def list_candidates(slot: Slot) -> Iterator[Candidate]:
    """Yield what could stand there and begins as typed, but nothing that the line holds already."""
    if slot.param is not None:
        given = slot.ctx.params.get(slot.param.name)
        for item in slot.param.shell_complete(slot.ctx, slot.incomplete):
            if not isinstance(given, list | tuple) or item.value not in given:
                yield Candidate(slot.before + item.value, item.help or "")
        return
    command: Any = slot.ctx.command
    pairs = _list_options(slot.ctx) if slot.incomplete.startswith("-") else command.list_summaries()
    for word, description in pairs:
        if word.startswith(slot.incomplete):
            yield Candidate(word, description)


def _follow_words(group: ExampleGroup, name: str, words: Sequence[str]) -> Context | None:
    """Return the context of the command that the words lead to; None if there is no such command."""
    command: Any = group
    ctx: Context | None = None
    rest = list(words)
    while True:
        ctx = command.make_context(name, rest, parent=ctx, resilient_parsing=True)
        rest = [*ctx._protected_args, *ctx.args]
        if not isinstance(command, TyperGroup) or not rest:
            return ctx
        name, command, rest = command.resolve_command(ctx, rest)  # type: ignore[assignment]
        if command is None:
            return None


def _name_configuration(root: Context, environ: Mapping[str, str]) -> None:
    """Have the completions work with the configuration that the line names; nobody has expanded it yet."""
    config = root.params.get("config")
    root.obj = Invocation(Path(os.path.expandvars(config)) if config else None, environ)


def _find_option(ctx: Context, name: str) -> Any:
    """Return the option of that name that takes a value, or None."""
    for param in ctx.command.get_params(ctx):
        if isinstance(param, TyperOption) and name in param.opts and not param.is_flag:
            return param
    return None


def _find_argument(ctx: Context) -> Any:
    """Return the argument that comes next, or None."""
    for param in ctx.command.params:
        if not isinstance(param, TyperOption) and (param.nargs == -1 or ctx.params.get(param.name) is None):
            return param
    return None


def _list_options(ctx: Context) -> Iterator[tuple[str, str]]:
    for param in ctx.command.get_params(ctx):
        source = ctx.get_parameter_source(param.name)
        is_given = source is not None and source.name == "COMMANDLINE"
        if isinstance(param, TyperOption) and not param.hidden and (param.multiple or not is_given):
            for name in (*param.opts, *param.secondary_opts):
                yield name, param.help or ""
