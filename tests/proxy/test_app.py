"""The composition root: what a configuration becomes, and that it is given back."""

from __future__ import annotations

import asyncio
import json
import stat
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from quart.testing.app import LifespanError

from proxy.app import Worker, create_app
from proxy.audit.journal import list_segments
from proxy.errors import DatabaseError, FastGateError
from proxy.settings import AuditSettings, DatabaseSettings, Settings
from proxy.store.database import open_database


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    open_database(tmp_path / "fastgate.db", create=True).close()
    return Settings(
        database=DatabaseSettings(url=f"sqlite:///{tmp_path / 'fastgate.db'}"),
        audit=AuditSettings(directory=tmp_path / "journal"),
    )


def snapshot_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "snapshot"]


def test_everything_but_the_pages_goes_through_the_relay(settings: Settings) -> None:
    async def run() -> None:
        async with create_app(settings).test_app() as running:
            client = running.test_client()
            assert (await client.get("/health")).status_code == 200
            for path in ("/healthy", "/health/", "/v1/chat", "/metrics/x", "/favicon.ico", "/static/x"):
                response = await client.get(path)
                error = json.loads(await response.get_data(as_text=False))["error"]
                assert (response.status_code, error["code"]) == (401, "missing_api_key")

    asyncio.run(run())


def test_what_a_worker_owns_is_opened_to_serve_and_given_back(settings: Settings) -> None:
    async def run() -> None:
        app = create_app(settings)
        assert not snapshot_threads()
        async with app.test_app():
            assert len(snapshot_threads()) == 1
            (segment,) = list_segments(settings.audit.directory)
            assert not segment.is_finished()
        assert not snapshot_threads()
        assert segment.is_finished()

    asyncio.run(run())


def test_the_journal_is_for_its_owner_alone(settings: Settings) -> None:
    async def run() -> None:
        worker = Worker(settings)
        (segment,) = list_segments(settings.audit.directory)
        assert stat.S_IMODE(segment.path.stat().st_mode) == 0o600
        assert stat.S_IMODE(settings.audit.directory.stat().st_mode) == 0o700
        await worker.close()

    asyncio.run(run())


def test_without_auditing_nothing_is_written(settings: Settings) -> None:
    quiet = replace(settings, audit=replace(settings.audit, enabled=False))

    async def run() -> None:
        async with create_app(quiet).test_app() as running:
            assert (await running.test_client().get("/v1/x")).status_code == 401
            assert (await running.test_client().get("/health")).status_code == 200

    asyncio.run(run())
    assert not quiet.audit.directory.exists()


def test_serving_does_not_begin_without_a_database(tmp_path: Path, settings: Settings) -> None:
    elsewhere = replace(settings, database=DatabaseSettings(url=f"sqlite:///{tmp_path / 'none.db'}"))

    async def run() -> None:
        async with create_app(elsewhere).test_app():
            pytest.fail("it serves")

    with pytest.raises(LifespanError, match="there is no database"):
        asyncio.run(run())
    assert not (tmp_path / "none.db").exists()


def test_whoever_asks_is_told_whether_serving_begins(tmp_path: Path, settings: Settings) -> None:
    told: list[FastGateError | None] = []

    async def open_and_close(settings: Settings) -> None:
        async with create_app(settings, on_open=told.append).test_app():
            assert told == [None]

    asyncio.run(open_and_close(settings))
    missing = DatabaseSettings(url=f"sqlite:///{tmp_path / 'missing.db'}")
    with pytest.raises(LifespanError):
        asyncio.run(open_and_close(replace(settings, database=missing)))
    assert isinstance(told[1], DatabaseError)


def test_streams_have_no_time_limit_and_errors_no_page(settings: Settings) -> None:
    app = create_app(settings)
    assert app.config["RESPONSE_TIMEOUT"] is None
    assert app.config["PROPAGATE_EXCEPTIONS"] is True


def test_an_application_twice_shares_nothing(settings: Settings) -> None:
    async def run() -> None:
        first, second = Worker(settings), Worker(settings)
        first.counters.count(200, None)
        assert second.counters.requests[2] == 0
        assert len(list_segments(settings.audit.directory)) == 2
        await first.close()
        await second.close()

    asyncio.run(run())
