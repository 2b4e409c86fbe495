"""What a quickstart serves: the gateway as `fastgate serve` does, and the mock beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fastgate_cli.commands.serve import override_address
from fastgate_cli.context import Invocation

if TYPE_CHECKING:
    import socket

    from fastgate_cli.commands.quickstart import Trial
    from proxy.runtime.server import OnReady, Site
    from proxy.settings import Settings

MOCK_TOKENS_PER_SECOND = 30


def serve_trial(trial: Trial, beside: Executor, on_ready: OnReady) -> None:
    """Serve until a signal, or the stop that `on_ready` is given; `beside` has room for the mock.

    Raises what keeps the gateway or the mock from serving.
    """
    from proxy.applog.sink import LogSink
    from proxy.runtime.server import run_sites

    sites, grace_seconds = _build_mock(trial), trial.invocation.settings.proxy.shutdown_grace
    if trial.gateway_listener is not None:
        with _serving(sites, beside, grace_seconds):
            _supervise(trial, trial.gateway_listener, on_ready)
    elif sites:
        with LogSink(choose_log(trial.invocation, is_gateway=False)):
            run_sites(sites, grace_seconds, on_ready=on_ready)
    else:
        on_ready(lambda: None)


def _build_mock(trial: Trial) -> list[Site]:
    from proxy.mock.app import create_mock
    from proxy.runtime.server import AppSite

    if trial.mock_listener is None:
        return []
    pace = 0 if trial.check else MOCK_TOKENS_PER_SECOND
    return [AppSite(create_mock(tokens_per_second=pace), trial.mock_listener)]


@contextmanager
def _serving(sites: list[Site], beside: Executor, grace_seconds: float) -> Iterator[None]:
    """Serve sites in a thread for as long as the block lasts."""
    from proxy.runtime.server import run_sites

    if not sites:
        yield
        return
    begun: Future[Callable[[], object]] = Future()
    served = beside.submit(run_sites, sites, grace_seconds, on_ready=begun.set_result)
    parts: tuple[Future[Any], ...] = (begun, served)
    wait(parts, return_when=FIRST_COMPLETED)
    if not begun.done():
        served.result()  # raises what has kept it from serving
    try:
        yield
    finally:
        begun.result()()
        served.result()


def _supervise(trial: Trial, listener: socket.socket, on_ready: OnReady) -> None:
    """Run the gateway as `fastgate serve` does, so that the commands for one that runs find it."""
    from proxy.readiness import Readiness
    from proxy.supervisor import Outside, supervise

    invocation = trial.invocation

    def read_settings() -> Settings:
        again = Invocation(invocation.config_file, invocation.environ)
        return choose_log(override_address(again, None, invocation.settings.app.port), is_gateway=True)

    outside = Outside(trial.gateway_url, read_settings, on_ready, Readiness(""))
    supervise(choose_log(invocation, is_gateway=True), listener, outside)


def choose_log(invocation: Invocation, *, is_gateway: bool) -> Settings:
    """Return where the trial logs: its terminal is for people, and the file is the gateway's that runs."""
    settings = invocation.settings
    log = settings.logging
    if not is_gateway or log.file is None:
        log = replace(log, file=None, level="WARNING")
    return replace(settings, logging=log)
