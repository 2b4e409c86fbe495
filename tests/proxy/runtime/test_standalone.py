"""What a gateway has of its own where another server has started it: above all somebody who records
its rows.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.audit.claim import claim_journal
from proxy.errors import ConfigurationError, ConflictError, FastGateError, Problem
from proxy.runtime import standalone as module
from proxy.runtime.app import create_app
from proxy.runtime.standalone import Recording, Standalone, explain_exit
from proxy.settings import AuditSettings, DatabaseSettings, RateLimitingSettings, Settings, database_path
from proxy.store.database import open_database
from proxy.store.log_filter import LogFilter
from proxy.store.logs import list_logs

WAIT_SECONDS = 20


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        database=DatabaseSettings(url=f"sqlite:///{tmp_path / 'fastgate.db'}"),
        audit=AuditSettings(directory=tmp_path / "journal"),
        rate_limiting=RateLimitingSettings(file=tmp_path / "limits"),
    )


async def await_that(is_so: Callable[[], object]) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while not is_so():  # noqa: ASYNC110  another process gets there
            await asyncio.sleep(0.01)


def test_the_first_of_two_records_and_the_other_when_that_one_stops(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CLAIM_SECONDS", 0.01)
    open_database(database_path(settings), create=True).close()

    async def run() -> None:
        first, second = Recording(settings), Recording(settings)
        first.start()
        await await_that(lambda: first._recorder)
        second.start()
        with pytest.raises(ConflictError):
            claim_journal(settings.audit.directory)
        assert second._recorder is None
        await first.stop()
        await await_that(lambda: second._recorder)
        await second.stop()
        os.close(claim_journal(settings.audit.directory))

    asyncio.run(run())


def test_rows_of_the_last_moment_are_recorded_by_whoever_ends_last(settings: Settings) -> None:
    database = database_path(settings)
    open_database(database, create=True).close()

    async def run() -> None:
        claim = claim_journal(settings.audit.directory)  # somebody else records, and stops too early
        recording = Recording(settings)
        recording.start()
        async with create_app(settings).test_app() as running:
            assert (await running.test_client().get("/v1/x")).status_code == 401
        os.close(claim)
        await recording.stop()

    asyncio.run(run())
    with open_database(database, create=False) as opened:
        assert [row["path"] for row in list_logs(opened, LogFilter(), limit=0)] == ["/v1/x"]


def test_what_it_needs_is_made_before_it_serves(settings: Settings) -> None:
    async def run() -> None:
        standalone = Standalone(settings)
        standalone.start()
        await standalone.stop()

    asyncio.run(run())
    with open_database(database_path(settings), create=False) as database:
        assert list(list_logs(database, LogFilter(), limit=0)) == []


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (FastGateError("what", hint="do this"), "error: what\nhint: do this"),
        (FastGateError("what"), "error: what"),
        (ConfigurationError([Problem("bad", "a.yaml", 1, 2)]), "error: a.yaml:1:2: bad"),
    ],
)
def test_an_exit_says_what_happened_and_what_to_do(error: FastGateError, told: str) -> None:
    assert str(explain_exit(error)).startswith(told)


def test_a_configuration_that_is_given_is_the_callers(settings: Settings, tmp_path: Path) -> None:
    """No recorder and no log of its own: rows wait."""
    open_database(tmp_path / "fastgate.db", create=True).close()

    async def run() -> None:
        async with create_app(settings).test_app():
            os.close(claim_journal(settings.audit.directory))

    asyncio.run(run())


def test_the_configuration_of_the_folder_is_read_and_what_is_wrong_ends_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "fastgate.yaml").write_text("app: {prot: 1}\n")
    with pytest.raises(SystemExit, match=r"error: .*fastgate\.yaml:1:7: "):
        create_app()
