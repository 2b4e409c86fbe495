"""A terminal for tests: a pseudo-terminal, and as much of an emulator as shows what is on its screen.

It knows what our screen writes (a cursor that is placed, lines that are cleared, the alternate screen) and
notes what it does not know, so that a test can tell that there is nothing of that.
"""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from fcntl import ioctl
from pathlib import Path
from typing import Any

from rich.cells import cell_len, set_cell_size

WAIT_SECONDS = 30
_PIECE = re.compile(
    r"\x1b\[(?P<row>\d+);(?P<column>\d+)H"
    r"|\x1b\[(?P<clear>2?[JK])"
    r"|\x1b\[\?(?P<mode>\d+)(?P<state>[hl])"
    r"|\x1b\[(?P<style>[0-9;]*)m"
    r"|(?P<line>[\r\n])"
    r"|(?P<unknown>\x1b.?)"
    r"|(?P<text>[^\x1b\r\n]+)"
)


class Display:
    """What a screen shows, worked out from what was written to it."""

    def __init__(self, width: int, height: int) -> None:
        self.modes: dict[int, bool] = {25: True, 7: True, 1049: False}
        self.unknown: list[str] = []
        self.main = ""  # what was written to the main screen
        self.has_overflowed = False  # something was written where there is no room
        self._rest = ""
        self.resize(width, height)

    def resize(self, width: int, height: int) -> None:
        self.width = width
        self.lines = [""] * height
        self._row = 0

    def feed(self, text: str) -> None:
        """Show more of what was written."""
        text = self._rest + text
        place = 0
        while match := _PIECE.match(text, place):
            if match["unknown"] and match.end() >= len(text) - 1:
                break  # the rest of it is yet to come
            self._take(match)
            place = match.end()
        self._rest = text[place:]

    def _take(self, match: re.Match[str]) -> None:
        if match["mode"]:
            self.modes[int(match["mode"])] = match["state"] == "h"
        elif match["unknown"]:
            self.unknown.append(match[0])
        elif not self.modes[1049]:
            self.main += match["text"] or match["line"] or ""
        elif match["row"]:
            assert match["column"] == "1"
            self._row = int(match["row"]) - 1
            if self._row < len(self.lines):
                self.lines[self._row] = ""
        elif match["clear"] == "2J":
            self.lines = [""] * len(self.lines)
        elif match["text"] and self._row < len(self.lines):
            line = self.lines[self._row] + match["text"]
            self.has_overflowed |= cell_len(line) > self.width
            self.lines[self._row] = set_cell_size(line, min(cell_len(line), self.width))
        elif match["text"]:
            self.has_overflowed = True

    @property
    def screen(self) -> str:
        """All lines, without the space behind them."""
        return "\n".join(line.rstrip() for line in self.lines)


def own_terminal() -> None:
    """Make standard input the terminal of a new session, whose keys then are signals: for `preexec_fn`."""
    os.setsid()
    ioctl(0, termios.TIOCSCTTY, 0)


class Terminal:
    """A process on a pseudo-terminal of its own."""

    def __init__(
        self,
        command: Sequence[str],
        environ: Mapping[str, str],
        folder: Path,
        *,
        width: int = 80,
        height: int = 24,
        **options: Any,
    ) -> None:
        self.ours, theirs = pty.openpty()
        ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
        self.before = termios.tcgetattr(theirs)
        self.display = Display(width, height)
        self.raw = ""
        self.process = subprocess.Popen(
            [*command],
            env=dict(environ),
            cwd=folder,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            **options,
        )
        # Kept open: what the terminal is set to can be asked for after the process has ended.
        self.theirs = theirs

    def press(self, *keys: str) -> None:
        """Type something."""
        for key in keys:
            os.write(self.ours, key.encode())

    def resize(self, width: int, height: int) -> None:
        """Give the terminal another size, as a window does."""
        self.display.resize(width, height)
        ioctl(self.theirs, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
        self.process.send_signal(signal.SIGWINCH)

    def wait_for(self, *texts: str, absent: Sequence[str] = ()) -> str:
        """Return the screen once it shows all of some texts, and none of others."""
        return self.wait_until(
            lambda screen: (
                all(text in screen for text in texts) and not any(text in screen for text in absent)
            )
        )

    def wait_until(self, is_so: Callable[[str], bool]) -> str:
        """Return the screen once it is as it is to be."""
        deadline = time.monotonic() + WAIT_SECONDS
        while not is_so(self.display.screen):
            assert time.monotonic() < deadline, self.display.screen + "\n--\n" + self.display.main
            self.read(0.05)
        return self.display.screen

    def read(self, seconds: float) -> bool:
        """Take what was written; tell whether there was anything within a time."""
        if not select.select([self.ours], [], [], seconds)[0]:
            return False
        try:
            text = os.read(self.ours, 65536).decode()
        except OSError:
            return False  # Linux says so when the other side of a terminal has gone
        self.raw += text
        self.display.feed(text)
        return True

    def end(self) -> int:
        """Return the exit code, below zero of a signal, once the process has ended by itself."""
        deadline = time.monotonic() + WAIT_SECONDS
        while self.process.poll() is None:
            assert time.monotonic() < deadline, self.display.screen
            self.read(0.05)
        while self.read(0):
            pass
        return self.process.returncode

    def is_restored(self) -> bool:
        """Tell whether the terminal is as it was before the process: its modes, its screen, its cursor."""
        modes = termios.tcgetattr(self.theirs)
        shown = self.display.modes
        ended = not shown[1049] and not shown.get(2026)
        return modes == self.before and ended and shown[25] and shown[7]

    def close(self) -> None:
        """End whatever is left."""
        self.process.kill()
        self.process.wait(WAIT_SECONDS)
        os.close(self.ours)
        os.close(self.theirs)
