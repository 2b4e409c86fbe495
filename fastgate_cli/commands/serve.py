"""`fastgate serve`: run the gateway of a configuration until it is told to stop."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from fastgate_cli.context import Invocation, invocation_of
from fastgate_cli.output import print_note

HostOption = Annotated[
    str | None, typer.Option("--host", metavar="H", help="Listen on this address, not on app.host.")
]
PortOption = Annotated[
    int | None,
    typer.Option("--port", min=0, max=65535, metavar="P", help="Listen on this port; 0 is a free one."),
]


def serve(ctx: typer.Context, host: HostOption = None, port: PortOption = None) -> None:
    """Run the gateway. Ctrl-C or SIGTERM lets requests in flight finish; a second one ends them.

    Keys and routes that are changed meanwhile count within a second.

    Examples:
      fastgate serve
      fastgate serve --host 0.0.0.0 --port 9000
      fastgate -c /etc/fastgate/fastgate.yaml serve
    """
    from proxy.applog import configure_logging
    from proxy.server import bind_listener, run_gateway

    invocation = invocation_of(ctx)
    settings = override_address(invocation, host, port).settings
    with invocation.writing():
        pass  # created and brought up to date before anyone is let in
    configure_logging(settings.logging.level, settings.logging.format, settings.app.timezone)
    listener = bind_listener(settings.app.host, settings.app.port)
    url = describe_address(*listener.getsockname()[:2])
    run_gateway(settings, listener, on_ready=lambda _stop: print_note(f"FastGate listens on {url}"))


def override_address(invocation: Invocation, host: str | None, port: int | None) -> Invocation:
    """Put `--host` and `--port` over what the configuration says."""
    app = invocation.settings.app
    app = replace(app, host=app.host if host is None else host, port=app.port if port is None else port)
    invocation.settings = replace(invocation.settings, app=app)
    return invocation


def describe_address(host: str, port: int) -> str:
    """Return the URL of a listening address."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
