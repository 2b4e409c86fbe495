"""Long texts for people: through a pager on a terminal, if there is one, as `gh` and `git` do it.

A pager is what FASTGATE_PAGER names, or else PAGER. Without one, or with `cat`, the text is just printed.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress


def find_pager(environ: Mapping[str, str] | None = None) -> list[str]:
    """Return the command of the pager; empty where there is none, or nobody to look at it."""
    environ = os.environ if environ is None else environ
    wanted = environ.get("FASTGATE_PAGER", environ.get("PAGER", ""))
    try:
        command = shlex.split(wanted)
    except ValueError:
        return []
    is_seen = sys.stdout.isatty() and environ.get("TERM", "").lower() not in ("dumb", "unknown")
    return command if is_seen and command[:1] != ["cat"] else []


def print_paged(text: str, pager: Sequence[str]) -> None:
    """Print a text to stdout, through the pager if it is longer than the screen."""
    if pager and text.count("\n") >= shutil.get_terminal_size().lines and _show(text, pager):
        return
    sys.stdout.write(text)
    sys.stdout.flush()


def _show(text: str, pager: Sequence[str]) -> bool:
    # As git has it: quit at once if it fits, let colours through, leave the screen as it is.
    environ = {"LESS": "FRX", "LV": "-c", **os.environ}
    try:
        process = subprocess.Popen(pager, stdin=subprocess.PIPE, env=environ)  # noqa: S603
    except OSError:
        return False
    try:
        process.communicate(text.encode("utf-8", "backslashreplace"))
    except KeyboardInterrupt:
        _wait(process)  # Ctrl-C in a pager is the pager's
    return True


def _wait(process: subprocess.Popen[bytes]) -> None:
    with suppress(OSError):
        if process.stdin:
            process.stdin.close()
    while True:
        try:
            process.wait()
        except KeyboardInterrupt:
            continue
        return
