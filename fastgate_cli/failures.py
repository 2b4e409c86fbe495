"""How a command fails: which exit code an error has, and how it reads on stderr.

Everything that can end a command badly comes through `report_failure`, so that all errors have one form:
`error:` and `hint:` lines, or one JSON object. A traceback is added only when FASTGATE_DEBUG asks for it.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from typer import TyperException
from typer.core import TyperGroup

from fastgate_cli.columns import escape_controls, escape_json
from fastgate_cli.output import colour_wanted
from proxy.errors import (
    ConfigurationError,
    ConflictError,
    DatabaseError,
    FastGateError,
    InvalidInputError,
    JournalError,
    NotFoundError,
    UpstreamError,
)


class UnwrittenError(FastGateError):
    """Something was done, and what it came to could not be written to standard output."""


FAILED = 1
MISUSED = 2
NOT_FOUND = 3
UNREACHABLE = 4
INTERRUPTED = 130
BROKEN_PIPE = 141
_EXIT_CODES: tuple[tuple[type[FastGateError], int], ...] = (
    (InvalidInputError, MISUSED),
    (ConflictError, MISUSED),
    (NotFoundError, NOT_FOUND),
    (DatabaseError, UNREACHABLE),
    (JournalError, UNREACHABLE),
    (UpstreamError, UNREACHABLE),
)
_SIMILARITY_MIN = 0.7  # of what was typed to what may have been meant; the library names the far-fetched too
# What stands before the command, and how it is written there.
_ROOT_OPTIONS: Mapping[str, str] = {
    "-c": "-c FILE ",
    "--config": "--config FILE ",
    "--version": "--version",
    "--install-completion": "--install-completion",
    "--show-completion": "--show-completion",
}


@dataclass(frozen=True, slots=True)
class Failure:
    """What is told of an error, free of the type that carried it."""

    exit_code: int
    code: str
    messages: tuple[str, ...]
    hint: str = ""


def report_failure(error: Exception, *, as_json: bool, environ: Mapping[str, str]) -> int:
    """Tell the error on stderr and return the exit code."""
    failure = describe_failure(error)
    if environ.get("FASTGATE_DEBUG") and environ["FASTGATE_DEBUG"] != "0":
        traceback.print_exception(error, file=sys.stderr)
    lines = [_as_json(failure)] if as_json else _as_text(failure, coloured=colour_wanted(sys.stderr))
    sys.stderr.write("\n".join(lines) + "\n")
    sys.stderr.flush()
    return failure.exit_code


def describe_failure(error: Exception) -> Failure:
    """Return what to tell of an error; one that nobody foresaw is an internal error."""
    if isinstance(error, ConfigurationError):
        problems = tuple(str(problem) for problem in error.problems) or (error.message,)
        return Failure(MISUSED, error.code, problems, error.hint)
    if isinstance(error, FastGateError):
        exit_code = next((code for kind, code in _EXIT_CODES if isinstance(error, kind)), FAILED)
        return Failure(exit_code, error.code, (error.message,), error.hint)
    if isinstance(error, TyperException):
        return Failure(MISUSED, "usage", (_usage_message(error),), _usage_hint(error))
    if isinstance(error, OSError) and error.strerror:
        place = error.filename or "the output"
        message = f"{place} cannot be read or written: {error.strerror}"
        return Failure(FAILED, "input_output", (message,), "FASTGATE_DEBUG=1 shows where it happened")
    message = f"internal error: {type(error).__name__}: {error}"
    return Failure(FAILED, "internal_error", (message,), "FASTGATE_DEBUG=1 shows where it happened")


def wants_json(arguments: Sequence[str]) -> bool:
    """Tell whether the arguments ask for JSON; they may be too faulty to be parsed."""
    before_values = list(arguments)
    if "--" in before_values:
        del before_values[before_values.index("--") :]
    joined = " ".join(before_values)
    named = ("-o json", "-o=json", "-ojson", "--output json", "--output=json")
    return "--json" in before_values or any(form in joined for form in named)


def _usage_message(error: TyperException) -> str:
    # Lists of choices come on lines of their own; an error is one line.
    message = " ".join(error.format_message().split()).rstrip(".")
    message = message.partition(" (Possible options:")[0]
    return message[:1].lower() + message[1:]


def _usage_hint(error: TyperException) -> str:
    context = getattr(error, "ctx", None)
    if context is None or not hasattr(error, "possibilities"):  # which an unknown option has
        return f"'{context.command_path if context else 'fastgate'} -h' shows what it takes"
    from difflib import get_close_matches

    command, named = context.command_path, str(getattr(error, "option_name", ""))
    if named in _ROOT_OPTIONS:
        written = _ROOT_OPTIONS[named]
        rest = command.partition(" ")[2] if written.endswith(" ") else ""
        return f"{named} goes before the command: fastgate {written}{rest}"
    similar = get_close_matches(named, error.possibilities or (), cutoff=_SIMILARITY_MIN)
    if not similar and isinstance(context.command, TyperGroup):
        return f"an option of a command goes after it: {command} COMMAND {named}"
    question = f"did you mean {' or '.join(similar)}? " if similar else ""
    return f"{question}'{command} -h' shows what it takes"


def _as_text(failure: Failure, *, coloured: bool) -> list[str]:
    error, hint = ("\x1b[1;31merror:\x1b[0m", "\x1b[1mhint:\x1b[0m") if coloured else ("error:", "hint:")
    lines = [f"{error} {escape_controls(message)}" for message in failure.messages]
    return [*lines, f"{hint} {escape_controls(failure.hint)}"] if failure.hint else lines


def _as_json(failure: Failure) -> str:
    fields = {"code": failure.code, "message": "\n".join(failure.messages), "hint": failure.hint}
    return escape_json(json.dumps({"error": fields}, ensure_ascii=False))
