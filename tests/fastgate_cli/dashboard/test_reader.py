"""A reader does what is due, tells of it, and goes on after whatever is not a mistake in the program."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterator
from datetime import datetime
from pathlib import Path
from queue import Empty, Queue
from typing import Any

import pytest

from fastgate_cli.dashboard import reader as reader_module
from fastgate_cli.dashboard.board import Answer, Trouble
from fastgate_cli.dashboard.pace import Pace
from fastgate_cli.dashboard.question import RANGES, Question, Wish
from fastgate_cli.dashboard.reader import Crash, News, Reader
from fastgate_cli.dashboard.source import Source
from proxy.errors import DatabaseError, FastGateError, InvalidInputError
from proxy.store.log_filter import LogFilter

WAIT_SECONDS = 10
NEVER = 3_600.0
OTHER = Wish(Question(RANGES[3]))
Start = Callable[..., Reader]


class Dropped(Source):
    """A source that counts how often it was given up."""

    def __init__(self) -> None:
        super().__init__(Path("nowhere"), lambda: pytest.fail("nobody asked for it"))
        self.drops = 0

    def drop(self) -> None:
        self.drops += 1


class Reading:
    """A job that answers with the name of the range, after what `before` does."""

    def __init__(
        self, part: str = "picture", interval: float = NEVER, before: Callable[[], None] = lambda: None
    ) -> None:
        self.part = part
        self.pace = Pace(interval, 0.5)
        self.before = before

    def find_subject(self, wish: Wish) -> Hashable:
        return wish.question

    def read(self, source: Source, wish: Wish, now: datetime) -> Any:
        self.before()
        return wish.question.range.name


@pytest.fixture
def news() -> Queue[News]:
    return Queue()


@pytest.fixture
def source() -> Dropped:
    return Dropped()


@pytest.fixture
def start(news: Queue[News], source: Dropped) -> Iterator[Start]:
    """Start a reader of some jobs; it ends with the test."""
    readers: list[Reader] = []

    def run(*jobs: Reading) -> Reader:
        readers.append(Reader("test", source, jobs, news.put))
        readers[-1].start()
        return readers[-1]

    yield run
    for each in readers:
        each.close()
        each.join(WAIT_SECONDS)
        assert not each.is_alive()


def told(news: Queue[News]) -> Any:
    """Return the next thing told: of an answer its part and value."""
    item = news.get(timeout=WAIT_SECONDS)
    return (item.part, item.value) if isinstance(item, Answer) else item


def assert_silent(news: Queue[News]) -> None:
    with pytest.raises(Empty):
        news.get(timeout=0.2)


def test_everything_is_read_once_at_the_start(start: Start, news: Queue[News]) -> None:
    start(Reading("picture"), Reading("hours"))
    assert [told(news), told(news)] == [("picture", "5m"), ("hours", "5m")]
    assert_silent(news)


def test_what_is_due_again_is_read_again(start: Start, news: Queue[News]) -> None:
    start(Reading("picture", interval=0.01), Reading("hours"))
    assert [told(news) for _ in range(5)].count(("picture", "5m")) == 4


def test_another_wish_is_read_at_once_and_the_answer_says_what_it_is_to(
    start: Start, news: Queue[News]
) -> None:
    reader = start(Reading())
    told(news)
    reader.ask(OTHER)
    answer = news.get(timeout=WAIT_SECONDS)
    assert isinstance(answer, Answer)
    assert (answer.value, answer.question) == ("24h", OTHER.question)


def test_a_wish_that_a_job_is_not_about_is_none_of_its_business(start: Start, news: Queue[News]) -> None:
    job = Reading()
    job.find_subject = lambda wish: wish.question.wanted  # type: ignore[method-assign]
    reader = start(job)
    told(news)
    reader.ask(OTHER)
    assert_silent(news)
    reader.ask(Wish(Question(wanted=LogFilter(errors=True))))
    assert told(news) == ("picture", "5m")


def test_a_job_without_a_subject_is_idle(start: Start, news: Queue[News]) -> None:
    job = Reading(interval=0.01)
    job.find_subject = lambda wish: wish.opened or None  # type: ignore[method-assign]
    reader = start(job)
    assert_silent(news)
    reader.ask(Wish(opened="log_1"))
    assert told(news) == ("picture", "5m")


def test_while_it_is_paused_only_what_was_not_read_yet_is_read(start: Start, news: Queue[News]) -> None:
    reader = start(Reading(interval=0.05))
    told(news)
    reader.ask(Wish(is_paused=True))
    while not news.empty():  # what was being read at that moment
        told(news)
    told_meanwhile = [*drain(news)]
    assert len(told_meanwhile) <= 1
    reader.ask(Wish(OTHER.question, is_paused=True))
    assert told(news) == ("picture", "24h")
    assert_silent(news)
    reader.ask(OTHER)
    assert told(news) == ("picture", "24h")


def drain(news: Queue[News]) -> Iterator[Any]:
    try:
        while True:
            yield news.get(timeout=0.2)
    except Empty:
        return


@pytest.mark.parametrize(
    ("error", "drops"), [(DatabaseError("it is locked"), 2), (InvalidInputError("it is locked"), 0)]
)
def test_what_cannot_be_read_is_told_and_tried_again_until_it_can(
    start: Start,
    news: Queue[News],
    source: Dropped,
    monkeypatch: pytest.MonkeyPatch,
    error: FastGateError,
    drops: int,
) -> None:
    monkeypatch.setattr(reader_module, "RETRY_SECONDS", 0.01)
    failures = iter([error, error])

    def fail_twice() -> None:
        if failure := next(failures, None):
            raise failure

    start(Reading(before=fail_twice))
    trouble = Trouble("picture", "it is locked")
    assert [told(news) for _ in range(4)] == [trouble, trouble, ("picture", "5m"), Trouble("picture", "")]
    assert source.drops == drops
    assert_silent(news)


def test_one_that_fails_holds_up_no_other(start: Start, news: Queue[News]) -> None:
    def fail() -> None:
        raise DatabaseError("gone")

    start(Reading("picture", before=fail), Reading("hours"))
    assert [told(news), told(news)] == [Trouble("picture", "gone"), ("hours", "5m")]


def test_a_mistake_in_the_program_is_handed_over(start: Start, news: Queue[News]) -> None:
    mistake = ZeroDivisionError("oh")

    def fail() -> None:
        raise mistake

    reader = start(Reading(before=fail))
    assert told(news) == Crash(mistake)
    reader.join(WAIT_SECONDS)
    assert not reader.is_alive()


def test_how_long_it_reads_can_be_asked_meanwhile(start: Start, news: Queue[News]) -> None:
    reading, going_on = threading.Event(), threading.Event()

    def wait() -> None:
        reading.set()
        assert going_on.wait(WAIT_SECONDS)

    reader = start(Reading(before=wait))
    assert reading.wait(WAIT_SECONDS)
    assert 0 < reader.busy_seconds < WAIT_SECONDS
    reader.ask(OTHER)  # waits for nothing
    going_on.set()
    assert [told(news), told(news)] == [("picture", "5m"), ("picture", "24h")]
    reader.close()
    reader.join(WAIT_SECONDS)
    assert reader.busy_seconds == 0


def test_the_source_is_given_up_in_the_end(start: Start, news: Queue[News], source: Dropped) -> None:
    reader = start(Reading())
    told(news)
    reader.close()
    reader.join(WAIT_SECONDS)
    assert source.drops == 1
