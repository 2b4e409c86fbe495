"""A filter as a person types it into the dashboard: the options of `fastgate logs`, spelled as there."""

from __future__ import annotations

import inspect
import shlex

import typer

from fastgate_cli.context import Invocation
from fastgate_cli.failures import describe_failure
from proxy.errors import InvalidInputError
from proxy.store.log_filter import LogFilter, RowView, build_condition

_TIMES = ("since", "until")


def parse_filter(text: str, invocation: Invocation) -> LogFilter:
    """Return the filter that a text means; none at all for an empty one. Raises `InvalidInputError`."""
    from fastgate_cli.commands.log_filters import build_filter

    try:
        words = shlex.split(text)
    except ValueError as error:
        raise InvalidInputError(str(error).lower(), hint="a quote is missing") from None
    if words and not words[0].startswith("-"):
        raise InvalidInputError("a filter is made of options, as --status 5xx --source ci")
    command = _build_command()
    try:
        with command.make_context("filter", words) as context:
            values = context.params
    except typer.TyperException as error:
        raise InvalidInputError(" ".join(describe_failure(error).messages)) from None
    if any(values.pop(name) is not None for name in _TIMES):
        raise InvalidInputError("the keys 1 to 5 choose the time, not --since and --until")
    wanted = build_filter(invocation, since=None, until=None, **values)
    build_condition(wanted, RowView())  # what cannot be meant is told now
    return wanted


def _build_command() -> typer.core.TyperCommand:
    """Return `fastgate logs list` with nothing but its filters, and without a help that would be printed."""
    from fastgate_cli.commands.log_filters import build_filter
    from fastgate_cli.commands.logs import app
    from fastgate_cli.groups import build_command

    info = next(info for info in app.registered_commands if info.name == "list")
    command = build_command(info)
    names = inspect.signature(build_filter).parameters
    command.params = [option for option in command.params if option.name in names]
    command.add_help_option = False
    return command
