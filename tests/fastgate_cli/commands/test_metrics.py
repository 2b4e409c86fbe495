"""`fastgate metrics`: figures of real rows in a real database, for scripts and on a terminal."""

from __future__ import annotations

import csv
import io
import json
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from shutil import copyfile
from typing import Any

import pytest

from proxy.store.database import open_database
from proxy.store.keys import create_key
from proxy.store.routes import NewRoute, add_route
from tests.proxy.store.rows import insert_rows

Cli = Callable[..., subprocess.CompletedProcess[str]]
TerminalCli = Callable[..., tuple[int, str]]
PLAIN = {"NO_COLOR": "1"}
CONFIGURATION = "database: {url: 'sqlite:///fastgate.db'}\napp: {timezone: '-03:30'}\n"
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
CONTRACT = (
    "requests errors success_rate requests_per_minute avg_ms p50_ms p95_ms p99_ms ttfb_p50_ms ttfb_p95_ms "
    "streams bytes_in bytes_out status_codes top_paths top_sources"
)


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database to copy, which is quicker than to migrate one for every test."""
    path = tmp_path_factory.mktemp("empty") / "fastgate.db"
    open_database(path, create=True).close()
    return path


@pytest.fixture
def no_requests(tmp_path: Path, empty_database: Path) -> Path:
    """A database that no request has come to."""
    (tmp_path / "fastgate.yaml").write_text(CONFIGURATION)
    return Path(copyfile(empty_database, tmp_path / "fastgate.db"))


def request(name: str, ago: timedelta, took_ms: int | None = 100, **columns: Any) -> dict[str, Any]:
    began = datetime.now(UTC) - ago
    row = {
        "id": f"log_{name}",
        "request_id": f"req_{name}",
        "method": "POST",
        "path": "/v1/chat",
        "source_path": "ci",
        "request_time": began,
        "request_size": 10,
        "response_size": 1000,
    }
    if took_ms is not None:
        ended = began + timedelta(milliseconds=took_ms)
        row |= {"response_time": ended, "response_time_ms": took_ms, "status_code": 200, "gateway_ms": 0.25}
        row["first_response_time"] = began + timedelta(milliseconds=took_ms // 2)
    return {**row, **columns}


@pytest.fixture
def trail(no_requests: Path) -> dict[str, str]:
    """Five requests of the last half hour, one of three days ago; the ids of their key and their route."""
    with open_database(no_requests, create=False) as database:
        now = datetime.now(UTC)
        key, _ = create_key(database, key_prefix="fg_", source="ci", now=now)
        route = add_route(database, NewRoute("/v1/*", "h", route_name="ollama"), now)
        who = {"api_key": key["key_id"], "route_id": route["route_id"]}
        insert_rows(
            database,
            [
                request("a", 30 * MINUTE, 100, **who),
                request("b", 20 * MINUTE, 300, is_stream=True, **who),
                request("c", 10 * MINUTE, 20, status_code=404, path="/v1/nowhere", **who),
                request("d", 5 * MINUTE, 900, error_message="client_abort", source_path="app"),
                request("e", MINUTE, None, source_path="app"),
                request("old", timedelta(days=3), 7, source_path="old"),
            ],
        )
    return {"key": str(key["key_id"]), "hint": str(key["key_hint"]), "route": str(route["route_id"])}


def read_json(cli: Cli, *arguments: str) -> Any:
    done = cli("metrics", *arguments, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


@pytest.mark.usefixtures("trail")
def test_now_has_the_figures_of_the_last_hour(cli: Cli) -> None:
    now = read_json(cli, "now")
    assert [*now][: len(CONTRACT.split())] == CONTRACT.split()
    assert (now["requests"], now["errors"], now["in_flight"], now["streams"]) == (5, 2, 1, 1)
    # In percent, of the four that have ended.
    assert (now["success_rate"], now["requests_per_minute"]) == (50.0, 0.08)
    assert (now["avg_ms"], now["p50_ms"], now["p95_ms"], now["p99_ms"]) == (330.0, 100, 900, 900)
    assert (now["ttfb_p50_ms"], now["ttfb_p95_ms"]) == (50, 450)
    assert (now["gateway_p50_ms"], now["gateway_p95_ms"]) == (0.25, 0.25)
    assert (now["bytes_in"], now["bytes_out"]) == (50, 5000)
    assert now["status_codes"] == {"200": 3, "404": 1}
    assert now["top_paths"] == [
        {"path": "/v1/chat", "requests": 4, "errors": 1},
        {"path": "/v1/nowhere", "requests": 1, "errors": 1},
    ]
    assert now["top_sources"][0] == {"source_path": "ci", "requests": 3, "errors": 1}
    assert datetime.fromisoformat(now["until"]) - datetime.fromisoformat(now["since"]) == HOUR


@pytest.mark.usefixtures("trail")
def test_now_can_be_any_time_and_any_requests(cli: Cli) -> None:
    assert read_json(cli, "now", "--since", "15m")["requests"] == 3
    assert read_json(cli, "now", "--since", "7d")["requests"] == 6
    assert read_json(cli, "now", "--since", "25m", "--until", "8m")["requests"] == 2
    assert read_json(cli, "now", "--source", "app")["requests"] == 2
    assert read_json(cli, "now", "--path", "/v1/no*")["status_codes"] == {"404": 1}
    assert read_json(cli, "now", "--stream")["p99_ms"] == 300
    assert read_json(cli, "now", "--route", "ollama", "--errors")["requests"] == 1


@pytest.mark.usefixtures("no_requests")
def test_of_no_requests_nothing_is_known(cli: Cli) -> None:
    now = read_json(cli, "now")
    assert (now["requests"], now["requests_per_minute"], now["top_paths"]) == (0, 0.0, [])
    assert now["success_rate"] is now["p50_ms"] is now["avg_ms"] is now["gateway_p95_ms"] is None
    assert [row["requests"] for row in read_json(cli, "hourly")] == [0] * 24
    assert read_json(cli, "top", "paths") == []


@pytest.mark.usefixtures("trail")
@pytest.mark.parametrize(
    ("arguments", "count", "length"),
    [
        (("hourly",), 24, HOUR),
        (("hourly", "--hours", "3"), 3, HOUR),
        (("daily",), 30, 24 * HOUR),
        (("daily", "--days", "7"), 7, 24 * HOUR),
    ],
)
def test_buckets_follow_the_zone_and_none_is_missing(
    cli: Cli, arguments: tuple[str, ...], count: int, length: timedelta
) -> None:
    rows = read_json(cli, *arguments)
    starts = [datetime.fromisoformat(row["start"]) for row in rows]
    assert len(rows) == count
    assert all(later - earlier == length for earlier, later in pairwise(starts))
    assert starts[-1] <= datetime.now(UTC) < starts[-1] + length + MINUTE
    assert {(start.utcoffset(), start.minute) for start in starts} == {(timedelta(hours=-3, minutes=-30), 0)}
    assert length == HOUR or {start.hour for start in starts} == {0}
    found = [row for row in rows if row["requests"]]
    assert sum(row["requests"] for row in rows) == (6 if count in (7, 30) else 5)
    assert sum(row["errors"] for row in rows) == 2
    assert sum(row["bytes_out"] for row in rows) == 1000 * sum(row["requests"] for row in rows)
    assert {row["success_rate"] for row in rows if not row["requests"]} <= {None}
    assert max(row["p99_ms"] or 0 for row in found) == 900
    assert {"avg_ms", "p95_ms", "ttfb_p50_ms", "streams", "bytes_in"} <= rows[0].keys()


@pytest.mark.usefixtures("trail")
def test_buckets_can_be_of_some_requests(cli: Cli) -> None:
    assert sum(row["requests"] for row in read_json(cli, "daily", "--source", "old")) == 1
    assert sum(row["requests"] for row in read_json(cli, "hourly", "--status", "4xx")) == 1


def test_a_ranking_names_what_it_counts(cli: Cli, trail: dict[str, str]) -> None:
    (paths, nowhere) = read_json(cli, "top", "paths")
    assert (paths["path"], paths["requests"], paths["share"], paths["errors"]) == ("/v1/chat", 4, 80.0, 1)
    assert (nowhere["success_rate"], nowhere["p95_ms"]) == (0.0, 20)
    assert [row["source_path"] for row in read_json(cli, "top", "sources")] == ["ci", "app"]
    (key,) = read_json(cli, "top", "keys")
    assert (key["key_id"], key["key_hint"], key["source_path"]) == (trail["key"], trail["hint"], "ci")
    (route,) = read_json(cli, "top", "routes")
    assert (route["route_id"], route["route_name"], route["requests"]) == (trail["route"], "ollama", 3)
    errors = {row["error"]: row["share"] for row in read_json(cli, "top", "errors")}
    assert errors == {"HTTP 404": 50.0, "client_abort": 50.0}
    assert [row["method"] for row in read_json(cli, "top", "methods")] == ["POST"]
    assert [row["status_code"] for row in read_json(cli, "top", "statuses")] == [200, 404]


@pytest.mark.usefixtures("trail")
def test_a_ranking_has_as_many_as_are_asked_for(cli: Cli) -> None:
    assert len(read_json(cli, "top", "sources", "--since", "7d")) == 3
    assert len(read_json(cli, "top", "sources", "--since", "7d", "-n", "2")) == 2
    assert cli("metrics", "top", "sources", "-o", "id").stdout.split() == ["ci", "app"]


@pytest.mark.usefixtures("trail")
def test_a_pipe_gets_data_and_nothing_else(cli: Cli) -> None:
    for arguments in (("now",), ("hourly",), ("daily",), ("top", "paths")):
        done = cli("metrics", *arguments, env={"FORCE_COLOR": "1"})
        header, *lines = done.stdout.splitlines()
        assert all(line.count("\t") == header.count("\t") for line in lines)
        assert (done.stderr, "\x1b" in done.stdout, done.stdout.isascii()) == ("", False, True)
    rows = [*csv.DictReader(io.StringIO(cli("metrics", "daily", "-o", "csv").stdout))]
    assert len(rows) == 30
    assert json.loads(rows[-1]["status_codes"]).keys() <= {"200", "404"}
    assert cli("metrics", "now", "--fields", "errors,requests").stdout == "errors\trequests\n2\t5\n"


@pytest.mark.usefixtures("trail")
@pytest.mark.parametrize(
    "arguments",
    [("now",), ("now", "--since", "7d"), ("hourly",), ("daily",), ("top", "keys"), ("top", "errors")],
)
def test_a_terminal_of_80_columns_is_filled_and_not_left(
    terminal_cli: TerminalCli, arguments: tuple[str, ...]
) -> None:
    code, screen = terminal_cli("metrics", *arguments, env=PLAIN)
    lines = screen.splitlines()
    assert code == 0
    assert "\x1b" not in screen
    assert 60 <= max(map(len, lines)) <= 80
    assert arguments[0] != "now" or len(lines) < 24
    assert "█" in screen


@pytest.mark.usefixtures("trail")
def test_a_terminal_has_colours_where_it_may(terminal_cli: TerminalCli) -> None:
    assert "\x1b[1;31m" in terminal_cli("metrics", "now")[1]
    assert "\x1b[" in terminal_cli("metrics", "hourly")[1]


@pytest.mark.usefixtures("trail")
@pytest.mark.parametrize("locale", ["LANG", "LC_ALL"])
def test_a_terminal_of_ascii_gets_ascii(terminal_cli: TerminalCli, locale: str) -> None:
    for arguments in (("now",), ("hourly",), ("top", "paths")):
        screen = terminal_cli("metrics", *arguments, env={**PLAIN, locale: "C"})[1]
        assert "#" in screen
        assert screen.isascii()


@pytest.mark.usefixtures("no_requests")
def test_a_terminal_is_told_that_there_is_nothing(terminal_cli: TerminalCli) -> None:
    assert terminal_cli("metrics", "now", env=PLAIN) == (0, "no such requests in this time\n")
    assert terminal_cli("metrics", "top", "paths", env=PLAIN) == (0, "no such requests in this time\n")


@pytest.mark.usefixtures("trail")
def test_a_table_can_be_asked_for_in_a_pipe(cli: Cli) -> None:
    assert "LATENCY" in cli("metrics", "now", "-o", "table").stdout
    assert "gateway_p95_ms" in cli("metrics", "now", "-o", "wide").stdout
    assert cli("metrics", "now", "-o", "table", "--fields", "errors").stdout.split() == ["errors", "2"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("now", "--since", "0s"), 2, "not before now"),
        (("now", "--since", "soon"), 2, "not a time"),
        (("now", "--status", "4x"), 2, "not a status"),
        (("now", "--fields", "nosuch"), 2, "no field"),
        (("hourly", "--hours", "0"), 2, "less than 1"),
        (("daily", "--days", "99999"), 2, "more than"),
        (("top", "nothing"), 2, "paths, sources"),
        (("top",), 2, "KIND"),
    ],
)
@pytest.mark.usefixtures("no_requests")
def test_what_cannot_be_meant_is_told(cli: Cli, arguments: tuple[str, ...], code: int, message: str) -> None:
    done = cli("metrics", *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert message in done.stderr


def test_a_database_that_is_not_there_is_not_made(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "fastgate.yaml").write_text(CONFIGURATION)
    for arguments in (("now",), ("hourly",), ("top", "paths")):
        assert cli("metrics", *arguments).returncode == 4
    assert not (tmp_path / "fastgate.db").exists()


def test_help_opens_with_examples_and_says_what_a_rate_is(cli: Cli) -> None:
    assert cli("metrics", "-h").stdout.startswith("Examples:")
    assert "in percent" in cli("metrics", "-h").stdout
    for name in ("now", "hourly", "daily", "top"):
        assert cli("metrics", name, "-h").stdout.startswith("Examples:")
