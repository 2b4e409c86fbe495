"""`fastgate status`, `reload` and `stop`: of the gateway that this configuration runs.

They find it by the note beside its journal, and talk to it with signals. Each wait has an end.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any

import typer

from fastgate_cli.columns import Column, format_minute, format_uptime, style_gateway_state, style_quiet
from fastgate_cli.context import Invocation, invocation_of
from fastgate_cli.options import FieldsOption, JsonOption, OutputOption
from fastgate_cli.output import print_note, print_object
from proxy.clock import from_us
from proxy.errors import FastGateError, InvalidInputError, JournalError, NotRunningError

if TYPE_CHECKING:
    from proxy.running import Note

RELOAD_SECONDS_MAX = 120.0
# What a stop may take beyond the grace: for workers that have to be killed, and the recorder's last rows.
STOP_SECONDS_MAX = 60.0
_POLL_SECONDS = 0.05

COLUMNS = (
    Column("pid"),
    Column("address"),
    Column("state", style=style_gateway_state),
    Column("workers", justify="right"),
    Column("uptime_s", "uptime", text=format_uptime, justify="right"),
    Column("version", style=style_quiet),
    Column("started", shown="wide", text=format_minute),
    Column("worker_pids", shown="wide"),
)


def status(
    ctx: typer.Context,
    output: OutputOption = None,
    as_json: JsonOption = False,
    fields: FieldsOption = None,
) -> None:
    """Show the gateway that this configuration runs. The exit code is 1 if none is running.

    Examples:
      fastgate status
      fastgate status --json
    """
    invocation = invocation_of(ctx)
    options = invocation.read_output(output, as_json=as_json, fields=fields, columns=COLUMNS)
    print_object(_describe(_read_note(invocation), invocation.now), COLUMNS, options)


def reload(
    ctx: typer.Context,
    output: OutputOption = None,
    as_json: JsonOption = False,
    fields: FieldsOption = None,
) -> None:
    """Have the gateway read its configuration anew and replace its workers; no connection is refused.

    An invalid configuration is told, and changes nothing. Keys and routes need no reload.

    Examples:
      fastgate reload
    """
    invocation = invocation_of(ctx)
    options = invocation.read_output(output, as_json=as_json, fields=fields, columns=COLUMNS)
    before = _read_note(invocation)
    if before.is_stopping:
        raise NotRunningError("the gateway is stopping", hint="'fastgate serve' runs another when it has")
    goal = before.rolls + (2 if before.is_rolling else 1)
    _send_signal(before, signal.SIGHUP)

    def is_done() -> bool:
        note = _read_note(invocation)
        if note.pid != before.pid:
            raise NotRunningError("the gateway ended instead", hint="its log says why")
        return note.rolls >= goal

    if not await_that(is_done, RELOAD_SECONDS_MAX, "reloading"):
        raise FastGateError("the gateway has not reloaded yet", hint="its log says what it does")
    note = _read_note(invocation)
    if note.trouble:
        raise InvalidInputError(
            f"not reloaded: {note.trouble}", hint="the gateway runs on as it was; mend that and reload again"
        )
    print_object(_describe(note, invocation.now), COLUMNS, options)


def stop(ctx: typer.Context) -> None:
    """Have the gateway finish the requests in flight and end; returns when it has.

    Requests that take longer than proxy.shutdown_grace are cut. One that is stopping already is waited for.

    Examples:
      fastgate stop
    """
    invocation = invocation_of(ctx)
    note = _read_note(invocation)
    if not note.is_stopping:  # a second signal would cut what the first one lets finish
        _send_signal(note, signal.SIGTERM)

    def is_done() -> bool:
        try:
            return _read_note(invocation).pid != note.pid
        except NotRunningError:
            return True

    seconds_max = invocation.settings.proxy.shutdown_grace + STOP_SECONDS_MAX
    if not await_that(is_done, seconds_max, "requests in flight finish"):
        raise FastGateError(
            f"the gateway ({note.pid}) has not ended", hint=f"'kill -9 {note.pid}' ends it; no row is lost"
        )
    print_note(f"stopped the gateway on {note.address}")


def await_that(is_done: Callable[[], bool], seconds_max: float, what: str) -> bool:
    """Ask again until it is done or the time is over; a person sees the seconds pass."""
    started, shown = time.monotonic(), 0
    try:
        while not is_done():
            if (passed := time.monotonic() - started) >= seconds_max:
                return False
            if int(passed) > shown and sys.stderr.isatty():
                shown = int(passed)
                _show(f"\r{what}: {shown} s")
            time.sleep(_POLL_SECONDS)
        return True
    finally:
        if shown:
            _show("\r\x1b[K")


def find_note(invocation: Invocation) -> Note | None:
    """Return what the gateway of this configuration says of itself; None if none is seen to run."""
    try:
        return _read_note(invocation)
    except (NotRunningError, JournalError):
        return None


def _read_note(invocation: Invocation) -> Note:
    from proxy.running import read_running

    return read_running(invocation.settings.audit.directory)


def _describe(note: Note, now: datetime) -> dict[str, Any]:
    return {
        "pid": note.pid,
        "address": note.address,
        "state": "stopping" if note.is_stopping else "reloading" if note.is_rolling else "running",
        "workers": note.workers,
        "uptime_s": round(max(0.0, now.timestamp() - note.started), 3),
        "version": note.version,
        "started": from_us(round(note.started * 1e6)),
        "worker_pids": note.worker_pids,
    }


def _send_signal(note: Note, number: signal.Signals) -> None:
    try:
        os.kill(note.pid, number)
    except ProcessLookupError:
        raise NotRunningError("the gateway has just ended", hint="'fastgate serve' runs one") from None
    except PermissionError:
        hint = "run this as the same user, or with sudo"
        raise InvalidInputError(f"the gateway ({note.pid}) is another user's", hint=hint) from None


def _show(text: str) -> None:
    with suppress(OSError):
        sys.stderr.write(text)
        sys.stderr.flush()
