"""`fastgate quickstart`: configuration, database, key, route, backend and gateway, all at once.

It makes what is missing and changes nothing that is there but its own route, so it can be run again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated

import typer

from fastgate_cli.commands.log_columns import COLUMNS
from fastgate_cli.commands.quickstart_parts import (
    ensure_configuration,
    ensure_key,
    ensure_route,
    find_gateway,
    find_mock,
    find_model,
)
from fastgate_cli.commands.serve import PortOption, describe_address, override_address
from fastgate_cli.context import Invocation, invocation_of
from fastgate_cli.failures import FAILED
from fastgate_cli.options import FieldsOption, JsonOption, OutputOption
from fastgate_cli.output import OutputOptions, print_note, print_rows
from proxy.errors import ConflictError, FastGateError

if TYPE_CHECKING:
    import socket

    from fastgate_cli.commands.quickstart_check import Report
    from proxy.server import Site

SHOWN = (
    "id",
    "request_time",
    "path",
    "outcome",
    "ttfb",
    "response_time_ms",
    "response_size",
    "stream_chunks",
)

MOCK_TOKENS_PER_SECOND = 30


@dataclass
class Trial:
    """What is tried: a gateway, a backend and a key. A listener is None where the part runs already."""

    invocation: Invocation
    key: str
    gateway_url: str
    upstream_url: str
    gateway_listener: socket.socket | None
    mock_listener: socket.socket | None
    is_mock: bool
    check: bool
    reports: list[Report] = field(default_factory=list)
    failure: FastGateError | None = None


def quickstart(
    ctx: typer.Context,
    check: Annotated[
        bool, typer.Option("--check", help="Send a plain and a streamed request, compare, and stop.")
    ] = False,
    upstream: Annotated[
        str | None, typer.Option("--upstream", metavar="URL", help="Use this backend, not the mock.")
    ] = None,
    port: PortOption = None,
    output: OutputOption = None,
    as_json: JsonOption = False,
    fields: FieldsOption = None,
) -> None:
    """Try everything: make what is missing, start a demo backend and the gateway, and say what to paste.

    It can be run again in the same folder; other keys and routes are left alone.

    Examples:
      fastgate quickstart
      fastgate quickstart --upstream http://127.0.0.1:11434
      fastgate quickstart --check
    """
    invocation = override_address(ensure_configuration(invocation_of(ctx)), None, port)
    options = invocation.read_output(output, as_json=as_json, fields=fields)
    trial = prepare_trial(invocation, upstream, check=check)
    run_trial(trial)
    if trial.failure is not None:
        raise trial.failure
    if check and not report_check(trial.reports, options):
        raise typer.Exit(FAILED)


def prepare_trial(invocation: Invocation, upstream: str | None, *, check: bool) -> Trial:
    """Take the ports, then make database, key and route; parts that run already are used as they are."""
    from proxy.server import bind_listener

    app = invocation.settings.app
    gateway_listener, gateway_url = _listen(bind_listener, app.host, app.port, find_gateway, "gateway")
    mock_listener, upstream_url = None, (upstream or "").rstrip("/").removesuffix("/v1")
    if upstream is None:
        # The mock stands beside the gateway: on the port after it, or on any free one.
        mock_port = app.port + 1 if 0 < app.port < 65535 else 0
        mock_listener, upstream_url = _listen(bind_listener, "127.0.0.1", mock_port, find_mock, "mock")
    ensure_route(invocation, upstream_url)
    return Trial(
        invocation=invocation,
        key=ensure_key(invocation),
        gateway_url=gateway_url,
        upstream_url=upstream_url,
        gateway_listener=gateway_listener,
        mock_listener=mock_listener,
        is_mock=upstream is None,
        check=check,
    )


def _listen(
    bind: Callable[[str, int], socket.socket],
    host: str,
    port: int,
    is_running: Callable[[str], bool],
    part: str,
) -> tuple[socket.socket | None, str]:
    try:
        listener = bind(host, port)
    except ConflictError:
        url = describe_address(host, port)
        if not is_running(url):
            raise
        print_note(f"the {part} runs already at {url}")
        return None, url
    return listener, describe_address(*listener.getsockname()[:2])


def run_trial(trial: Trial) -> None:
    """Serve whatever of the trial does not run already, until it is stopped or the check is done."""
    from proxy.applog import configure_logging
    from proxy.mock.app import create_mock
    from proxy.server import Site

    settings = trial.invocation.settings
    configure_logging("WARNING", settings.logging.format, settings.app.timezone)
    sites = []
    if trial.mock_listener is not None:
        pace = 0 if trial.check else MOCK_TOKENS_PER_SECOND
        sites.append(Site(create_mock(tokens_per_second=pace), trial.mock_listener))
    with ThreadPoolExecutor(max_workers=1) as beside:
        # Whatever it does, the servers go on serving meanwhile; the pool waits for it at the end.
        _serve(trial, sites, lambda stop: _start(beside, trial, stop))


def _start(beside: ThreadPoolExecutor, trial: Trial, stop: Callable[[], object]) -> None:
    if trial.check:
        beside.submit(_check_and_stop, trial, stop)
    else:
        beside.submit(explain_trial, trial)


def _serve(trial: Trial, sites: list[Site], on_ready: Callable[[Callable[[], object]], None]) -> None:
    from proxy.server import run_gateway, run_sites

    settings = trial.invocation.settings
    if trial.gateway_listener is not None:
        run_gateway(settings, trial.gateway_listener, beside=sites, on_ready=on_ready)
    elif sites:
        run_sites(sites, settings.proxy.shutdown_grace, on_ready=on_ready)
    else:
        on_ready(lambda: None)


def _check_and_stop(trial: Trial, stop: Callable[[], object]) -> None:
    from fastgate_cli.commands.quickstart_check import run_check

    try:
        trial.reports = run_check(
            trial.invocation, trial.gateway_url, trial.upstream_url, trial.key, is_deterministic=trial.is_mock
        )
    except FastGateError as error:
        trial.failure = error
    finally:
        stop()


def explain_trial(trial: Trial) -> None:
    """Say what to paste next."""
    model = find_model(trial.upstream_url) or "MODEL"
    body = f'{{"model": "{model}", "stream": true, "messages": [{{"role": "user", "content": "Hello"}}]}}'
    print_note(
        f"\nFastGate listens on {trial.gateway_url}, in front of {trial.upstream_url}. Ask it something:\n\n"
        f"  curl -N {trial.gateway_url}/v1/chat/completions \\\n"
        f"    -H 'Authorization: Bearer {trial.key}' \\\n"
        f"    -H 'Content-Type: application/json' \\\n"
        f"    -d '{body}'\n\n"
        "and watch the requests, in this folder, with\n\n"
        "  fastgate logs tail\n\n"
        "Ctrl-C stops it."
    )


def report_check(reports: Sequence[Report], options: OutputOptions) -> bool:
    """Print the answers, the audit rows and every difference; return whether there was none."""
    for report in reports:
        print_note(f"{report.name:9} {report.answer}")
    columns = [replace(column, shown="always") if column.name in SHOWN else column for column in COLUMNS]
    print_rows([report.row for report in reports if report.row], columns, options)
    for report in reports:
        for difference in report.differences:
            print_note(f"{report.name}: {difference}")
    agrees = not any(report.differences for report in reports)
    print_note(
        "the gateway answers as the backend does" if agrees else "the gateway differs from the backend"
    )
    return agrees
