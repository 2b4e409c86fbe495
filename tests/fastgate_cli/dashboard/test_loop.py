"""The loop draws what has changed, heeds keys and signals at once, and ends as it is told to."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest
from rich.text import Text

from fastgate_cli.dashboard import loop as loop_module
from fastgate_cli.dashboard.board import Answer, Trouble
from fastgate_cli.dashboard.loop import Loop, Mailbox
from fastgate_cli.dashboard.question import Wish
from fastgate_cli.dashboard.reader import Crash, Reader
from fastgate_cli.dashboard.screen import Screen
from fastgate_cli.dashboard.signals import EndedError, Wake, listening
from fastgate_cli.dashboard.source import Source
from fastgate_cli.dashboard.state import State
from proxy.errors import InvalidInputError
from proxy.store.log_filter import LogFilter
from tests.fastgate_cli.dashboard.boards import NOW, QUESTION, picture, request

Script = Sequence[tuple[str, Any]]
SLOW = 3_600.0


class PlayedScreen(Screen):
    """A screen that somebody looks at: whenever what is awaited is seen, the next thing happens."""

    def __init__(self, script: Script, size: tuple[int, int] = (80, 24)) -> None:
        keyboard, self.fingers = os.pipe()
        super().__init__(keyboard, -1, coloured=False)
        self.script = [*script]
        self.size = size
        self.shown: list[str] = []
        self.taken = 0

    def measure(self) -> tuple[int, int]:
        return self.size

    def draw(self, lines: Sequence[Text], width: int) -> None:
        screen = "\n".join(line.plain for line in lines)
        self.shown.append(screen)
        if self.script and self.script[0][0] in screen:
            _, happens = self.script.pop(0)
            happens() if callable(happens) else os.write(self.fingers, happens)

    def take(self) -> None:
        self.taken += 1

    def give_back(self) -> None:
        self.taken -= 1


class AskedReader(Reader):
    """A reader that reads nothing, and remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__("asked", Source(Path("nowhere"), lambda: pytest.fail("it was opened")), [], print)
        self.asked: list[Wish] = []

    def ask(self, wish: Wish) -> None:
        if self.asked[-1:] != [wish]:
            self.asked.append(wish)


class Play:
    """A loop with what is around it."""

    def __init__(self, *script: tuple[str, Any], refresh_seconds: float = SLOW) -> None:
        self.wake = Wake()
        self.mailbox = Mailbox(self.wake)
        self.reader = AskedReader()
        self.screen = PlayedScreen(script)
        self.loop = Loop(
            self.screen,
            [self.reader],
            self.mailbox,
            parse,
            state=State(),
            zone=UTC,
            plain=False,
            refresh_seconds=refresh_seconds,
        )

    def run(self) -> list[str]:
        """Run to the end, by which all of the script is to have happened; return the screens."""
        with listening(self.wake) as noted:
            self.loop.run(self.wake, noted)
        assert self.screen.script == []
        return self.screen.shown

    def tell(self, part: str, value: Any) -> Any:
        return lambda: self.mailbox.put(Answer(part, QUESTION, value, NOW))


def parse(text: str) -> LogFilter:
    if text.startswith("-"):
        return LogFilter(sources=(text,))
    raise InvalidInputError("that is no filter")


def test_it_draws_and_asks_at_once_and_ends_with_q() -> None:
    play = Play(("FastGate", b"q"))
    assert len(play.run()) == 1
    assert play.reader.asked == [Wish()]


def test_news_are_drawn_when_they_come() -> None:
    play = Play(refresh_seconds=0.2)
    play.screen.script = [
        ("looking for the gateway", play.tell("picture", picture())),
        ("3600 requests", play.tell("latest", [request("a")])),
        ("/v1/chat", b"q"),
    ]
    play.run()


def test_many_news_are_one_picture() -> None:
    play = Play()

    def tell_all() -> None:
        for turn in range(50):
            play.tell("latest", [request(str(turn), path=f"/{turn}")])()
        os.write(play.screen.fingers, b"s")

    play.screen.script = [("looking", tell_all), ("/49", b"q")]
    assert len(play.run()) <= 3


def test_what_a_key_has_asked_for_is_drawn_without_waiting_for_the_refresh() -> None:
    play = Play()
    play.screen.script = [
        ("LAST 5 MINUTES", b"4"),
        ("LAST 24 HOURS", play.tell("picture", picture())),
        ("3600 requests", b"q"),
    ]
    play.run()
    assert [wish.question.range.name for wish in play.reader.asked] == ["5m", "24h"]


def test_it_is_drawn_again_at_every_refresh() -> None:
    seen = iter(range(100))
    play = Play(refresh_seconds=0.01)
    play.screen.script = [("FastGate", lambda: next(seen))] * 5 + [("FastGate", b"q")]
    assert len(play.run()) == 6


def test_an_escape_is_told_from_a_sequence_that_begins_with_one() -> None:
    play = Play(
        ("q quit", b"f"),
        ("filter: ", b"--x\x1b"),
        ("q quit", b"\x1b"),
        ("q quit", b"?"),
        ("KEYS", b"\x1b[B"),  # any key but one of those that quit
        ("q quit", b"q"),
    )
    play.run()


def test_a_sequence_that_comes_in_pieces_is_one_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_module, "ESCAPE_SECONDS", SLOW)
    play = Play(refresh_seconds=0.01)
    pieces = iter([b"\x1b", b"[", b"B"])
    send = lambda: os.write(play.screen.fingers, next(pieces))  # noqa: E731
    play.tell("latest", [request("a")])()
    play.screen.script = [("FastGate", send)] * 3 + [("esc let go", b"q")]
    play.run()


def test_what_is_wrong_with_a_filter_stands_in_its_line() -> None:
    play = Play(
        ("q quit", b"fx\r"),
        ("filter: x   that is no filter", b"\x7f-y\r"),
        ("filter: -y", b"q"),
    )
    play.run()
    assert play.reader.asked[-1].question.wanted == LogFilter(sources=("-y",))


def test_keys_behind_the_one_that_quits_do_nothing() -> None:
    play = Play(("q quit", b"q5"))
    play.run()
    assert play.reader.asked == [Wish()]


def test_an_opened_request_is_asked_for_and_let_go_again() -> None:
    play = Play()
    play.tell("latest", [request("a")])()
    play.screen.script = [("q quit", b"s"), ("/v1/chat", b"\r"), ("esc back", b"\x1b"), ("let go", b"q")]
    play.run()
    assert [wish.opened for wish in play.reader.asked] == ["", "log_a", ""]


def test_a_resized_terminal_is_drawn_at_its_new_size() -> None:
    play = Play()

    def grow() -> None:
        play.screen.size = (200, 50)
        signal.raise_signal(signal.SIGWINCH)

    play.screen.script = [("24 HOURS", grow), ("WHAT FAILED", b"q")]
    play.run()


def test_trouble_is_told_and_over_when_it_is_over() -> None:
    play = Play(refresh_seconds=0.01)
    play.screen.script = [
        ("FastGate", lambda: play.mailbox.put(Trouble("pulse", "it is locked"))),
        ("it is locked", lambda: play.mailbox.put(Trouble("pulse", ""))),
        ("LATENCY", b"q"),
    ]
    assert "it is locked" not in play.run()[-1]


def test_a_mistake_of_a_reader_is_the_end() -> None:
    play = Play()
    play.screen.script = [("FastGate", lambda: play.mailbox.put(Crash(ZeroDivisionError("oh"))))]
    with pytest.raises(ZeroDivisionError):
        play.run()


def test_a_keyboard_that_is_gone_is_the_end() -> None:
    play = Play()
    play.screen.script = [("FastGate", lambda: os.close(play.screen.fingers))]
    with pytest.raises(EndedError) as caught:
        play.run()
    assert caught.value.number == signal.SIGHUP


def test_a_display_that_is_gone_is_the_end() -> None:
    play = Play()

    def fail() -> None:
        raise OSError(5, "Input/output error")

    play.screen.script = [("FastGate", fail)]
    with pytest.raises(EndedError):
        play.run()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signals_end_it(number: signal.Signals) -> None:
    play = Play(("FastGate", lambda: signal.raise_signal(number)))
    with pytest.raises(EndedError):
        play.run()


def test_while_it_is_stopped_the_terminal_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    play = Play()
    monkeypatch.setattr(loop_module, "stop_here", lambda: taken.append(play.screen.taken))
    play.screen.script = [("FastGate", lambda: signal.raise_signal(signal.SIGTSTP)), ("FastGate", b"q")]
    play.screen.take()
    play.run()
    assert taken == [0]
    assert play.screen.taken == 1


def test_going_on_after_a_stop_by_force_draws_everything_anew() -> None:
    play = Play(("FastGate", lambda: signal.raise_signal(signal.SIGCONT)), ("FastGate", b"q"))
    play.screen.take()
    assert len(play.run()) == 2
    assert play.screen.taken == 1


def test_control_l_draws_everything_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    forgotten: list[bool] = []
    play = Play(("FastGate", b"\x0c"), ("FastGate", b"q"))
    monkeypatch.setattr(play.screen, "forget", lambda: forgotten.append(True))
    play.run()
    assert forgotten == [True]
