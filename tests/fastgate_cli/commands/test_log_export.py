"""`fastgate logs export`: whole files or none, of one moment, in three formats."""

from __future__ import annotations

import csv
import io
import json
import os
import resource
import signal
import stat
import subprocess
import sys
import termios
from array import array
from collections.abc import Callable
from fcntl import F_GETPIPE_SZ, fcntl, ioctl
from pathlib import Path
from typing import Any

import pytest

from proxy.clock import now_us
from proxy.ids import encode_ulid
from proxy.store.database import open_database
from tests.fastgate_cli.commands.trails import MINUTE_US, PLAIN, Record, begin, end
from tests.proxy.store.rows import record

Cli = Callable[..., subprocess.CompletedProcess[str]]
TerminalCli = Callable[..., tuple[int, str]]
BIG = 3_000  # rows that no pipe holds
NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000)"
MOMENT = "'2026-01-31T08:00:00.000000+08:00'"
# So many that nobody has written them before he is told to stop.
MANY = (
    f"INSERT INTO audit_logs (id, request_id, method, path, request_time) "
    f"{NUMBERS} SELECT 'log_' || i, 'req_' || i, 'GET', '/', {MOMENT} FROM n",
    f"INSERT INTO log_facts (place, id) {NUMBERS} SELECT i, 'log_' || i FROM n",
)
COMMAND = (sys.executable, "-m", "fastgate_cli", "logs", "export")


def export(cli: Cli, *arguments: str) -> list[dict[str, Any]]:
    done = cli("logs", "export", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def big(record: Record) -> None:
    start = now_us() - MINUTE_US
    record([begin(encode_ulid(n, bytes(10)), start + n, path="/" + "x" * 400) for n in range(BIG)])


def test_the_oldest_come_first_and_the_newest_are_taken(cli: Cli, trail: list[str]) -> None:
    assert [row["id"] for row in export(cli)] == trail
    assert [row["id"] for row in export(cli, "-n", "2")] == trail[3:]
    assert [row["id"] for row in export(cli, "--errors", "--out", "-")] == [trail[2], trail[3]]


def test_the_three_formats_hold_the_same(cli: Cli, trail: list[str]) -> None:
    rows = export(cli, "--format", "jsonl")
    array = cli("logs", "export", "--format", "json").stdout
    assert json.loads(array) == rows
    assert len(array.splitlines()) == len(rows) + 2
    assert json.loads(cli("logs", "export", "--format", "json", "--grep", "nosuch").stdout) == []
    table = list(csv.DictReader(io.StringIO(cli("logs", "export", "--format", "csv").stdout)))
    assert [row["id"] for row in table] == trail
    assert list(table[0]) == list(rows[0])
    assert table[0]["request_time"] == rows[0]["request_time"]


def test_headers_and_bodies_come_where_they_are_asked_for(cli: Cli, trail: list[str]) -> None:
    heavy = {"request_headers", "request_body", "response_headers", "response_body"}
    (plain, headers, bodies) = (
        export(cli, "-n", "0", *more)[0] for more in ((), ("--headers",), ("--bodies",))
    )
    assert heavy & plain.keys() == set()
    assert heavy & headers.keys() == {"request_headers", "response_headers"}
    assert headers["request_headers"][1] == ["x-tag", "one"]
    assert bodies["request_body"] == '{"a":\n1}'
    assert export(cli, "--fields", "request_body,id", "-n", "1")[0].keys() == {"request_body", "id"}
    assert cli("logs", "export", "--fields", "nope").returncode == 2


def test_no_spreadsheet_runs_what_a_client_sent(cli: Cli, record: Record) -> None:
    evil = ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1")
    at_us = now_us()
    for number, text in enumerate(evil):
        ulid = encode_ulid(number, bytes(10))
        record([begin(ulid, at_us + number, agent=text), end(ulid, at_us + number, 5, body=text.encode())])
    printed = cli("logs", "export", "--format", "csv", "--bodies").stdout
    rows = list(csv.DictReader(io.StringIO(printed, newline="")))
    assert [row["user_agent"] for row in rows] == [f"'{text}" for text in evil]
    assert [row["request_body"] for row in rows] == [f"'{text}" for text in evil]


def test_a_file_is_private_and_named_for_its_format(cli: Cli, trail: list[str], tmp_path: Path) -> None:
    done = cli("logs", "export", "--out", "x.csv")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith(f"5 requests in {tmp_path / 'x.csv'} (")
    assert stat.S_IMODE((tmp_path / "x.csv").stat().st_mode) == 0o600
    assert (tmp_path / "x.csv").read_text() == cli("logs", "export", "--format", "csv").stdout
    cli("logs", "export", "--out", "x.JSON")
    assert len(json.loads((tmp_path / "x.JSON").read_text())) == 5
    cli("logs", "export", "--out", "x.csv", "--format", "jsonl", "--force")
    assert len((tmp_path / "x.csv").read_text().splitlines()) == 5


@pytest.mark.parametrize(
    "place", ["there.csv", ".", "absent/x.csv", "/dev/null", "fastgate.yaml", "fastgate.db"]
)
def test_places_where_nothing_can_go(cli: Cli, trail: list[str], tmp_path: Path, place: str) -> None:
    (tmp_path / "there.csv").write_text("precious")
    before = {file: file.read_bytes() for file in tmp_path.iterdir() if file.is_file()}
    more = [] if place == "there.csv" else ["--force"]
    refused = cli("logs", "export", "--out", place, *more)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith("error: ")
    after = {file: file.read_bytes() for file in tmp_path.iterdir() if file.name in {f.name for f in before}}
    assert after == before


def test_the_format_can_be_chosen_as_everywhere(cli: Cli, trail: list[str]) -> None:
    for way in (("-o", "json"), ("--json",), ("--format", "json"), ("--json", "-o", "json")):
        assert [row["id"] for row in json.loads(cli("logs", "export", *way).stdout)] == trail
    for contradiction in (("--json", "-o", "csv"), ("--format", "json", "-o", "csv")):
        refused = cli("logs", "export", *contradiction)
        assert (refused.returncode, refused.stdout) == (2, "")


def test_nothing_stays_of_a_file_that_the_disk_does_not_take(
    environment: dict[str, str], tmp_path: Path, big: None
) -> None:
    def bound() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    before = set(os.listdir(tmp_path))
    done = subprocess.run(
        [*COMMAND, "--out", "x.csv"],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        preexec_fn=bound,
        check=False,
    )
    assert done.returncode == 2
    assert "x.csv cannot be written: File too large" in done.stderr
    assert set(os.listdir(tmp_path)) == before


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_nothing_stays_of_a_file_whose_export_was_ended(
    environment: dict[str, str], tmp_path: Path, trail: list[str], number: int, code: int
) -> None:
    with open_database(tmp_path / "fastgate.db", create=False) as database, database.transaction():
        for statement in MANY:
            database.connection().execute(statement)
    before = set(os.listdir(tmp_path))
    with subprocess.Popen(
        [*COMMAND, "--out", "x.csv"], env=environment, cwd=tmp_path, stderr=subprocess.PIPE, text=True
    ) as process:
        while not any(name.startswith(".x.csv.") for name in os.listdir(tmp_path)):
            assert process.poll() is None
        (draft,) = (name for name in os.listdir(tmp_path) if name.startswith(".x.csv."))
        while not (tmp_path / draft).stat().st_size:
            assert process.poll() is None
        process.send_signal(number)
        assert process.stderr
        told = process.stderr.read()
        assert process.wait(10) == code
    assert "Traceback" not in told
    assert set(os.listdir(tmp_path)) == before


def test_it_is_of_one_moment_and_nobody_waits_for_it(
    environment: dict[str, str], tmp_path: Path, big: None
) -> None:
    with subprocess.Popen(
        COMMAND, env=environment, cwd=tmp_path, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        room, waiting = fcntl(process.stdout, F_GETPIPE_SZ), array("i", [0])
        while waiting[0] < room // 2:  # it has begun, and waits for us
            ioctl(process.stdout, termios.FIONREAD, waiting)
        with open_database(tmp_path / "fastgate.db", create=False) as database:
            record(database, "late")
        rows = process.stdout.read().splitlines()
        assert process.wait(10) == 0
    assert len(rows) == BIG
    assert not [row for row in rows if "log_late" in row]


def test_a_terminal_sees_how_far_it_is(terminal_cli: TerminalCli, big: None, tmp_path: Path) -> None:
    code, screen = terminal_cli("logs", "export", "--out", "x.jsonl")
    assert code == 0
    assert "exporting" in screen
    assert "3,000 requests in" in screen
    assert len((tmp_path / "x.jsonl").read_text().splitlines()) == BIG


def test_a_terminal_that_gets_the_rows_sees_nothing_else(terminal_cli: TerminalCli, trail: list[str]) -> None:
    code, screen = terminal_cli("logs", "export", "--fields", "id", "--format", "csv")
    assert (code, screen.split()) == (0, ["id", *trail])


def test_one_request_reads_the_same_everywhere(cli: Cli, trail: list[str]) -> None:
    (exported,) = export(cli, "--until", "9m30s", "--headers", "--bodies")
    assert exported == json.loads(cli("logs", "show", f"log_{PLAIN}", "--json").stdout)


def test_help_opens_with_examples_in_80_columns(cli: Cli) -> None:
    page = cli("logs", "export", "-h").stdout
    assert page.startswith("Examples:\n  fastgate logs export")
    assert max(map(len, page.splitlines())) <= 80
