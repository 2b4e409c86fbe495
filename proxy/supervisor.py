"""The supervisor of `fastgate serve`: owns the listening socket, the log, the recorder and the workers.

It serves nothing itself and loads nothing that serves. A worker that dies is started again; SIGTERM and
SIGINT drain all of them, and a second one cuts what is left; SIGHUP reads the configuration anew and
replaces the workers one after the other, each only when its successor takes connections.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Coroutine
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace

import msgspec

from proxy import __version__
from proxy.applog.file import check_log_file
from proxy.applog.sink import LogSink
from proxy.audit.process import RecorderProcess
from proxy.errors import ConflictError, FastGateError
from proxy.exposure import warn_of_exposure
from proxy.readiness import Readiness
from proxy.relay.cells import clear_cells
from proxy.relay.counters import metrics_directory
from proxy.running import Note, RunningFile
from proxy.runtime.worker_process import WorkerProcess
from proxy.settings import Settings

RESTART_SECONDS = (0.1, 1.0, 5.0)
# One that has lived this long is restarted without delay.
STEADY_SECONDS = 60.0
# Reloads in quick succession leave workers behind that still drain.
DRAINING_MAX = 64
# What belongs to the supervisor stays as it was when it was started.
FIXED = ("app.host", "app.port", "database.url", "audit.enabled", "audit.directory")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outside:
    """What a supervisor has to do with the rest of the world.

    `address` is the URL that it listens on. `read_settings` reads the configuration anew, or raises
    `FastGateError`; `on_ready` is called when all workers take connections, with a function that stops the
    gateway, callable from any thread.
    """

    address: str
    read_settings: Callable[[], Settings]
    on_ready: Callable[[Callable[[], object]], object]
    readiness: Readiness


def supervise(settings: Settings, listener: socket.socket, outside: Outside) -> None:
    """Serve a configuration with `app.workers` processes until SIGTERM or SIGINT; its database has to exist.

    Raises `ConflictError` if another gateway runs on the same journal, and the error of a worker that cannot
    serve at all.
    """
    with (
        RunningFile(settings.audit.directory) as running,
        LogSink(settings, "supervisor") as sink,
        RecorderProcess(settings, sink) if settings.audit.enabled else nullcontext() as recorder,
        asyncio.Runner() as runner,
    ):
        warn_of_exposure(settings)
        clear_cells(metrics_directory(settings))
        runner.run(Supervisor(settings, listener, outside, running, sink, recorder).run())


@dataclass(slots=True, eq=False)
class _Slot:
    """A place for one worker; `process` is the one that takes connections, or the dead one that did."""

    process: WorkerProcess
    settings: Settings
    deaths: int = 0


class Supervisor:
    """Runs the workers of one gateway, from their start to the end of the last."""

    def __init__(
        self,
        settings: Settings,
        listener: socket.socket,
        outside: Outside,
        running: RunningFile,
        sink: LogSink,
        recorder: RecorderProcess | None,
    ) -> None:
        self._settings = settings
        self._listener = listener
        self._outside = outside
        self._running = running
        self._sink = sink
        self._recorder = recorder
        self._note = Note(os.getpid(), outside.address, 0, [], __version__, time.time())
        self._has_terminal = sys.stderr.isatty()
        self._slots: dict[int, _Slot] = {}
        self._live: set[WorkerProcess] = set()
        self._draining: dict[WorkerProcess, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping, self._hurry, self._reload = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def run(self) -> None:
        """Serve until told to stop; returns when every worker has ended."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        loop.add_signal_handler(signal.SIGHUP, self._hang_up)
        stopping = asyncio.create_task(self._stopping.wait())
        serving = asyncio.create_task(self._serve())
        try:
            await asyncio.wait([stopping, serving], return_when=asyncio.FIRST_COMPLETED)
            serving.cancel()
            with suppress(asyncio.CancelledError):
                await serving
        finally:
            stopping.cancel()
            await self._end()

    def _stop(self) -> None:
        if self._stopping.is_set():
            self._hurry.set()
        self._begin_to_stop()

    def _begin_to_stop(self) -> None:
        if self._stopping.is_set():
            return
        self._stopping.set()
        self._write_note(is_stopping=True)
        seconds = self._settings.proxy.shutdown_grace
        _log.info("stopping: requests in flight have %g s to finish; a second signal ends them", seconds)

    def _hang_up(self) -> None:
        # The same signal says that the terminal has gone; a gateway that was started there goes with it.
        if self._has_terminal and not sys.stderr.isatty():
            self._stop()
        else:
            self._reload.set()

    async def _serve(self) -> None:
        numbers = range(1, self._settings.app.workers + 1)
        begun = await asyncio.gather(*(self._begin(number, self._settings) for number in numbers))
        for number, process in zip(numbers, begun, strict=True):
            self._adopt(number, process, self._settings)
        self._outside.readiness.tell_ready()
        loop = asyncio.get_running_loop()
        self._outside.on_ready(lambda: loop.call_soon_threadsafe(self._begin_to_stop))
        while True:
            await self._reload.wait()
            self._reload.clear()
            await self._roll()

    async def _end(self) -> None:
        self._outside.readiness.tell_stopping()
        self._listener.close()
        for task in self._tasks:
            task.cancel()
        for process in self._live:
            self._drain(process)
        while self._draining:
            await asyncio.wait(self._draining.values())

    async def _begin(self, number: int, settings: Settings) -> WorkerProcess:
        """Start a worker and return it once it serves."""
        process = await WorkerProcess.spawn(settings, self._listener, number, self._sink)
        self._live.add(process)
        try:
            await process.ready()
        except FastGateError:
            self._drain(process)
            raise
        return process

    def _adopt(self, number: int, process: WorkerProcess, settings: Settings, deaths: int = 0) -> None:
        """Make a worker that serves the one of its number; one that was it until now is drained."""
        old = self._slots.get(number)
        slot = self._slots[number] = _Slot(process, settings, deaths)
        if old is not None:
            self._drain(old.process)
        self._start_task(self._watch(number, slot))
        self._write_note()

    def _drain(self, process: WorkerProcess) -> None:
        if process not in self._draining:
            task = asyncio.create_task(process.end(self._hurry))
            self._draining[process] = task
            task.add_done_callback(lambda _: self._forget(process))

    def _forget(self, process: WorkerProcess) -> None:
        self._live.discard(process)
        self._draining.pop(process, None)

    async def _watch(self, number: int, slot: _Slot) -> None:
        """Wait for a worker's end; unless that was wanted, put another in its place."""
        started = time.monotonic()
        code = await slot.process.wait()
        if self._slots.get(number) is not slot:
            return
        self._forget(slot.process)
        _log.error("worker %d (%d) ended with %d; it is started again", number, slot.process.pid, code)
        deaths = 0 if time.monotonic() - started >= STEADY_SECONDS else slot.deaths
        while True:
            await asyncio.sleep(RESTART_SECONDS[min(deaths, len(RESTART_SECONDS) - 1)])
            deaths += 1
            try:
                process = await self._begin(number, slot.settings)
            except FastGateError as error:
                _log.error("worker %d cannot be started: %s", number, error)
                if self._slots.get(number) is not slot:
                    return
                continue
            if self._slots.get(number) is slot:
                self._adopt(number, process, slot.settings, deaths)
            else:  # a roll was faster
                self._drain(process)
            return

    async def _roll(self) -> None:
        """Read the configuration and replace every worker; whatever goes wrong, those that serve stay."""
        self._outside.readiness.tell_reloading()
        self._write_note(is_rolling=True)
        trouble = ""
        try:
            await self._replace_workers(self._keep_fixed(self._outside.read_settings()))
        except FastGateError as error:
            trouble = str(error)
            _log.error("not reloaded, the workers that serve stay: %s", trouble)
        else:
            _log.info("reloaded: %d workers serve the configuration as it is now", len(self._slots))
        self._outside.readiness.tell_ready()
        self._write_note(is_rolling=False, rolls=self._note.rolls + 1, trouble=trouble)

    async def _replace_workers(self, settings: Settings) -> None:
        if len(self._draining) + settings.app.workers > DRAINING_MAX:
            raise ConflictError(
                f"{len(self._draining)} earlier workers still drain", hint="wait until they have ended"
            )
        if (file := settings.logging.file) is not None and file != self._settings.logging.file:
            check_log_file(file)
        for number in range(1, settings.app.workers + 1):
            self._adopt(number, await self._begin(number, settings), settings)
        for number in [number for number in self._slots if number > settings.app.workers]:
            self._drain(self._slots.pop(number).process)
        self._settings = settings
        self._sink.configure(settings)
        if self._recorder is not None:
            self._recorder.reload(settings)

    def _keep_fixed(self, settings: Settings) -> Settings:
        for name in FIXED:
            section, key = name.split(".")
            old, new = (getattr(getattr(known, section), key) for known in (self._settings, settings))
            if old != new:
                _log.warning("%s stays as it was: a change of it needs a restart", name)
                changed = replace(getattr(settings, section), **{key: old})
                settings = replace(settings, **{section: changed})
        return settings

    def _write_note(self, **changes: object) -> None:
        pids = [slot.process.pid for _, slot in sorted(self._slots.items())]
        self._note = msgspec.structs.replace(self._note, workers=len(pids), worker_pids=pids, **changes)
        self._running.write(self._note)

    def _start_task(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
