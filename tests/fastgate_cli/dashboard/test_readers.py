"""Every part of the board has a reader, and what is quick never waits for what takes long."""

from __future__ import annotations

from dataclasses import fields
from queue import Queue

from fastgate_cli.dashboard.board import KINDS, Answer, Board, take_news
from fastgate_cli.dashboard.question import Wish
from fastgate_cli.dashboard.reader import News
from fastgate_cli.dashboard.readers import build_jobs, build_readers
from proxy.settings import Settings
from proxy.store.database import Database

WAIT_SECONDS = 20


def test_every_part_of_the_board_is_read_by_one_job(settings: Settings) -> None:
    parts = [job.part for jobs in build_jobs(settings, 1.0).values() for job in jobs]
    board = {field.name for field in fields(Board)} - {"tops", "troubles"}
    assert sorted(parts) == sorted({*board, *KINDS})


def test_all_together_take_a_few_hundredths_of_a_processor(settings: Settings) -> None:
    shares = [job.pace.share for jobs in build_jobs(settings, 1.0).values() for job in jobs]
    assert sum(shares) <= 0.05


def test_nothing_is_read_more_often_than_it_is_to_be(settings: Settings) -> None:
    for refresh in (0.1, 1.0, 60.0):
        jobs = [job for jobs in build_jobs(settings, refresh).values() for job in jobs]
        assert all(job.pace.interval_seconds >= refresh for job in jobs)


def test_they_fill_a_board_from_a_real_database(settings: Settings, database: Database) -> None:
    news: Queue[News] = Queue()
    readers = build_readers(settings, 1.0, news.put)
    board = Board()
    wanted = {"gateway", "pulse", "latest", "picture", "hours", *KINDS}
    try:
        for reader in readers:
            reader.ask(Wish())
            reader.start()
        while wanted:
            answer = news.get(timeout=WAIT_SECONDS)
            assert isinstance(answer, Answer), answer
            wanted.discard(answer.part)
            board = take_news(board, answer)
    finally:
        for reader in readers:
            reader.close()
            reader.join(WAIT_SECONDS)
    assert board.picture is not None
    assert board.picture.value.figures.requests == 0
    assert board.trouble == ""
