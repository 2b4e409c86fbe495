"""What a gateway needs when another server than ours has started it: a log, a recorder, an orderly end.

Several processes may serve one configuration, as Hypercorn's workers do. Each tries to become the one that
records the journal, at its start and then every second; whoever is the first has the claim, and when it ends
another takes over. Rows of all of them wait in the journal meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import signal
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from proxy.applog.sink import LogSink
from proxy.audit.process import RecorderProcess
from proxy.audit.segments import stat_segments
from proxy.errors import ConflictError, FastGateError
from proxy.exposure import warn_of_exposure
from proxy.open_files import count_needed, raise_limit
from proxy.settings import Settings, database_path, load_settings
from proxy.store.database import open_database

CLAIM_SECONDS = 1.0  # between two tries to become the one that records
# At the end somebody else may just have stopped recording, and not have seen the last rows of this process.
LAST_CLAIM_SECONDS = 2.0
_log = logging.getLogger(__name__)


class Standalone:
    """What a process that is the gateway's alone has besides. `start` it before serving, and `stop`
    it after.
    """

    def __init__(self, settings: Settings) -> None:
        # Several processes cannot turn one file over: what they log goes to the standard error of the server.
        self._settings = replace(settings, logging=replace(settings.logging, file=None))
        self._sink: LogSink | None = None
        self._recording: Recording | None = None

    def start(self) -> None:
        """Make what `fastgate serve` makes before it serves. Raises `FastGateError`."""
        settings = self._settings
        raise_limit(count_needed(settings.proxy))
        open_database(database_path(settings), create=True).close()
        self._sink = LogSink(settings, f"server-{os.getpid()}")
        for name in ("hypercorn.error", "hypercorn.access"):
            logger = logging.getLogger(name)
            logger.propagate = not logger.handlers  # it writes its lines itself
        warn_of_exposure(settings)
        leave_sigterm_to_parent()
        pass_over_cuts(asyncio.get_running_loop())
        if settings.audit.enabled:
            self._recording = Recording(settings, self._sink)
            self._recording.start()

    async def stop(self) -> None:
        """Have what is in the journal recorded, and the log written."""
        if self._recording is not None:
            await self._recording.stop()
        if self._sink is not None:
            await asyncio.to_thread(self._sink.close)


class Recording:
    """Runs the recorder of a journal, as soon as nobody else does."""

    def __init__(self, settings: Settings, sink: LogSink | None = None) -> None:
        self._settings = settings
        self._sink = sink
        self._recorder: RecorderProcess | None = None
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Try to become the one that records, from now on."""
        self._task = asyncio.create_task(self._try_on())

    async def stop(self) -> None:
        """Return when what is in the journal is recorded, or somebody else does that."""
        self._stopping.set()
        if self._task is not None:
            await self._task
        if self._recorder is None and self._has_rows():
            self._recorder = await asyncio.to_thread(self._try, LAST_CLAIM_SECONDS)
        if self._recorder is not None:
            await asyncio.to_thread(self._recorder.stop)

    async def _try_on(self) -> None:
        while self._recorder is None and not self._stopping.is_set():
            self._recorder = await asyncio.to_thread(self._try, 0.0)
            try:
                async with asyncio.timeout(CLAIM_SECONDS if self._recorder is None else None):
                    await self._stopping.wait()
            except TimeoutError:
                continue

    def _try(self, seconds: float) -> RecorderProcess | None:
        try:
            return RecorderProcess(self._settings, self._sink, seconds)
        except ConflictError:
            return None
        except (FastGateError, OSError) as error:
            _log.error("the recorder cannot be started, rows wait in the journal: %s", error)
            return None

    def _has_rows(self) -> bool:
        return any(status.st_size for status in stat_segments(self._settings.audit.directory))


def pass_over_cuts(loop: asyncio.AbstractEventLoop) -> None:
    """Have nothing said of connections that are cut when the grace is over.

    asyncio's own streams report each of them as a callback that has failed.
    """
    report = loop.get_exception_handler() or type(loop).default_exception_handler

    def report_others(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if not isinstance(context.get("exception"), asyncio.CancelledError):
            report(loop, context)

    loop.set_exception_handler(report_others)


def load_own_settings() -> Settings:
    """Return the configuration that a `fastgate` command would find here."""
    return load_settings(environ=os.environ, cwd=Path.cwd())


def explain_exit(error: FastGateError) -> SystemExit:
    """Return an exit that says what happened and what to do, and nothing else."""
    hint = f"\nhint: {error.hint}" if error.hint else ""
    return SystemExit(f"error: {error}{hint}")


def end_with(error: FastGateError) -> NoReturn:
    """End the process with what keeps it from serving: raised where a server starts, it would be a
    traceback.
    """
    sys.stderr.write(f"{explain_exit(error)}\n")
    sys.stderr.flush()
    os._exit(1)  # nothing is open that an exit does not close


def leave_sigterm_to_parent() -> None:
    """Have a worker of Hypercorn's drain when all of its server's processes are told to stop at once.

    It takes its orders from its parent and leaves SIGTERM as it is, which would end it at once: systemd and
    container runtimes send it to every process, and Hypercorn itself to the other workers when one has ended.
    """
    parent = multiprocessing.parent_process()
    if parent is None or threading.current_thread() is not threading.main_thread():
        return
    if signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        return

    def wait_for_parent(number: int, _frame: Any) -> None:
        if not parent.is_alive():
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    signal.signal(signal.SIGTERM, wait_for_parent)
