"""The terminal as a dashboard uses it: another screen, no cursor, each key at once; and as it was afterwards.

Only lines that have changed are written, and all of them in one piece that a terminal may show at once
(synchronized output, private mode 2026; one that does not know it takes no notice). Everything is written to
the file itself: what is interrupted in a buffer could come out when the terminal is somebody else's again.
"""

from __future__ import annotations

import os
import select
import termios
import tty
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Self

from rich.console import Console
from rich.text import Text

from fastgate_cli.dashboard.signals import holding_back

_BEGIN_UPDATE, _END_UPDATE = "\x1b[?2026h", "\x1b[?2026l"
_ENTER = "\x1b[?1049h\x1b[?25l\x1b[?7l"
# A signal can interrupt an update, and Ctrl-C has the terminal throw away what it has not yet shown: its end.
_LEAVE = f"{_END_UPDATE}\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l"
_CLEAR, _CLEAR_REST = "\x1b[0m\x1b[2J", "\x1b[K"
_SIZE_UNKNOWN = (80, 24)
# How long a terminal may take nothing before it is not waited for any longer.
_WRITE_SECONDS_MAX = 30.0
_KEYS_BYTES_MAX = 1024


class Screen:
    """A terminal by its two files. Outside of the `with` block it is as it was before."""

    def __init__(self, keyboard: int, display: int, *, coloured: bool) -> None:
        self.keyboard = keyboard
        self._display = display
        self._modes: list[Any] | None = None
        self._shown: list[str] = []
        self._size = (0, 0)
        self._known: dict[Any, str] = {}
        # The console makes texts of styles, and prints nothing.
        self._console = Console(
            force_terminal=True, no_color=not coloured, highlight=False, markup=False, emoji=False
        )

    def __enter__(self) -> Self:
        try:
            self.take()
        except BaseException:
            self.give_back()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.give_back()

    def take(self) -> None:
        """Take the terminal over. Raises `OSError` if it is gone."""
        with holding_back():
            self._modes = _read_modes(self.keyboard)
            tty.setcbreak(self.keyboard, termios.TCSANOW)
            self._write(_ENTER)
        self.forget()

    def give_back(self) -> None:
        """Leave the terminal as it was; a second time nothing happens. One that is gone is not missed."""
        with holding_back():
            modes, self._modes = self._modes, None
            if modes is None:
                return
            try:
                with suppress(OSError):
                    self._write(_LEAVE)
            finally:
                with suppress(OSError, termios.error):
                    termios.tcsetattr(self.keyboard, termios.TCSANOW, modes)

    def forget(self) -> None:
        """Draw everything anew next time: somebody else may have written to the terminal."""
        self._size = (0, 0)

    def measure(self) -> tuple[int, int]:
        """Return how many columns and lines there are."""
        try:
            size = os.get_terminal_size(self._display)
        except OSError:
            return _SIZE_UNKNOWN
        # A terminal that nobody has told its size says that it has none.
        return (size.columns, size.lines) if size.columns and size.lines else _SIZE_UNKNOWN

    def draw(self, lines: Sequence[Text], width: int) -> None:
        """Show lines, the first at the top. Raises `OSError` if the terminal is gone."""
        known = {self._identify(line): line for line in lines}
        self._known = {key: self._known.get(key) or self._encode(line) for key, line in known.items()}
        encoded = [self._known[self._identify(line)] for line in lines]
        pieces = []
        if self._size != (width, len(lines)):
            self._size, self._shown = (width, len(lines)), []
            pieces.append(_CLEAR)
        for number, text in enumerate(encoded):
            if number >= len(self._shown) or self._shown[number] != text:
                rest = "" if lines[number].cell_len >= width else _CLEAR_REST
                pieces.append(f"\x1b[{number + 1};1H{text}{rest}")
        self._shown = encoded
        if pieces:
            self._write(_BEGIN_UPDATE + "".join(pieces) + _END_UPDATE)

    def read_keys(self) -> bytes:
        """Return what was typed; nothing at all means that the terminal is gone."""
        try:
            return os.read(self.keyboard, _KEYS_BYTES_MAX)
        except OSError:
            return b""

    @staticmethod
    def _identify(line: Text) -> tuple[Any, ...]:
        return line.plain, line.style, tuple(line.spans)

    def _encode(self, line: Text) -> str:
        with self._console.capture() as captured:
            self._console.print(line, end="", no_wrap=True, overflow="ignore", crop=False, soft_wrap=True)
        return captured.get()

    def _write(self, text: str) -> None:
        data = memoryview(text.encode(errors="replace"))
        while data:
            try:
                data = data[os.write(self._display, data) :]
            except BlockingIOError:
                # Whoever shares the terminal has made its file one that does not wait.
                if not select.select([], [self._display], [], _WRITE_SECONDS_MAX)[1]:
                    raise


def _read_modes(keyboard: int) -> list[Any]:
    try:
        return termios.tcgetattr(keyboard)
    except termios.error as error:
        raise OSError(*error.args) from None
