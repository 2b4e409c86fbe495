"""The composition root: what a configuration becomes, and that it is given back."""

from __future__ import annotations

import asyncio
import json
import stat
import threading
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from quart.testing.app import LifespanError

from proxy.audit.segments import list_segments
from proxy.relay.cells import read_cells
from proxy.relay.counters import LAYOUT, add_readings, metrics_directory
from proxy.runtime.app import Worker, create_app
from proxy.settings import AuditSettings, DatabaseSettings, RateLimitingSettings, Settings, database_path
from proxy.store.database import open_database
from proxy.store.keys import create_key
from proxy.store.state import read_revision


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    open_database(tmp_path / "fastgate.db", create=True).close()
    return Settings(
        database=DatabaseSettings(url=f"sqlite:///{tmp_path / 'fastgate.db'}"),
        audit=AuditSettings(directory=tmp_path / "journal"),
        rate_limiting=RateLimitingSettings(file=tmp_path / "limits"),
    )


def snapshot_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "snapshot"]


def test_everything_but_the_pages_goes_through_the_gateway(settings: Settings) -> None:
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
        app, metrics = create_app(settings), metrics_directory(settings)
        assert not snapshot_threads()
        async with app.test_app():
            assert len(snapshot_threads()) == 1
            (segment,) = list_segments(settings.audit.directory)
            assert not segment.is_finished()
            assert [reading.is_live for reading in read_cells(metrics, LAYOUT)] == [True]
        assert not snapshot_threads()
        assert segment.is_finished()
        assert [reading.is_live for reading in read_cells(metrics, LAYOUT)] == [False]

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


def test_a_worker_tells_the_others_what_it_has_in_force(settings: Settings) -> None:
    async def run() -> None:
        app = create_app(settings)
        with open_database(database_path(settings), create=False) as database:
            create_key(database, key_prefix="fg_", now=datetime.now(UTC))
            revision = read_revision(database)
        async with app.test_app():
            await asyncio.sleep(0)  # the task that publishes has run once
            totals = add_readings(read_cells(metrics_directory(settings), LAYOUT))
            assert (totals.workers, totals.revision) == (1, revision)
        assert revision > 0

    asyncio.run(run())


def test_a_disk_that_takes_no_metrics_keeps_nobody_from_serving(settings: Settings) -> None:
    metrics_directory(settings).write_text("in the way of a folder")

    async def run() -> None:
        async with create_app(settings).test_app() as running:
            client = running.test_client()
            assert (await client.get("/v1/x")).status_code == 401
            page = await (await client.get("/metrics")).get_data(as_text=True)
            assert 'status_class="4xx",stream="false"} 1.0' in page

    asyncio.run(run())


def test_serving_does_not_begin_without_a_database(tmp_path: Path, settings: Settings) -> None:
    elsewhere = replace(settings, database=DatabaseSettings(url=f"sqlite:///{tmp_path / 'none.db'}"))

    async def run() -> None:
        async with create_app(elsewhere).test_app():
            pytest.fail("it serves")

    with pytest.raises(LifespanError, match="there is no database"):
        asyncio.run(run())
    assert not (tmp_path / "none.db").exists()


def test_streams_have_no_time_limit_and_errors_no_page(settings: Settings) -> None:
    app = create_app(settings)
    assert app.config["RESPONSE_TIMEOUT"] is None
    assert app.config["PROPAGATE_EXCEPTIONS"] is True


def test_an_application_twice_shares_nothing(settings: Settings) -> None:
    async def run() -> None:
        first, second = Worker(settings), Worker(settings)
        first.counters.count("rt_1", 200, False, None, 1, 1, 1)
        assert second.counters.requests[2] == 0
        assert len(list_segments(settings.audit.directory)) == 2
        await first.close()
        await second.close()

    asyncio.run(run())
