"""`fastgate mock`: a deterministic demo backend that speaks the OpenAI and Anthropic APIs."""

from __future__ import annotations

from typing import Annotated

import typer

from fastgate_cli.commands.serve import describe_address
from fastgate_cli.output import print_note

DEFAULT_PORT = 8515
GRACE_SECONDS = 1.0


def mock(
    port: Annotated[
        int,
        typer.Option("--port", min=0, max=65535, metavar="P", help="Listen on this port; 0 is a free one."),
    ] = DEFAULT_PORT,
    ttfb_ms: Annotated[
        float, typer.Option("--ttfb", min=0, metavar="MS", help="Milliseconds before an answer begins.")
    ] = 0,
    tokens_per_second: Annotated[
        float,
        typer.Option("--tps", min=0, metavar="N", help="Tokens a second in a stream; 0 is all at once."),
    ] = 0,
) -> None:
    """Run a demo backend: chat completions, models and messages, plain and streamed, on 127.0.0.1.

    The same request always gets the same answer. No key is asked for.

    Examples:
      fastgate mock
      fastgate mock --port 9000 --ttfb 200 --tps 40
    """
    from proxy.listening import bind_listener
    from proxy.mock.app import create_mock
    from proxy.runtime.server import AppSite, run_sites

    listener = bind_listener("127.0.0.1", port)
    url = describe_address(*listener.getsockname()[:2])
    app = create_mock(ttfb_ms=ttfb_ms, tokens_per_second=tokens_per_second)
    run_sites(
        [AppSite(app, listener)],
        GRACE_SECONDS,
        on_ready=lambda _stop: print_note(f"the mock listens on {url}"),
    )
