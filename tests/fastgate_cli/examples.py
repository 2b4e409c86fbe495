"""The examples of help as what they are, command lines: found in lines for a shell, and parsed, never run."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import typer

from fastgate_cli.groups import ExampleGroup, build_group
from fastgate_cli.help.manual import walk_commands
from fastgate_cli.main import PROGRAM, app

_CALL = re.compile(rf"(?<![^\s(]){PROGRAM}(?![^\s)])")
_SHELL_SYNTAX = frozenset("();<>|&")


def build_root() -> Any:
    """Return the context of the whole program, with the options that stand before a command."""
    group = build_group(app, PROGRAM)
    group.params += typer.main.get_install_completion_arguments()
    return typer.Context(group, info_name=PROGRAM, help_option_names=["-h", "--help"])


def every_command() -> list[Any]:
    """Return the contexts of the program, its groups and its commands."""
    return list(walk_commands(build_root()))


def find_calls(lines: Iterable[str]) -> Iterator[list[str]]:
    """Yield the arguments of every call of the program in lines that a shell would run."""
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        code = re.sub(r"(^|\s)(#.*|\d(?=>))", " ", line)  # less comments, and the numbers of redirections
        for match in _CALL.finditer(code):
            yield _read_call(code[match.end() :])


def _read_call(text: str) -> list[str]:
    lexer = shlex.shlex(text, posix=True, punctuation_chars=True)
    lexer.whitespace_split, lexer.commenters = True, ""
    arguments: list[str] = []
    for token in lexer:
        if _SHELL_SYNTAX.issuperset(token):
            break
        arguments.append(token)
    return arguments


def parse_call(arguments: Sequence[str]) -> None:
    """Parse a command line as it would be before it is run; raise as the program would."""
    ctx = build_root()
    if arguments and _acts_at_once(ctx, arguments[0]):
        return
    rest = list(arguments)
    command: Any = ctx.command
    name: str | None = PROGRAM
    ctx = None
    while command is not None and (rest or not isinstance(command, ExampleGroup)):
        ctx = command.make_context(name, rest, parent=ctx, help_option_names=["-h", "--help"])
        if not isinstance(command, ExampleGroup):
            return
        name, command, rest = command.resolve_command(ctx, [*ctx._protected_args, *ctx.args])


def _acts_at_once(ctx: Any, word: str) -> bool:
    """Tell whether it is an option such as `--version`, which acts when it is parsed."""
    return any(word in param.opts and param.is_eager for param in ctx.command.get_params(ctx)) or word in (
        "--install-completion",
        "--show-completion",
    )
