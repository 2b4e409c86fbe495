"""`fastgate quickstart`: configuration, database, key, route, backend and gateway, all at once.

It makes what is missing and changes nothing that is there but its own route, so it can be run again.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from threading import Event
from typing import TYPE_CHECKING, Annotated

import typer

from fastgate_cli.commands.init import describe_program
from fastgate_cli.commands.log_columns import COLUMNS
from fastgate_cli.commands.quickstart_parts import (
    ensure_configuration,
    ensure_key,
    ensure_route,
    find_gateway,
    find_mock,
    find_model,
    read_upstream,
    wait_for_gateway,
)
from fastgate_cli.commands.quickstart_serving import serve_trial
from fastgate_cli.commands.running import find_note
from fastgate_cli.commands.serve import PortOption, describe_address, override_address, print_note_lines
from fastgate_cli.context import Invocation, invocation_of
from fastgate_cli.failures import FAILED
from fastgate_cli.options import FieldsOption, JsonOption, OutputOption
from fastgate_cli.output import print_note
from proxy.errors import ConflictError

if TYPE_CHECKING:
    import socket

    from fastgate_cli.commands.quickstart_check import Report

# What listens on every address is reached on this machine's own.
_OWN_ADDRESSES = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104


@dataclass(frozen=True, slots=True)
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

    @property
    def is_serving(self) -> bool:
        """Tell whether any part of it is this process's."""
        return self.gateway_listener is not None or self.mock_listener is not None


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
    from fastgate_cli.commands.quickstart_check import report_check

    # What can be wrong with the command line is found before anything is made.
    upstream_url = None if upstream is None else read_upstream(upstream)
    options = invocation_of(ctx).read_output(output, as_json=as_json, fields=fields, columns=COLUMNS)
    invocation = override_address(ensure_configuration(invocation_of(ctx)), None, port)
    reports = run_trial(prepare_trial(invocation, upstream_url, check=check))
    if check and not report_check(reports, options):
        raise typer.Exit(FAILED)


def prepare_trial(invocation: Invocation, upstream_url: str | None, *, check: bool) -> Trial:
    """Take the ports, then make database, key and route; parts that run already are used as they are."""
    app = invocation.settings.app
    gateway_listener, gateway_url = _listen(
        app.host, app.port, lambda url: find_gateway(url + app.system_prefix), "gateway"
    )
    if gateway_listener is not None and (other := find_note(invocation)) is not None:
        # Before anything is written: its route would lead to a backend that nobody has started.
        raise ConflictError(
            f"a gateway of this configuration runs already, at {other.address}",
            hint="give its port with --port, or end it with 'fastgate stop'",
        )
    is_mock, mock_listener = upstream_url is None, None
    if upstream_url is None:
        # The mock stands beside the gateway: on the port after it, or on any free one.
        mock_port = app.port + 1 if 0 < app.port < 65535 else 0
        mock_listener, upstream_url = _listen("127.0.0.1", mock_port, find_mock, "mock")
    ensure_route(invocation, upstream_url)
    return Trial(
        invocation=invocation,
        key=ensure_key(invocation),
        gateway_url=gateway_url,
        upstream_url=upstream_url,
        gateway_listener=gateway_listener,
        mock_listener=mock_listener,
        is_mock=is_mock,
        check=check,
    )


def _listen(
    host: str, port: int, is_running: Callable[[str], bool], part: str
) -> tuple[socket.socket | None, str]:
    from proxy.listening import bind_listener

    try:
        listener = bind_listener(host, port)
    except ConflictError as error:
        url = describe_address(_OWN_ADDRESSES.get(host, host), port)
        if not is_running(url):
            hint = "choose another with --port; the mock takes the port after it"
            raise ConflictError(f"{error.message}, and not by a {part}", hint=hint) from None
        print_note(f"the {part} runs already at {url}")
        return None, url
    bound_host, bound_port = listener.getsockname()[:2]
    return listener, describe_address(_OWN_ADDRESSES.get(bound_host, bound_host), bound_port)


def run_trial(trial: Trial) -> list[Report]:
    """Serve whatever of the trial does not run already, until it is stopped or the check is done.

    Returns the reports of the check; without one there are none. Raises `KeyboardInterrupt` if a signal was
    faster than the check.
    """
    begun: list[Future[list[Report]]] = []
    checked = Event()
    with ThreadPoolExecutor() as beside:
        # Whatever it does, the servers go on serving meanwhile; the pool waits for it at the end.
        serve_trial(trial, beside, lambda stop: begun.append(beside.submit(_try_out, trial, stop, checked)))
        is_cut_short = trial.check and trial.is_serving and not checked.is_set()
    if is_cut_short:
        raise KeyboardInterrupt
    return begun[0].result() if begun else []


def _try_out(trial: Trial, stop: Callable[[], object], checked: Event) -> list[Report]:
    from fastgate_cli.commands.quickstart_check import run_check

    is_over = True
    try:
        if trial.gateway_listener is None:
            wait_for_gateway(trial.gateway_url, trial.upstream_url, trial.key)
        if trial.check:
            urls = trial.gateway_url, trial.upstream_url
            return run_check(trial.invocation, urls, trial.key, is_deterministic=trial.is_mock)
        explain_trial(trial)
        is_over = False
        return []
    finally:
        if is_over:
            checked.set()
            with suppress(RuntimeError):  # it has been stopped, and its loop is gone
                stop()


def explain_trial(trial: Trial) -> None:
    """Say where everything is, and what to paste next."""
    curl = build_curl(trial.gateway_url, trial.key, find_model(trial.upstream_url))
    lines = [
        "",
        f"FastGate listens on {trial.gateway_url}",
        f"and forwards to     {trial.upstream_url}{' (the mock)' if trial.is_mock else ''}",
        "",
        "Ask it something:",
        "",
        *(f"  {line}" for line in curl),
        "",
        "Watch the requests, in another terminal:",
        "",
        f"  {build_tail_command(trial.invocation)}",
        "",
    ]
    print_note_lines([*lines, "Ctrl-C stops it."] if trial.is_serving else lines)


def build_curl(gateway_url: str, key: str, model: str | None) -> list[str]:
    """Return the lines of a command that streams an answer; MODEL stands for one that is not known."""
    message = {"role": "user", "content": "Hello"}
    body = {"model": model or "MODEL", "stream": True, "messages": [message]}
    return [
        f"curl -N {gateway_url}/v1/chat/completions \\",
        f"  -H 'Authorization: Bearer {key}' \\",
        "  -H 'Content-Type: application/json' \\",
        f"  -d {shlex.quote(json.dumps(body, separators=(',', ':')))}",
    ]


def build_tail_command(invocation: Invocation) -> str:
    """Return the command that follows this trial's requests, from this folder or, if it names one, any."""
    return f"{describe_program(invocation.settings.source, invocation.folder)} logs tail"
