"""One worker as the supervisor sees it: a process, its orders, its report, and how it is brought to its end.

The two talk over one socket pair, which is the worker's standard input. The worker gets its orders there,
and nothing of a configuration is ever on a command line; it answers with one line when it serves, or with
the error for which it cannot. After that the socket is its leash: when it ends, because the supervisor is
gone, the worker drains and ends too.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import pickle
import signal
import socket
import struct
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from typing import Self

from proxy import errors
from proxy.applog.sink import LogSink
from proxy.errors import ConfigurationError, FastGateError, InvalidInputError
from proxy.interpreter import build_command, build_environ
from proxy.settings import Settings

MODULE = "proxy.runtime.worker"
START_SECONDS_MAX = 60.0
# A worker cuts what is left when its grace is over; one that is not gone this much later is helped.
END_SECONDS_MAX = 5.0
_LENGTH = struct.Struct("<I")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Orders:
    """What a worker is to do: serve a configuration on an inherited socket, under a number from 1 on."""

    settings: Settings
    number: int
    listener_fd: int


def send_orders(wire: socket.socket, orders: Orders) -> None:
    """Write orders to a worker that is just starting."""
    # Pickle is for a reader that trusts its writer: here both are this program, and the pipe is their own.
    payload = pickle.dumps(orders)
    wire.sendall(_LENGTH.pack(len(payload)) + payload)


def receive_orders(wire: socket.socket) -> Orders:
    """Read what `send_orders` wrote; raises `EOFError` if the supervisor has gone meanwhile."""
    (length,) = _LENGTH.unpack(_receive_exactly(wire, _LENGTH.size))
    orders = pickle.loads(_receive_exactly(wire, length))  # noqa: S301
    assert isinstance(orders, Orders)
    return orders


def _receive_exactly(wire: socket.socket, length: int) -> bytes:
    data = wire.recv(length, socket.MSG_WAITALL)
    if len(data) < length:
        raise EOFError("the supervisor has gone")
    return data


def build_report(error: FastGateError | None) -> bytes:
    """Return the line with which a worker says that it serves (None), or why it cannot."""
    if error is None:
        return b"{}\n"
    report = {"kind": type(error).__name__, "message": error.message, "hint": error.hint}
    return json.dumps(report).encode() + b"\n"


def read_report(line: bytes) -> None:
    """Raise the error that a worker's line tells; return if it serves."""
    report = json.loads(line)
    if not report:
        return
    kind = getattr(errors, report["kind"], FastGateError)
    if kind is ConfigurationError:  # its problems are in the message already
        kind = InvalidInputError
    raise kind(report["message"], hint=report["hint"])


class WorkerProcess:
    """A worker's process. `spawn` it, wait until it is `ready`, and `end` it."""

    def __init__(
        self,
        orders: Orders,
        process: asyncio.subprocess.Process,
        wire: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self.number = orders.number
        self._grace_seconds = orders.settings.proxy.shutdown_grace
        self._process = process
        self._reader, self._writer = wire

    @classmethod
    async def spawn(
        cls, settings: Settings, listener: socket.socket, number: int, sink: LogSink | None = None
    ) -> Self:
        """Start a worker; raises `FastGateError` if this machine can run no more processes.

        Without a sink its log goes to this process's standard error, as it would be handed over.
        """
        orders = Orders(settings, number, listener.fileno())
        ours, theirs = socket.socketpair()
        try:
            with theirs, sink.open_pipe(f"worker-{number}") if sink else nullcontext() as pipe:
                process = await asyncio.create_subprocess_exec(
                    *build_command(MODULE),
                    env=build_environ(os.environ),
                    stdin=theirs.fileno(),
                    stdout=asyncio.subprocess.DEVNULL,
                    stderr=pipe,
                    pass_fds=[orders.listener_fd],
                    start_new_session=True,  # Ctrl-C in a terminal is for the supervisor
                )
            with suppress(ConnectionError):  # it has died already: `ready` says how
                send_orders(ours, orders)
            wire = await asyncio.open_connection(sock=ours)
        except OSError as error:
            ours.close()
            hint = "is there memory, and are there file descriptors (ulimit -n), to spare?"
            raise FastGateError(f"worker {number} cannot be started: {error}", hint=hint) from error
        except BaseException:
            ours.close()
            raise
        return cls(orders, process, wire)

    @property
    def pid(self) -> int:
        """Return the worker's process id."""
        return self._process.pid

    async def ready(self) -> None:
        """Return once it serves. Raises the error that kept it from that; it has ended, or soon has."""
        line = b""
        try:
            async with asyncio.timeout(START_SECONDS_MAX):
                line = await self._reader.readline()
        except TimeoutError:
            self._send(signal.SIGKILL)
        except OSError:
            pass  # it died with its orders unread
        if not line:
            raise FastGateError(
                f"worker {self.number} ended with {await self.wait()} before it was ready",
                hint="the log may say why",
            )
        read_report(line)

    async def wait(self) -> int:
        """Return its exit code once it has ended, negative for a signal."""
        code = await self._process.wait()
        self._writer.close()
        return code

    def let_go(self) -> None:
        """Let it drain and end by itself, as it would if this process had died."""
        self._writer.close()

    async def end(self, hurry: asyncio.Event) -> None:
        """Have it finish its requests within its grace; as soon as `hurry` is set, have it cut them.

        Returns when it is gone: one that does not come to an end is killed.
        """
        self._send(signal.SIGTERM)
        if await self._is_gone(self._grace_seconds + END_SECONDS_MAX, hurry):
            return
        # Another signal than the first: two of a kind that come together are one.
        self._send(signal.SIGINT)
        if not await self._is_gone(END_SECONDS_MAX):
            _log.error("worker %d (%d) does not end; it is killed", self.number, self.pid)
            self._send(signal.SIGKILL)
            await self.wait()

    async def _is_gone(self, seconds: float, hurry: asyncio.Event | None = None) -> bool:
        gone = asyncio.ensure_future(self.wait())
        waits = [gone] if hurry is None else [gone, asyncio.ensure_future(hurry.wait())]
        try:
            await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            return gone.done()
        finally:
            for wait in waits:
                wait.cancel()

    def _send(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            self._process.send_signal(number)
