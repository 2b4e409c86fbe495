"""Whatever is pressed, the state makes sense, and each key does what the help says."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from fastgate_cli.columns import Row
from fastgate_cli.dashboard.line import Line
from fastgate_cli.dashboard.question import RANGES
from fastgate_cli.dashboard.state import SORTS, Seen, State, press_key, wish_of
from proxy.errors import InvalidInputError
from proxy.store.log_filter import LogFilter
from tests.fastgate_cli.dashboard.boards import request

ROWS = [request(str(turn), -turn) for turn in range(8)]
SEEN = Seen(ROWS, page=3, lines=50, height=10)
KEYS = (
    *("q", "p", " ", "f", "/", "s", "?", "h", "j", "k", "g", "G", "x", "é", "1", "2", "3", "4", "5", "6"),
    *("up", "down", "left", "right", "home", "end", "pageup", "pagedown", "tab", "backtab"),
    *("enter", "escape", "backspace", "delete", "ctrl-u", "ctrl-l"),
)


def parse(text: str) -> LogFilter:
    """Take a filter that is a source; refuse one with an x in it."""
    if "x" in text:
        raise InvalidInputError("there is an x in it", hint="take it out")
    return LogFilter(sources=(text,)) if text else LogFilter()


def press(*keys: str, state: State | None = None, seen: Seen = SEEN) -> State:
    state = state or State()
    for key in keys:
        state = press_key(state, key, seen, parse)
    return state


class Pressing(RuleBasedStateMachine):
    """Somebody presses keys while requests come and the terminal changes its size."""

    def __init__(self) -> None:
        super().__init__()
        self.state = State()
        self.seen = SEEN

    @rule(key=st.sampled_from(KEYS))
    def press(self, key: str) -> None:
        before = self.state
        self.state = press_key(before, key, self.seen, parse)
        if key == "q" and before.mode != "filter":
            assert self.state.has_quit
            self.state = replace(self.state, has_quit=False)

    @rule(
        rows=st.lists(st.integers(0, 20), max_size=12, unique=True),
        page=st.integers(1, 20),
        lines=st.integers(0, 60),
        height=st.integers(1, 40),
    )
    def see(self, rows: list[int], page: int, lines: int, height: int) -> None:
        self.seen = Seen([request(str(turn)) for turn in rows], page, lines, height)

    @invariant()
    def quits_only_when_asked_to(self) -> None:
        assert not self.state.has_quit

    @invariant()
    def has_selected_what_it_holds(self) -> None:
        state = self.state
        assert -1 <= state.selected < max(1, len(state.held))
        assert (state.selected >= 0) == bool(state.held)
        assert 0 <= state.top <= max(0, state.selected)

    @invariant()
    def has_opened_what_is_selected(self) -> None:
        if self.state.mode == "request":
            assert self.state.opened == self.state.held[self.state.selected]["id"]
        assert wish_of(self.state).opened == (self.state.opened if self.state.mode == "request" else "")

    @invariant()
    def complains_only_of_a_filter_that_is_being_written(self) -> None:
        assert not self.state.complaint or self.state.mode == "filter"
        assert self.state.scroll >= 0

    @invariant()
    def comes_back_to_the_board_by_escape(self) -> None:
        state = press(*["escape"] * 4, state=self.state, seen=self.seen)
        assert (state.mode, state.is_helping, state.selected) == ("board", False, -1)
        assert state.question == self.state.question


TestPressing = Pressing.TestCase


@pytest.mark.parametrize("keys", [("q",), ("?", "q"), ("enter", "q"), ("enter", "?", "q"), ("down", "q")])
def test_q_quits_wherever_nothing_is_being_written(keys: tuple[str, ...]) -> None:
    assert press(*keys).has_quit
    assert not press("f", *"quiet").has_quit


@pytest.mark.parametrize("key", ["p", " "])
def test_a_pause_ends_as_it_began(key: str) -> None:
    assert wish_of(press(key)).is_paused
    assert not wish_of(press(key, key)).is_paused


@pytest.mark.parametrize("one", RANGES)
def test_numbers_choose_the_range_and_keep_the_filter(one: object) -> None:
    state = press("f", *"ci", "enter", one.key)  # type: ignore[attr-defined]
    assert state.question.range is one
    assert state.question.text == "ci"


def test_sorts_come_round() -> None:
    assert [press(*["s"] * turn).sort for turn in range(4)] == [*SORTS, SORTS[0]]


def test_a_filter_is_written_and_applied() -> None:
    state = press("f", *"ci")
    assert state.mode == "filter"
    assert state.question.wanted == LogFilter()
    state = press("enter", state=state)
    assert state.mode == "board"
    assert (state.question.wanted, state.question.text) == (LogFilter(sources=("ci",)), "ci")
    again = press("f", state=state)
    assert again.line == Line("ci", 2)
    assert press("ctrl-u", "enter", state=again).question.wanted == LogFilter()


def test_a_filter_that_cannot_be_meant_stays_to_be_corrected() -> None:
    state = press("f", *"cix", "enter")
    assert state.mode == "filter"
    assert state.complaint == "there is an x in it; take it out"
    assert state.question.text == ""
    state = press("backspace", state=state)
    assert state.complaint == ""
    assert press("enter", state=state).question.text == "ci"


def test_escape_leaves_a_filter_as_it_was() -> None:
    state = press("f", *"ci", "enter", "f", *"other", "escape")
    assert (state.mode, state.question.text) == ("board", "ci")


def test_a_new_filter_lets_go_what_was_selected() -> None:
    assert press("down", "f", *"ci", "enter").held == ()


@pytest.mark.parametrize(
    ("keys", "place"),
    [
        (["down"], 0),
        (["tab", "tab"], 1),
        (["down", "down", "up"], 0),
        (["up"], 0),
        (["end"], 7),
        (["G", "backtab"], 6),
        (["home", "pagedown"], 3),
        (["end", "pageup"], 4),
        (["down"] * 20, 7),
        (["down", "x"], 0),
    ],
)
def test_arrows_and_tab_select(keys: list[str], place: int) -> None:
    assert press(*keys).selected == place


def test_the_list_moves_no_further_than_it_must() -> None:
    tops = [press(*["down"] * times).top for times in range(1, 7)]
    assert tops == [0, 0, 0, 1, 2, 3]
    bottom = press(*["down"] * 6)
    assert [press(*["up"] * times, state=bottom).top for times in range(4)] == [3, 3, 3, 2]


def test_what_is_selected_stays_while_others_come() -> None:
    state = press("down", "down")
    newer = Seen([request("new", 5), *ROWS], page=3)
    state = press("down", state=state, seen=newer)
    assert [row["id"] for row in state.held] == [row["id"] for row in ROWS]
    assert press("escape", state=state).held == ()


def test_enter_opens_what_is_selected_or_the_newest() -> None:
    assert wish_of(press("enter")).opened == ROWS[0]["id"]
    assert wish_of(press("down", "down", "enter")).opened == ROWS[1]["id"]
    assert press("enter", seen=Seen()).mode == "board"


@pytest.mark.parametrize("key", ["escape", "enter", "backspace"])
def test_there_is_a_way_back_from_a_request_to_where_it_was_selected(key: str) -> None:
    state = press("down", "down", "enter", key)
    assert (state.mode, state.selected) == ("board", 1)
    assert wish_of(state).opened == ""


def test_in_a_request_the_neighbours_are_one_key_away() -> None:
    state = press("down", "down", "enter", "down", "right")
    assert (state.opened, state.scroll) == (ROWS[2]["id"], 0)
    assert press("left", "left", "left", state=state).opened == ROWS[0]["id"]


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        (["down", "down"], 2),
        (["j", "k"], 0),
        (["up"], 0),
        (["pagedown"], 10),
        ([" ", " "], 20),
        (["end"], 40),
        (["end", "down", "up"], 39),
        (["end", "home"], 0),
        (["G", "pageup"], 30),
    ],
)
def test_a_request_is_scrolled_from_its_first_line_to_its_last(keys: list[str], line: int) -> None:
    assert press("enter", *keys).scroll == line


def test_a_request_that_is_seen_whole_is_not_scrolled() -> None:
    assert press("enter", "end", "down", seen=Seen(ROWS, 3, lines=8, height=10)).scroll == 0


@pytest.mark.parametrize("before", [(), ("enter",)])
def test_help_comes_and_goes_where_it_was_asked_for(before: tuple[str, ...]) -> None:
    state = press(*before)
    helped = press("?", state=state)
    assert helped.is_helping
    for key in ("?", "escape", "down", "enter", "1"):
        assert press(key, state=helped) == state


@given(keys=st.lists(st.sampled_from(KEYS), max_size=20))
def test_a_key_gives_the_same_state_every_time(keys: list[str]) -> None:
    assert press(*keys) == press(*keys)


def test_rows_of_any_kind_are_selected() -> None:
    rows: list[Row] = [{"id": "log_1"}]
    assert press("down", "enter", seen=Seen(rows)).opened == "log_1"
