"""The command line without the second that Python needs to load it, for examples that call it often.

One process has loaded every command. It forks for each call, and the child is what a new process would be:
with the caller's folder, environment and files, and nothing of the calls before. What runs on, as `serve`, is
not called this way, because a signal for it would reach the caller alone.

    python warm.py SOCKET ARGUMENTS...     what is called in place of the program; ends with its exit code
    python -m tests.docs.warm SOCKET       the process that forks, until its standard input ends
"""

from __future__ import annotations

import json
import os
import socket
import struct
import sys

_SIZE = struct.Struct("!I")
_FILES = (0, 1, 2)
COLD = ("serve", "mock", "quickstart", "top")


def call(address: str, arguments: list[str]) -> int:
    """Have a call made with this process's folder, environment and files; return its exit code."""
    request = json.dumps([arguments, os.getcwd(), dict(os.environ)]).encode()
    with socket.socket(socket.AF_UNIX) as wire:
        wire.connect(address)
        socket.send_fds(wire, [_SIZE.pack(len(request))], _FILES)
        wire.sendall(request)
        return int(wire.recv(16) or b"125")  # nothing: whoever made it is gone


def serve(address: str) -> None:
    """Fork for each call until standard input ends."""
    import select
    import threading
    from importlib import import_module
    from pkgutil import iter_modules

    import fastgate_cli.commands

    for module in iter_modules(fastgate_cli.commands.__path__):
        import_module(f"fastgate_cli.commands.{module.name}")
    for name in ("proxy.settings", "proxy.store.keys", "proxy.store.routes", "proxy.store.logs"):
        import_module(name)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen(64)
        print("ready", flush=True)
        while listener in select.select([listener, sys.stdin], [], [])[0]:
            wire, _ = listener.accept()
            child = os.fork()
            if child == 0:
                listener.close()
                _run(wire)
            threading.Thread(target=_report, args=(child, wire), daemon=True).start()


def _report(child: int, wire: socket.socket) -> None:
    _, status = os.waitpid(child, 0)
    with wire:
        wire.sendall(str(os.waitstatus_to_exitcode(status)).encode())


def _run(wire: socket.socket) -> None:
    """In the child: become the call, and never return."""
    from fastgate_cli.main import run

    code = 125
    try:
        head, files, _, _ = socket.recv_fds(wire, _SIZE.size, len(_FILES))
        (size,) = _SIZE.unpack(head)
        request = b""
        while len(request) < size:
            request += wire.recv(size - len(request))
        arguments, folder, environ = json.loads(request)
        for file, own in zip(files, _FILES, strict=True):
            os.dup2(file, own)
            os.close(file)
        # The streams of the process that forked were made for files of another kind.
        sys.stdin, sys.stdout = open(0, closefd=False), open(1, "w", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environ)
        sys.argv = ["fastgate", *arguments]
        run()
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else 1
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)


if __name__ == "__main__":
    if len(sys.argv) == 2 and __package__:
        serve(sys.argv[1])
    else:
        sys.exit(call(sys.argv[1], sys.argv[2:]))
