"""`fastgate serve`: run the gateway of a configuration until it is told to stop."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fastgate_cli.context import Invocation, invocation_of
from fastgate_cli.output import print_note

if TYPE_CHECKING:
    from proxy.settings import Settings
    from proxy.store.database import Database

HostOption = Annotated[
    str | None, typer.Option("--host", metavar="H", help="Listen on this address, not on app.host.")
]
PortOption = Annotated[
    int | None,
    typer.Option("--port", min=0, max=65535, metavar="P", help="Listen on this port; 0 is a free one."),
]
WorkersOption = Annotated[
    int | None,
    typer.Option("--workers", min=1, max=64, metavar="N", help="Serve with N processes, not app.workers."),
]


def serve(
    ctx: typer.Context, host: HostOption = None, port: PortOption = None, workers: WorkersOption = None
) -> None:
    """Run the gateway. Ctrl-C or SIGTERM lets requests in flight finish; a second one ends them.

    Keys and routes that are changed meanwhile count within a second. SIGHUP, or 'fastgate reload', reads the
    configuration anew.

    Examples:
      fastgate serve
      fastgate serve --host 0.0.0.0 --port 9000 --workers 4
      fastgate -c /etc/fastgate/fastgate.yaml serve
    """
    from proxy.listening import bind_listener
    from proxy.readiness import Readiness
    from proxy.supervisor import Outside, supervise

    invocation = invocation_of(ctx)
    settings = override_address(invocation, host, port, workers).settings
    listener = bind_listener(settings.app.host, settings.app.port)
    with invocation.writing() as database:  # created and brought up to date before anyone is let in
        missing = list_missing(database, invocation.now)
    url = describe_address(*listener.getsockname()[:2])

    def read_settings() -> Settings:
        again = Invocation(invocation.config_file, invocation.environ)
        return override_address(again, host, port, workers).settings

    outside = Outside(
        address=url,
        read_settings=read_settings,
        on_ready=lambda _stop: print_note_lines([f"FastGate listens on {url}", *missing]),
        readiness=Readiness(invocation.environ.get("NOTIFY_SOCKET", "")),
    )
    supervise(settings, listener, outside)


def print_note_lines(lines: Sequence[str]) -> None:
    """Tell several things that are not data, each on a line of its own, to whoever is still there."""
    with suppress(OSError):  # a terminal that has gone meanwhile ends the gateway by its signal
        for line in lines:
            print_note(line)


def list_missing(database: Database, now: datetime) -> list[str]:
    """Return what a person has yet to do before the gateway lets a request through."""
    from proxy.store.keys import list_keys
    from proxy.store.routes import list_routes

    missing = []
    if not list_keys(database, status="active", now=now, limit=1):
        missing.append("no active key yet: 'fastgate keys create' makes one")
    if not any(row["is_active"] for row in list_routes(database)):
        missing.append("no active route yet: fastgate routes add --match '/v1/*' --to URL")
    return missing


def override_address(
    invocation: Invocation, host: str | None, port: int | None, workers: int | None = None
) -> Invocation:
    """Put `--host`, `--port` and `--workers` over what the configuration says."""
    given = {"host": host, "port": port, "workers": workers}
    chosen: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    app = replace(invocation.settings.app, **chosen)
    invocation.settings = replace(invocation.settings, app=app)
    return invocation


def describe_address(host: str, port: int) -> str:
    """Return the URL of a listening address."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
