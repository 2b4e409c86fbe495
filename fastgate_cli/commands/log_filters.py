"""The filters of `fastgate logs`, spelled once for the commands that share them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from inspect import Parameter, Signature, signature
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from fastgate_cli.context import Invocation, invocation_of
from fastgate_cli.options import complete_key_ids, complete_route_ids, complete_sources
from proxy.clock import parse_moment
from proxy.errors import InvalidInputError

if TYPE_CHECKING:
    from proxy.store.log_filter import LogFilter

SinceOption = Annotated[
    str | None, typer.Option("--since", metavar="WHEN", help="Not before: 15m, 7d, today, or a time.")
]
UntilOption = Annotated[str | None, typer.Option("--until", metavar="WHEN", help="Before: as --since.")]
KeyOption = Annotated[
    list[str] | None,
    typer.Option("--key", metavar="ID", help="With this key. Repeatable.", autocompletion=complete_key_ids),
]
SourceOption = Annotated[
    list[str] | None,
    typer.Option(
        "--source", metavar="NAME", help="From this source. Repeatable.", autocompletion=complete_sources
    ),
]
RouteOption = Annotated[
    list[str] | None,
    typer.Option(
        "--route", metavar="ID", help="On this route. Repeatable.", autocompletion=complete_route_ids
    ),
]
MethodOption = Annotated[
    list[str] | None, typer.Option("--method", metavar="M", help="With this method. Repeatable.")
]
PathOption = Annotated[str | None, typer.Option("--path", metavar="GLOB", help="With such a path: '/v1/*'.")]
StatusOption = Annotated[
    list[str] | None,
    typer.Option("--status", metavar="S", help="With this status: 404, 4xx or 500-599. Repeatable."),
]
StreamOption = Annotated[
    bool | None, typer.Option("--stream/--no-stream", help="Streams only, or all but streams.")
]
MinOption = Annotated[
    int | None, typer.Option("--min-ms", min=0, metavar="N", help="That took N milliseconds or more.")
]
ErrorsOption = Annotated[
    bool, typer.Option("--errors", help="Refused, failed, or with a status of 400 and above.")
]
IpOption = Annotated[str | None, typer.Option("--ip", metavar="ADDRESS", help="From this client.")]
GrepOption = Annotated[
    str | None,
    typer.Option("--grep", metavar="TEXT", help="With TEXT in path, target, reason or user agent."),
]
CountOption = Annotated[
    int, typer.Option("-n", "--limit", min=0, metavar="N", help="The newest N; 0 is all.")
]
_OPTIONS: dict[str, tuple[Any, Any]] = {
    "since": (SinceOption, None),
    "until": (UntilOption, None),
    "key": (KeyOption, None),
    "source": (SourceOption, None),
    "route": (RouteOption, None),
    "method": (MethodOption, None),
    "path": (PathOption, None),
    "status": (StatusOption, None),
    "stream": (StreamOption, None),
    "min_ms": (MinOption, None),
    "errors": (ErrorsOption, False),
    "ip": (IpOption, None),
    "grep": (GrepOption, None),
}


def takes_filters(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of the filters, after its context; it gets what they mean as `wanted`."""

    def run(**given: Any) -> None:
        options = {name: given.pop(name) for name in _OPTIONS}
        command(**given, wanted=build_filter(invocation_of(given["ctx"]), **options))

    hints = get_type_hints(command, localns={"LogFilter": object}, include_extras=True)
    keyword = Parameter.KEYWORD_ONLY
    ctx, *own = [
        Parameter(name, keyword, default=one.default, annotation=hints[name])
        for name, one in signature(command).parameters.items()
        if name != "wanted"
    ]
    filters = [
        Parameter(name, keyword, default=default, annotation=option)
        for name, (option, default) in _OPTIONS.items()
    ]
    run.__signature__ = Signature([ctx, *filters, *own])  # type: ignore[attr-defined]
    run.__annotations__ = {}
    run.__doc__, run.__name__ = command.__doc__, command.__name__
    return run


def build_filter(
    invocation: Invocation,
    *,
    since: str | None = None,
    until: str | None = None,
    key: list[str] | None = None,
    source: list[str] | None = None,
    route: list[str] | None = None,
    method: list[str] | None = None,
    path: str | None = None,
    status: list[str] | None = None,
    stream: bool | None = None,
    min_ms: int | None = None,
    errors: bool = False,
    ip: str | None = None,
    grep: str | None = None,
) -> LogFilter:
    """Return the filter that the options mean. Raises `InvalidInputError` for times that are none."""
    from proxy.store.log_filter import LogFilter

    zone, now = invocation.settings.app.timezone, invocation.now
    moments = [text and parse_moment(text, now=now, zone=zone) for text in (since, until)]
    if moments[0] and moments[1] and moments[0] >= moments[1]:
        raise InvalidInputError("--since is not before --until", hint="nothing can lie between them")
    return LogFilter(
        since=moments[0] or None,
        until=moments[1] or None,
        keys=tuple(key or ()),
        sources=tuple(source or ()),
        routes=tuple(route or ()),
        methods=tuple(method or ()),
        path_glob=path,
        status=tuple(status or ()),
        stream=stream,
        min_ms=min_ms,
        errors=errors,
        ip=ip,
        grep=grep,
    )


def find_midnight(invocation: Invocation) -> datetime:
    """Return when the present day began in the configured time zone."""
    return parse_moment("today", now=invocation.now, zone=invocation.settings.app.timezone)
