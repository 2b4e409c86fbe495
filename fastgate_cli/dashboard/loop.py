"""The loop of the dashboard: it waits for keys, signals and news, and draws what has changed.

It never reads the database: that is for the readers' threads. So a key works at once, whatever they do.
"""

from __future__ import annotations

import select
import signal
import time
from collections import deque
from collections.abc import Sequence
from datetime import tzinfo

from fastgate_cli.dashboard.board import Board, take_news
from fastgate_cli.dashboard.keys import decode_keys
from fastgate_cli.dashboard.page import build_page
from fastgate_cli.dashboard.paper import Paper
from fastgate_cli.dashboard.reader import Crash, News, Reader
from fastgate_cli.dashboard.request import SheetPrinter
from fastgate_cli.dashboard.screen import Screen
from fastgate_cli.dashboard.signals import EndedError, Wake, stop_here
from fastgate_cli.dashboard.state import ParseFilter, Seen, State, press_key, wish_of
from proxy.clock import from_us, now_us

# How long a sequence of a key may take to come whole, and how long news are gathered before they are drawn.
ESCAPE_SECONDS = 0.05
GATHER_SECONDS = 0.02
_SETTLE_SECONDS = 0.5


class Mailbox:
    """Where the readers put their news, for the loop to take them out."""

    def __init__(self, wake: Wake) -> None:
        self._wake = wake
        self._news: deque[News] = deque()

    def put(self, news: News) -> None:
        """Put something in; safe from any thread."""
        self._news.append(news)
        self._wake.ring()

    def take(self) -> list[News]:
        """Take everything out."""
        return [self._news.popleft() for _ in range(len(self._news))]


class Loop:
    """A dashboard that runs. `noted` are the signals that have come and are to be looked at."""

    def __init__(
        self,
        screen: Screen,
        readers: Sequence[Reader],
        mailbox: Mailbox,
        parse_filter: ParseFilter,
        *,
        state: State,
        zone: tzinfo,
        plain: bool,
        refresh_seconds: float,
    ) -> None:
        self._screen = screen
        self._readers = readers
        self._mailbox = mailbox
        self._parse_filter = parse_filter
        self._state = state
        self._zone = zone
        self._plain = plain
        self._refresh_seconds = refresh_seconds
        self._board = Board()
        self._seen = Seen()
        self._printer = SheetPrinter()
        self._typed = b""  # a part of a key
        self._typed_at = 0.0
        self._draw_at = 0.0
        self._pressed_at = 0.0

    def run(self, wake: Wake, noted: set[int]) -> None:
        """Run until the key that ends it. Raises `EndedError`, `KeyboardInterrupt`, or what a reader met."""
        self._ask()
        while not self._state.has_quit:
            if time.monotonic() >= self._draw_at:
                self._draw()
            is_typed = self._wait(wake)
            if noted:
                self._heed(noted)
            self._take_news()
            self._take_keys(is_typed=is_typed)

    def _ask(self) -> None:
        for reader in self._readers:
            reader.ask(wish_of(self._state))

    def _wait(self, wake: Wake) -> bool:
        """Wait for anything to happen; tell whether something was typed."""
        seconds = max(0.0, self._draw_at - time.monotonic())
        if self._typed:
            seconds = min(seconds, ESCAPE_SECONDS)
        ready, _, _ = select.select([self._screen.keyboard, wake.file], [], [], seconds)
        if wake.file in ready:
            wake.clear()
        return self._screen.keyboard in ready

    def _heed(self, noted: set[int]) -> None:
        if signal.SIGTSTP in noted:
            noted.discard(signal.SIGTSTP)
            self._screen.give_back()
            stop_here()
            noted.discard(signal.SIGCONT)
            self._screen.take()
        elif signal.SIGCONT in noted:
            # It was stopped by force: what the terminal is like now is not known.
            self._screen.give_back()
            self._screen.take()
        noted.clear()
        self._draw_at = 0.0

    def _take_news(self) -> None:
        for news in self._mailbox.take():
            if isinstance(news, Crash):
                raise news.error
            self._board = take_news(self._board, news)
            now = time.monotonic()
            # What was asked for by a key is shown at once, what comes by itself at the next refresh.
            is_asked = now - self._pressed_at < _SETTLE_SECONDS
            delay = GATHER_SECONDS if is_asked else min(self._refresh_seconds, _SETTLE_SECONDS)
            self._draw_at = min(self._draw_at, now + delay)

    def _take_keys(self, *, is_typed: bool) -> None:
        if is_typed:
            data = self._screen.read_keys()
            if not data:
                raise EndedError(signal.SIGHUP)
            keys, self._typed = decode_keys(self._typed + data)
            self._typed_at = time.monotonic()
        elif self._typed and time.monotonic() - self._typed_at >= ESCAPE_SECONDS:
            keys, self._typed = decode_keys(self._typed, is_all=True)
        else:
            return
        for key in keys:
            if not self._state.has_quit:
                self._press(key)

    def _press(self, key: str) -> None:
        if key == "ctrl-l":
            self._screen.forget()
        state = press_key(self._state, key, self._seen, self._parse_filter)
        self._draw_at = 0.0
        self._pressed_at = time.monotonic()
        if state != self._state:
            self._state = state
            self._ask()

    def _draw(self) -> None:
        width, height = self._screen.measure()
        paper = Paper(width, height, self._zone, from_us(now_us()), self._plain)
        busy_seconds = max((reader.busy_seconds for reader in self._readers), default=0.0)
        page = build_page(self._board, self._state, paper, self._printer, busy_seconds)
        self._seen = page.seen
        try:
            self._screen.draw(page.lines, width)
        except OSError:
            raise EndedError(signal.SIGHUP) from None  # the terminal is gone
        self._draw_at = time.monotonic() + self._refresh_seconds
