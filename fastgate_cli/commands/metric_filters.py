"""The filters of `fastgate logs` for commands that count: the same options, given to a command at once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from inspect import Parameter, Signature, signature
from typing import TYPE_CHECKING, Any, get_type_hints

from fastgate_cli.commands.log_filters import (
    ErrorsOption,
    GrepOption,
    IpOption,
    KeyOption,
    MethodOption,
    MinOption,
    PathOption,
    RouteOption,
    SinceOption,
    SourceOption,
    StatusOption,
    StreamOption,
    UntilOption,
    build_filter,
)
from fastgate_cli.context import Invocation, invocation_of
from proxy.errors import InvalidInputError

if TYPE_CHECKING:
    from proxy.store.log_filter import LogFilter

Command = Callable[..., None]
_TIMES: dict[str, Any] = {"since": SinceOption, "until": UntilOption}
_FILTERS: dict[str, Any] = {
    "key": KeyOption,
    "source": SourceOption,
    "route": RouteOption,
    "method": MethodOption,
    "path": PathOption,
    "status": StatusOption,
    "stream": StreamOption,
    "min_ms": MinOption,
    "errors": ErrorsOption,
    "ip": IpOption,
    "grep": GrepOption,
}
_DEFAULTS: dict[str, Any] = {"errors": False}


def takes_filters(*, since: str | None) -> Callable[[Command], Command]:
    """Give a command the options of the filters; it gets what they mean as `wanted`.

    `since` is how far it looks back unless it is told otherwise; None is for one that has times of its own.
    """
    times = _TIMES if since else {}
    options = {**times, **_FILTERS}

    def decorate(command: Command) -> Command:
        def run(**given: Any) -> None:
            values: dict[str, Any] = {
                name: given.pop(name) if name in options else None for name in (*_TIMES, *_FILTERS)
            }
            command(**given, wanted=build_filter(invocation_of(given["ctx"]), **values))

        own = _parameters_of(command)
        added = [
            _keyword(name, option, since if name == "since" else _DEFAULTS.get(name))
            for name, option in options.items()
        ]
        place = next((turn for turn, one in enumerate(own) if one.default is not Parameter.empty), len(own))
        run.__signature__ = Signature([*own[:place], *added, *own[place:]])  # type: ignore[attr-defined]
        run.__annotations__ = {}
        run.__doc__, run.__name__ = command.__doc__, command.__name__
        return run

    return decorate


def find_times(wanted: LogFilter, invocation: Invocation) -> tuple[datetime, datetime]:
    """Return the time that a filter with a `since` is about; it ends now unless it says otherwise."""
    assert wanted.since is not None
    until = wanted.until or invocation.now
    if wanted.since >= until:
        raise InvalidInputError("--since is not before now", hint="nothing can lie between them")
    return wanted.since, until


def _parameters_of(command: Command) -> list[Parameter]:
    hints = get_type_hints(command, localns={"LogFilter": object}, include_extras=True)
    return [
        _keyword(name, hints[name], one.default)
        for name, one in signature(command).parameters.items()
        if name != "wanted"
    ]


def _keyword(name: str, annotation: Any, default: Any) -> Parameter:
    return Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
