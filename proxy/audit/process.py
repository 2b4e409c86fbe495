"""The recorder as a process of its own, and the gateway's side of it.

A process and not a thread: building and writing rows holds the interpreter for milliseconds at a time, and
a stream would wait for it. The two share nothing but the journal's folder. The recorder's standard input is
its leash: when the gateway closes it, or dies, the recorder records what is left and ends.
"""

from __future__ import annotations

import _sqlite3
import ctypes
import gc
import json
import logging
import os
import select
import subprocess
import sys
import threading
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Self

from proxy.applog.handover import configure_logging
from proxy.applog.sink import LogSink
from proxy.audit.bodies import BodyWriter
from proxy.audit.claim import claim_journal
from proxy.audit.masking.source import MaskSource
from proxy.audit.recorder import Recorder
from proxy.audit.retention import Retention, RetentionPolicy
from proxy.audit.segments import stat_segments
from proxy.audit.trail import build_audit_policy
from proxy.interpreter import build_command, build_environ
from proxy.settings import Settings, database_path
from proxy.store.database import open_database

RESTART_SECONDS = (0.1, 1.0, 5.0)
# An orphan of a gateway that was killed holds the claim until it has recorded what is left.
CLAIM_SECONDS_MAX = 10.0
STOP_SECONDS_MAX = 30.0
_KILL_SECONDS = 0.1
_CONFIG_MULTITHREAD, _CONFIG_MEMSTATUS = 2, 9
_log = logging.getLogger(__name__)


class RecorderProcess:
    """Runs the recorder of a configuration, and runs it again should it die.

    It holds the claim on the journal, so that no two gateways ever record the same one. Raises
    `ConflictError` if another still has it after `claim_seconds`. Without a sink the recorder's log goes
    to this process's standard error, as it would be handed over.
    """

    def __init__(
        self, settings: Settings, sink: LogSink | None = None, claim_seconds: float = CLAIM_SECONDS_MAX
    ) -> None:
        self._sink = sink
        self._directory = settings.audit.directory
        self._claim = claim_journal(self._directory, claim_seconds)
        self._arguments = _build_arguments(settings)
        self._is_replaced = False
        self._stopping = threading.Event()
        self._is_given_up = False
        self._process = self._spawn()
        self._thread = threading.Thread(target=self._keep_running, name="recorder-watch", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Return the recorder's process id."""
        return self._process.pid

    def reload(self, settings: Settings) -> None:
        """Have a recorder of these settings go on where this one is, unless nothing has changed for it."""
        arguments = _build_arguments(settings)
        if arguments != self._arguments:
            self._arguments, self._is_replaced = arguments, True
            self._release()

    def stop(self) -> None:
        """Let the recorder record what is left; return when it has, or after `STOP_SECONDS_MAX`.

        What the database did not take by then waits in the journal, and the log says so.
        """
        self._stopping.set()
        self._release()
        self._thread.join(STOP_SECONDS_MAX)
        self._is_given_up = self._thread.is_alive()
        while self._thread.is_alive():
            self._process.kill()
            self._thread.join(_KILL_SECONDS)
        os.close(self._claim)
        left = [status.st_size for status in stat_segments(self._directory) if status.st_size]
        if left:
            _log.warning("%d bytes in %d segments wait in the journal", sum(left), len(left))

    def _spawn(self) -> subprocess.Popen[bytes]:
        # The recorder inherits the claim: as long as one lives, nobody else records this journal.
        with self._sink.open_pipe("recorder") if self._sink else nullcontext() as pipe:
            return subprocess.Popen(  # noqa: S603
                build_command(__name__, self._arguments),
                env=build_environ(os.environ),
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=pipe,
                pass_fds=[self._claim],
                start_new_session=True,  # Ctrl-C in a terminal is for the gateway, which then lets go of it
            )

    def _release(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()

    def _keep_running(self) -> None:
        deaths, is_last = 0, False
        while True:
            code = self._process.wait()
            if self._stopping.is_set() and (code == 0 or is_last or self._is_given_up):
                return
            if self._is_replaced and code == 0:
                self._is_replaced = False
            else:
                _log.error("the recorder ended with %d; rows wait in the journal until it runs again", code)
                # One that dies while the gateway stops, or before, is run once more: for what is left.
                is_last = self._stopping.wait(RESTART_SECONDS[min(deaths, len(RESTART_SECONDS) - 1)])
                deaths += 1
            self._release()
            try:
                self._process = self._spawn()
            except OSError as error:  # no memory, no file: the next round finds the dead one again
                _log.error("the recorder cannot be started: %s", error)
            if self._stopping.is_set():
                self._release()


def _build_arguments(settings: Settings) -> str:
    audit = settings.audit
    return json.dumps(
        {
            "directory": str(audit.directory),
            "database": str(database_path(settings)),
            "retention_days": audit.retention_days,
            "body_retention_days": audit.body_retention_days,
            "body_bytes_max": build_audit_policy(audit).body_bytes_max,
            "merges_streams": audit.stream_bodies == "merged",
            "folder": str(settings.source.parent if settings.source else Path.cwd()),
            "key_prefix": settings.security.key_prefix,
        }
    )


class Leash:
    """The recorder's side: an event that is set when standard input ends."""

    def wait(self, seconds: float) -> bool:
        """Return True as soon as the gateway has let go or is gone, False after `seconds`."""
        ready, _, _ = select.select([sys.stdin], [], [], seconds)
        return bool(ready)


def main() -> None:
    """Record until standard input ends."""
    arguments = json.loads(sys.argv[1])
    # The recorder outlives a change of the level: what is written of its lines, the sink decides.
    configure_logging("DEBUG")
    prepare_process()
    _build_recorder(arguments).run(Leash())


def _build_recorder(arguments: dict[str, Any]) -> Recorder:
    database, folder = Path(arguments["database"]), Path(arguments["folder"])
    retention = RetentionPolicy(arguments["retention_days"], arguments["body_retention_days"])
    return Recorder(
        Path(arguments["directory"]),
        lambda: open_database(database, create=False, durable=True),
        retention=Retention(retention),
        bodies=BodyWriter(arguments["body_bytes_max"], merges_streams=arguments["merges_streams"]),
        masks=MaskSource(os.environ, folder, arguments["key_prefix"])
        if arguments["body_bytes_max"]
        else None,
    )


def prepare_process() -> None:
    """Make this process a recorder's: what it does is cheaper than in one that does other things besides."""
    _calm_collector()
    _calm_sqlite()


def _calm_collector() -> None:
    """Have the garbage collector look seldom: a batch is tens of thousands of tuples and leaves no cycles."""
    gc.freeze()
    gc.set_threshold(200_000, 50, 100)


def _calm_sqlite() -> None:
    """Have SQLite count no memory and guard no connection against other threads: a tenth of its time.

    One thread of this process uses the database. Python has no name for these settings of `sqlite3_config`;
    where it keeps SQLite's functions to itself, the recorder works without them.
    """
    try:
        library = ctypes.CDLL(_sqlite3.__file__)
        library.sqlite3_shutdown()  # nothing is open yet; opening a database starts it again
        library.sqlite3_config(_CONFIG_MULTITHREAD)
        library.sqlite3_config(_CONFIG_MEMSTATUS, 0)
    except (AttributeError, OSError, TypeError) as error:
        _log.debug("SQLite stays as it is: %s", error)


if __name__ == "__main__":
    main()
