"""The gateway's own pages, asked as a client asks them."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from quart import Quart

from proxy import __version__
from proxy.errors import JournalError
from proxy.runtime.app import create_app
from proxy.settings import (
    AppSettings,
    AuditSettings,
    DatabaseSettings,
    RateLimitingSettings,
    SecuritySettings,
    Settings,
)
from proxy.store.database import open_database
from proxy.store.key_changes import rotate_key
from proxy.store.keys import create_key

TOKEN = "an-admin-token"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    open_database(tmp_path / "fastgate.db", create=True).close()
    return Settings(
        database=DatabaseSettings(url=f"sqlite:///{tmp_path / 'fastgate.db'}"),
        audit=AuditSettings(directory=tmp_path / "journal"),
        rate_limiting=RateLimitingSettings(file=tmp_path / "limits"),
    )


def ask(settings: Settings, path: str, *, method: str = "GET", **headers: str) -> tuple[int, bytes, Any]:
    """Return status, body and headers of one request to a fresh gateway."""

    async def run() -> tuple[int, bytes, Any]:
        app: Quart = create_app(settings)
        async with app.test_app() as running:
            client = running.test_client()
            response = await getattr(client, method.lower())(path, headers=headers)
            return response.status_code, await response.get_data(as_text=False), response.headers

    return asyncio.run(run())


def test_the_index_names_the_gateway_and_its_pages(settings: Settings) -> None:
    status, body, headers = ask(replace(settings, app=AppSettings(name="Mine")), "/")
    assert status == 200
    links = {"health": "/health", "metrics": "/metrics"}
    assert json.loads(body) == {"name": "Mine", "version": __version__, "links": links}
    assert headers["x-request-id"].startswith("req_")
    assert headers["server-timing"]


def test_health_needs_no_key_and_tells_no_more_than_it_should(settings: Settings) -> None:
    status, body, _ = ask(settings, "/health")
    health = json.loads(body)
    assert status == 200
    assert list(health) == ["status", "version", "routes", "keys", "journal_lag_ms", "uptime_s"]
    assert (health["status"], health["routes"], health["keys"]) == ("healthy", 0, 0)
    assert 0 <= health["uptime_s"] < 60


def test_a_rotated_key_counts_once(settings: Settings, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    with open_database(tmp_path / "fastgate.db", create=False) as database:
        row, _ = create_key(database, key_prefix="fg_", now=now)
        rotate_key(database, row["key_id"], key_prefix="fg_", grace=timedelta(hours=1), now=now)
    assert json.loads(ask(settings, "/health")[1])["keys"] == 1


def test_health_is_503_while_the_journal_cannot_be_written(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise JournalError("the disk is full")

    async def run() -> tuple[int, Any]:
        app = create_app(settings)
        async with app.test_app() as running:
            client = running.test_client()
            monkeypatch.setattr("proxy.audit.journal.JournalWriter.append", refuse)
            await client.get("/v1/refused")
            response = await client.get("/health")
            return response.status_code, json.loads(await response.get_data(as_text=False))

    status, health = asyncio.run(run())
    assert (status, health["status"]) == (503, "unhealthy")


@pytest.mark.parametrize(
    ("token", "authorization", "status"),
    [
        ("", "", 200),
        (TOKEN, f"Bearer {TOKEN}", 200),
        (TOKEN, f"bearer {TOKEN}", 200),
        (TOKEN, f"BEARER  {TOKEN} ", 200),
        (TOKEN, f"Basic {TOKEN}", 401),
        (TOKEN, f"Bearer{TOKEN}", 401),
        (TOKEN, "Bearer ", 401),
        (TOKEN, "", 401),
        (TOKEN, "Bearer wrong", 401),
        (TOKEN, TOKEN, 401),
        (TOKEN, "Bearer \u00e9", 401),
    ],
)
def test_metrics_ask_for_the_admin_token_if_there_is_one(
    settings: Settings, token: str, authorization: str, status: int
) -> None:
    guarded = replace(settings, security=SecuritySettings(admin_token=token))
    found, body, headers = ask(guarded, "/metrics", authorization=authorization)
    assert found == status
    assert TOKEN.encode() not in body
    if status == 200:
        assert headers["content-type"].startswith("text/plain; version=0.0.4")
        assert b"fastgate_requests_in_flight 0.0" in body
        return
    error = json.loads(body)["error"]
    assert (error["code"], error["type"]) == ("invalid_api_key", "authentication_error")
    assert error["request_id"] == headers["x-request-id"]
    assert headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(("host", "status"), [("127.0.0.2", 200), ("0.0.0.0", 403), ("::", 403)])
def test_without_a_token_metrics_are_for_this_machine_alone(
    settings: Settings, host: str, status: int
) -> None:
    wide = replace(settings, app=AppSettings(host=host))
    found, body, headers = ask(wide, "/metrics")
    assert found == status
    if status == 403:
        error = json.loads(body)["error"]
        assert error["code"] == "permission_denied"
        assert "security.admin_token" in error["message"]
        assert error["request_id"] == headers["x-request-id"]
    guarded = replace(wide, security=SecuritySettings(admin_token=TOKEN))
    assert ask(guarded, "/metrics", authorization=f"Bearer {TOKEN}")[0] == 200


def test_metrics_count_what_passed(settings: Settings) -> None:
    async def run() -> str:
        app = create_app(settings)
        async with app.test_app() as running:
            client = running.test_client()
            for _ in range(2):
                await client.get("/v1/x")
            response = await client.get("/metrics")
            return str(await response.get_data(as_text=True))

    text = asyncio.run(run())
    assert 'fastgate_requests_total{route="none",status_class="4xx",stream="false"} 2.0' in text
    assert 'fastgate_errors_total{reason="missing_api_key"} 2.0' in text
    assert "fastgate_requests_in_flight 0.0" in text
    assert "fastgate_audit_events_lost_total 0.0" in text
    assert "fastgate_snapshot_revision" in text


def test_a_prefix_moves_the_pages_and_frees_their_paths(settings: Settings) -> None:
    moved = replace(settings, app=AppSettings(system_prefix="/_gateway"))
    status, body, _ = ask(moved, "/_gateway/")
    assert (status, json.loads(body)["links"]["health"]) == (200, "/_gateway/health")
    assert ask(moved, "/_gateway/health")[0] == 200
    assert ask(moved, "/_gateway/metrics")[0] == 200
    for path in ("/", "/health", "/metrics"):
        assert ask(moved, path)[0] == 401


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_pages_can_only_be_read(settings: Settings, method: str) -> None:
    status, body, headers = ask(settings, "/health", method=method)
    assert (status, json.loads(body)["error"]["code"]) == (400, "bad_request")
    assert headers["x-request-id"]


def test_a_page_answers_a_head_request(settings: Settings) -> None:
    assert ask(settings, "/health", method="HEAD")[0] == 200
