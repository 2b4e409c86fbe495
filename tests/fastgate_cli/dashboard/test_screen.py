"""The terminal is taken and given back whole, and gets no more than what has changed."""

from __future__ import annotations

import os
import pty
import signal
import struct
import termios
import threading
from collections.abc import Iterator
from fcntl import ioctl

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.text import Text

from fastgate_cli.dashboard.screen import Screen
from tests.fastgate_cli.dashboard.terminals import Display

WIDTH, HEIGHT = 20, 4
_MARK = b"<that is all>"
lines_of = st.lists(st.text("abc ─é", max_size=WIDTH), min_size=HEIGHT, max_size=HEIGHT)


class Pty:
    """Both ends of a pseudo-terminal, and what is seen on it."""

    def __init__(self) -> None:
        self.ours, self.theirs = pty.openpty()
        ioctl(self.theirs, termios.TIOCSWINSZ, struct.pack("HHHH", HEIGHT, WIDTH, 0, 0))
        # What is written comes out as it is.
        modes = termios.tcgetattr(self.theirs)
        modes[1] = 0
        termios.tcsetattr(self.theirs, termios.TCSANOW, modes)
        self.before = termios.tcgetattr(self.theirs)
        self.display = Display(WIDTH, HEIGHT)

    def screen(self, *, coloured: bool = True) -> Screen:
        return Screen(self.theirs, self.theirs, coloured=coloured)

    def written(self) -> str:
        """Return what was written since the last time, and show it."""
        os.write(self.theirs, _MARK)
        data = b""
        while not data.endswith(_MARK):
            data += os.read(self.ours, 65536)
        text = data.removesuffix(_MARK).decode()
        self.display.feed(text)
        return text


@pytest.fixture
def terminal() -> Iterator[Pty]:
    made = Pty()
    yield made
    os.close(made.ours)
    os.close(made.theirs)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)


def draw(screen: Screen, *texts: str) -> None:
    screen.draw([Text(text) for text in texts], WIDTH)


def test_it_is_another_screen_without_a_cursor_and_then_as_it_was(terminal: Pty) -> None:
    with terminal.screen():
        terminal.written()
        assert terminal.display.modes == {1049: True, 25: False, 7: False}
        modes = termios.tcgetattr(terminal.theirs)[3]
        assert not modes & (termios.ICANON | termios.ECHO)
        assert modes & termios.ISIG  # Ctrl-C and Ctrl-Z are still signals
    terminal.written()
    assert terminal.display.modes == {1049: False, 25: True, 7: True, 2026: False}
    assert termios.tcgetattr(terminal.theirs) == terminal.before


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_whatever_happens_it_is_given_back(terminal: Pty, error: type[BaseException]) -> None:
    with pytest.raises(error), terminal.screen():
        raise error
    terminal.written()
    assert termios.tcgetattr(terminal.theirs) == terminal.before
    assert not terminal.display.modes[1049]


def test_an_update_that_a_signal_interrupts_is_ended(terminal: Pty) -> None:
    interrupted = threading.Event()
    read = bytearray()

    def interrupt() -> None:
        while b"x" not in read:
            read.extend(os.read(terminal.ours, 100))
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        assert interrupted.wait(20)
        while b"\x1b[?1049l" not in read:
            read.extend(os.read(terminal.ours, 65536))

    reader = threading.Thread(target=interrupt)
    reader.start()
    screen = terminal.screen()
    screen.take()
    with pytest.raises(KeyboardInterrupt):
        screen.draw([Text("x" * 60_000)], 60_000)
    interrupted.set()
    screen.give_back()
    reader.join(20)
    assert read.count(b"x") < 60_000
    terminal.display.feed(read.decode())
    assert terminal.display.modes == {1049: False, 25: True, 7: True, 2026: False}


def test_a_second_time_it_is_not_given_back_again(terminal: Pty) -> None:
    screen = terminal.screen()
    with screen:
        screen.give_back()
        terminal.written()
    assert terminal.written() == ""


def test_what_fails_half_way_is_undone(terminal: Pty, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Screen, __: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Screen, "_write", fail)
    with pytest.raises(KeyboardInterrupt):
        terminal.screen().__enter__()
    assert termios.tcgetattr(terminal.theirs) == terminal.before


@given(frames=st.lists(lines_of, min_size=1, max_size=5))
def test_what_is_seen_is_what_was_drawn_last(frames: list[list[str]]) -> None:
    terminal = Pty()
    with terminal.screen() as screen:
        for frame in frames:
            draw(screen, *frame)
            terminal.written()
            assert [line.rstrip() for line in terminal.display.lines] == [line.rstrip() for line in frame]
        assert terminal.display.unknown == []
    os.close(terminal.ours)
    os.close(terminal.theirs)


def test_only_lines_that_have_changed_are_written_and_all_of_them_at_once(terminal: Pty) -> None:
    with terminal.screen() as screen:
        draw(screen, "one", "two", "three", "four")
        terminal.written()
        draw(screen, "one", "TWO", "three", "four")
        text = terminal.written()
        assert "TWO" in text
        assert "one" not in text
        assert text.startswith("\x1b[?2026h")
        assert text.endswith("\x1b[?2026l")
        draw(screen, "one", "TWO", "three", "four")
        assert terminal.written() == ""
        screen.forget()
        draw(screen, "one", "TWO", "three", "four")
        assert "one" in terminal.written()


def test_another_size_is_drawn_anew(terminal: Pty) -> None:
    with terminal.screen() as screen:
        draw(screen, "one", "two")
        terminal.written()
        ioctl(terminal.theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 3, 30, 0, 0))
        assert screen.measure() == (30, 3)
        screen.draw([Text("one"), Text("two")], 30)
        assert "\x1b[2J" in terminal.written()


def test_a_terminal_without_a_size_is_taken_for_a_usual_one(terminal: Pty) -> None:
    ioctl(terminal.theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 0, 0, 0, 0))
    assert terminal.screen().measure() == (80, 24)


def test_styles_are_shown_and_without_colour_only_those_that_are_none(terminal: Pty) -> None:
    line = Text.assemble(("red", "bold red"), ("back", "reverse"))
    with terminal.screen() as screen:
        terminal.written()
        screen.draw([line], WIDTH)
        assert "\x1b[1;31mred" in terminal.written()
    with terminal.screen(coloured=False) as screen:
        terminal.written()
        screen.draw([line], WIDTH)
        text = terminal.written()
        assert "\x1b[1mred" in text
        assert "\x1b[7mback" in text
        assert "31m" not in text


def test_keys_come_as_they_are_typed(terminal: Pty) -> None:
    with terminal.screen() as screen:
        os.write(terminal.ours, b"q\x1b[A")
        assert screen.read_keys() == b"q\x1b[A"


def test_a_terminal_that_is_gone_gives_no_keys_and_is_not_missed() -> None:
    terminal = Pty()
    with terminal.screen() as screen:
        os.close(terminal.ours)
        assert screen.read_keys() == b""
        with pytest.raises(OSError, match="Input/output"):
            draw(screen, "one")
    os.close(terminal.theirs)


def test_a_file_that_does_not_wait_gets_everything(terminal: Pty) -> None:
    os.set_blocking(terminal.theirs, False)
    read = bytearray()

    def read_on() -> None:
        while b"END" not in read:
            read.extend(os.read(terminal.ours, 100))

    reader = threading.Thread(target=read_on)
    screen = terminal.screen()
    screen.take()
    reader.start()
    screen.draw([Text("x" * 60_000 + "END")], 60_003)
    reader.join(20)
    assert not reader.is_alive()
    assert read.count(b"x") == 60_000
