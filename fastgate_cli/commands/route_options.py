"""The options of `routes add` and `routes update`, spelled and explained once.

`RouteOptions` is the table; a decorator makes its fields parameters of a command. An option that was not
given is None or empty.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import typer

_TIMEOUT_SECONDS_MAX = 86_400
_PRIORITY_MAX = 10_000
_RETRIES_MAX = 100

Texts = list[str] | None


def _option(name: str, metavar: str | None, help: str, **bounds: int) -> Any:
    return typer.Option(name, metavar=metavar, help=help, **bounds)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteOptions:
    """What was given on the command line about a route."""

    match: Annotated[
        str | None, _option("--match", "PATTERN", "Paths to serve: '/v1/*', '/user/{id}', '/exact'.")
    ] = None
    to: Annotated[
        Texts, _option("--to", "URL", "The backend; alone it keeps the path. Repeatable: further ones.")
    ] = None
    name: Annotated[str | None, _option("--name", "NAME", "A name for people; default is the id.")] = None
    description: Annotated[str | None, _option("--description", "TEXT", "What it is for.")] = None
    method: Annotated[Texts, _option("--method", "M", "Only this method. Repeatable; none is any.")] = None
    header: Annotated[
        Texts, _option("--header", "K=V", "Only with this header; V may hold *, K alone is any value.")
    ] = None
    body: Annotated[
        Texts,
        _option("--body", "FIELD=VALUE", "Only with this field in a JSON body; dots reach into objects."),
    ] = None
    body_schema: Annotated[
        str | None,
        _option("--body-schema", "JSON|@FILE", "Only with a JSON body that fits this JSON Schema."),
    ] = None
    target_path: Annotated[
        str | None, _option("--target-path", "PATH", "The path to ask for; may hold {id}, {rest}.")
    ] = None
    strip_prefix: Annotated[
        bool | None,
        _option(
            "--strip-prefix/--no-strip-prefix",
            None,
            "Append what follows the pattern's prefix to the target path.",
        ),
    ] = None
    set_header: Annotated[
        Texts,
        _option("--set-header", "'K: V'", "Send this header; ${env:NAME} and ${file:PATH} are filled in."),
    ] = None
    set_body: Annotated[
        Texts, _option("--set-body", "FIELD=JSON", "Set this field of a JSON body; dots reach into objects.")
    ] = None
    remove_header: Annotated[Texts, _option("--remove-header", "K", "Do not send this header on.")] = None
    timeout: Annotated[
        int | None, _option("--timeout", "S", "Seconds of silence to bear.", min=1, max=_TIMEOUT_SECONDS_MAX)
    ] = None
    total_timeout: Annotated[
        int | None,
        _option("--total-timeout", "S", "Seconds that the whole may take.", min=1, max=_TIMEOUT_SECONDS_MAX),
    ] = None
    balance: Annotated[
        Literal["failover", "round-robin", "least-in-flight"] | None,
        _option("--balance", "HOW", "Among several: failover, round-robin or least-in-flight."),
    ] = None
    retries: Annotated[
        int | None, _option("--retries", "N", "Tries after the first.", min=0, max=_RETRIES_MAX)
    ] = None
    retry_on: Annotated[
        Texts, _option("--retry-on", "STATUS", "Retry after this status too: 429, 5xx. Repeatable.")
    ] = None
    http2: Annotated[bool | None, _option("--http2/--no-http2", None, "Speak HTTP/2 with the backend.")] = (
        None
    )
    tls_ca: Annotated[Path | None, _option("--tls-ca", "FILE", "Trust these authorities too (PEM).")] = None
    tls_insecure: Annotated[
        bool | None, _option("--tls-insecure/--tls-verify", None, "Do not check the backend's certificate.")
    ] = None
    on_client_abort: Annotated[
        Literal["cancel", "drain"] | None,
        _option("--on-client-abort", "HOW", "When the client leaves: cancel, or drain the response."),
    ] = None
    pass_credential: Annotated[
        bool | None,
        _option(
            "--pass-credential/--no-pass-credential",
            None,
            "Send on a credential that is not one of the gateway's own keys.",
        ),
    ] = None
    encoded_slash: Annotated[
        bool | None,
        _option(
            "--encoded-slash/--no-encoded-slash", None, "Take %2F in a path for text within its segment."
        ),
    ] = None
    keep_redirects: Annotated[
        bool | None,
        _option(
            "--keep-redirects/--rewrite-redirects",
            None,
            "Leave the backend's redirects to itself as they are.",
        ),
    ] = None
    priority: Annotated[
        int | None, _option("--priority", "N", "Smaller is tried first.", min=0, max=_PRIORITY_MAX)
    ] = None
    disabled: Annotated[bool | None, _option("--disabled/--enabled", None, "Switched off, or on.")] = None


def bounds_of(name: str) -> tuple[int, int]:
    """Return the smallest and the largest number that an option takes."""
    info = get_type_hints(RouteOptions, include_extras=True)[name].__metadata__[0]
    return info.min, info.max


def choices_of(name: str) -> tuple[str, ...]:
    """Return the words of which an option takes one."""
    kinds = get_args(get_type_hints(RouteOptions)[name])
    return tuple(choice for kind in kinds if get_origin(kind) is Literal for choice in get_args(kind))


def with_route_options(*required: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make the fields of `RouteOptions` parameters of a command, in the place of its own `options`."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        hints = get_type_hints(RouteOptions, include_extras=True)
        named = [
            inspect.Parameter(
                field.name,
                inspect.Parameter.KEYWORD_ONLY,
                annotation=hints[field.name],
                default=inspect.Parameter.empty if field.name in required else None,
            )
            for field in fields(RouteOptions)
        ]

        def run(**arguments: Any) -> None:
            given = {parameter.name: arguments.pop(parameter.name) for parameter in named}
            command(options=RouteOptions(**given), **arguments)

        own = inspect.signature(command, eval_str=True).parameters.values()
        first = [one for one in own if one.default is inspect.Parameter.empty and one.name != "options"]
        last = [one for one in own if one.default is not inspect.Parameter.empty]
        order = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in (*first, *named, *last)]
        run.__signature__ = inspect.Signature(order)  # type: ignore[attr-defined]
        run.__doc__, run.__name__ = command.__doc__, command.__name__
        return run

    return decorate
