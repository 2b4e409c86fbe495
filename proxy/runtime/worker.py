"""One worker: serves a configuration on a socket that is given, in this process.

As a process (`python -m proxy.runtime.worker`) it belongs to a supervisor, whose orders are on standard
input; when that ends, the worker drains and ends too. It never opens an address itself, and never restarts
anything.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress

from proxy.applog.handover import configure_logging
from proxy.errors import FastGateError
from proxy.open_files import count_needed, fit_connections, raise_limit, read_limit
from proxy.runtime.app import Worker
from proxy.runtime.server import GatewaySite, run_sites
from proxy.runtime.worker_process import Orders, build_report, receive_orders
from proxy.settings import ProxySettings

_log = logging.getLogger(__name__)


def run_worker(orders: Orders, wire: socket.socket) -> int:
    """Serve as a supervisor has ordered, until it says stop or is gone; return the exit code.

    What keeps the worker from serving is reported over the wire, and only there.
    """
    is_reported = False

    def report(error: FastGateError | None) -> None:
        nonlocal is_reported
        if not is_reported:
            is_reported = True
            with suppress(OSError):  # the supervisor has gone: the leash tells
                wire.sendall(build_report(error))

    def report_opening(error: FastGateError | None) -> None:
        report(error)
        if error is not None:
            # Raised, it would be a traceback in the log. Nothing is open that an exit does not close.
            os._exit(1)

    def hold_leash(stop: Callable[[], object]) -> None:
        threading.Thread(target=_await_end, args=(wire, stop), name="leash", daemon=True).start()

    settings = orders.settings
    try:
        _allow_files(settings.proxy)
        listener = socket.socket(fileno=orders.listener_fd)
        site = GatewaySite(Worker(settings, orders.number), listener, report_opening)
        run_sites([site], settings.proxy.shutdown_grace, on_ready=hold_leash)
    except Exception as error:  # noqa: BLE001
        # The outermost boundary of the process.
        if is_reported or "FASTGATE_DEBUG" in os.environ:
            _log.exception("worker %d has failed", orders.number)
        if not isinstance(error, FastGateError):
            error = FastGateError(f"internal error: {type(error).__name__}: {error}")
        report(error)
        return 1
    return 0


def _allow_files(proxy: ProxySettings) -> None:
    raise_limit(count_needed(proxy))
    limit = read_limit()
    if (served := fit_connections(proxy, limit)) < proxy.max_connections:
        _log.warning(
            "%d open files (ulimit -n) are enough for %d connections; proxy.max_connections is %d",
            limit,
            served,
            proxy.max_connections,
        )


def _await_end(wire: socket.socket, stop: Callable[[], object]) -> None:
    with suppress(OSError):
        wire.recv(1)
    with suppress(RuntimeError):  # the loop is closed: it has stopped already
        stop()


def main() -> None:
    """Run as the process of a worker."""
    # Until the server has its handlers there is nothing to finish.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    wire = socket.socket(fileno=os.dup(sys.stdin.fileno()))
    try:
        orders = receive_orders(wire)
    except EOFError:
        return
    configure_logging(orders.settings.logging.level)
    sys.exit(run_worker(orders, wire))


if __name__ == "__main__":
    main()
