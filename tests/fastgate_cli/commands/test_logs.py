"""`fastgate logs`: lists, filters, one request, and following, against real rows in a real database."""

from __future__ import annotations

import csv
import io
import json
import signal
import subprocess
import sys
import termios
from array import array
from collections.abc import Callable
from fcntl import F_GETPIPE_SZ, fcntl, ioctl
from pathlib import Path
from shutil import copyfile
from typing import Any

import pytest

from proxy.clock import now_us
from proxy.ids import encode_ulid
from proxy.store.database import open_database
from tests.fastgate_cli.commands.trails import (
    CONFIGURATION,
    MINUTE_US,
    RUNNING,
    SECOND_US,
    Record,
    begin,
    end,
)
from tests.proxy.store.rows import record_events

Cli = Callable[..., subprocess.CompletedProcess[str]]
TerminalCli = Callable[..., tuple[int, str]]
# A terminal of 80 columns, as far as drawing is concerned.
TABLE = {"COLUMNS": "80"}


def listed(cli: Cli, *arguments: str) -> list[str]:
    done = cli("logs", "list", "-o", "id", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_lists_have_the_newest_first_and_tails_the_newest_last(cli: Cli, trail: list[str]) -> None:
    assert listed(cli) == trail[::-1]
    assert listed(cli, "-n", "2") == trail[:2:-1]
    tail = ("logs", "tail", "--no-follow", "-o", "id")
    assert cli(*tail).stdout.split() == trail
    assert cli(*tail, "-n", "2").stdout.split() == trail[3:]


def test_all_of_them_are_the_newest_0(cli: Cli, record: Record) -> None:
    start = now_us() - 600 * SECOND_US
    record([begin(encode_ulid(n, bytes(10)), start + n) for n in range(60)])
    counts = [len(listed(cli, *arguments)) for arguments in ((), ("-n", "0"), ("-n", "55"))]
    assert counts == [50, 60, 55]
    tails = [cli("logs", "tail", "--no-follow", "-o", "id", *n).stdout.split() for n in ((), ("-n", "0"))]
    assert [len(tail) for tail in tails] == [10, 60]


@pytest.mark.parametrize(
    ("arguments", "places"),
    [
        (["--key", "key_ci"], [0, 3]),
        (["--key", "key_ci", "--key", "key_app"], [0, 1, 3, 4]),
        (["--source", "app"], [1, 4]),
        (["--route", "rt_demo", "--method", "post"], [0, 1, 3, 4]),
        (["--method", "GET"], [2]),
        (["--path", "/oth*"], [2]),
        (["--status", "401"], [2]),
        (["--status", "4xx", "--status", "500-599"], [2, 3]),
        (["--stream"], [1, 4]),
        (["--no-stream"], [0, 2, 3]),
        (["--min-ms", "1000"], [1]),
        (["--errors"], [2, 3]),
        (["--errors", "--source", "ci"], [3]),
        (["--ip", "10.0.0.7"], [3]),
        (["--grep", "unreach"], [3]),
        (["--grep", "curl"], [0]),
        (["--since", "7m30s"], [3, 4]),
        (["--until", "30m"], []),
        (["--until", "9m30s"], [0]),
        (["--since", "2h", "--until", "5m"], [0, 1, 2, 3, 4]),
    ],
)
def test_filters_are_the_same_for_lists_and_tails(
    cli: Cli, trail: list[str], arguments: list[str], places: list[int]
) -> None:
    wanted = [trail[place] for place in places]
    assert listed(cli, *arguments) == wanted[::-1]
    assert cli("logs", "tail", "--no-follow", "-o", "id", *arguments).stdout.split() == wanted


@pytest.mark.parametrize("verb", [["list"], ["tail"]], ids=lambda verb: str(verb[0]))
@pytest.mark.parametrize(
    "arguments",
    [
        ["--status", "9xx"],
        ["--status", "599-500"],
        ["--since", "yesterdayish"],
        ["--since", "1h", "--until", "2h"],
        ["--ip", "localhost"],
        ["--grep", ""],
        ["--min-ms", "-1"],
        ["--min-ms", str(2**70)],
        ["-n", "-1"],
        ["--fields", "id,nope"],
        ["--json", "-o", "csv"],
    ],
    ids=" ".join,
)
def test_what_cannot_be_meant_is_one_error_line_and_nothing_else(
    cli: Cli, trail: list[str], verb: list[str], arguments: list[str]
) -> None:
    refused = cli("logs", *verb, *arguments)
    assert (refused.returncode, refused.stdout) == (2, "")
    # `--json` asks for errors in JSON as well.
    errors = [line for line in refused.stderr.splitlines() if line.startswith(("error: ", '{"error": '))]
    assert len(errors) == 1


@pytest.mark.parametrize("arguments", [["list"], ["tail"], ["tail", "--json"], ["show", "log_x"]])
def test_without_a_database_there_is_an_error_and_not_even_a_header(
    cli: Cli, tmp_path: Path, arguments: list[str]
) -> None:
    (tmp_path / "fastgate.yaml").write_text(CONFIGURATION)
    refused = cli("logs", *arguments)
    assert (refused.returncode, refused.stdout) == (4, "")
    assert refused.stderr.count("error") >= 1
    assert not (tmp_path / "fastgate.db").exists()


def test_a_pipe_gets_every_field_and_times_to_the_microsecond(cli: Cli, trail: list[str]) -> None:
    done = cli("logs", "list")
    rows = list(csv.DictReader(io.StringIO(done.stdout), delimiter="\t", quoting=csv.QUOTE_NONE))
    assert [row["id"] for row in rows] == trail[::-1]
    assert rows[0]["request_time"].endswith("+08:00")
    assert len(rows[0]["request_time"]) == len("2026-01-31T08:00:00.000000+08:00")
    assert rows[-1].items() >= {"status_code": "200", "source_path": "ci", "response_size": "485"}.items()
    assert not {"outcome", "remark", "ttfb"} & rows[0].keys()


def test_json_is_an_array_for_lists_and_lines_for_tails(cli: Cli, trail: list[str]) -> None:
    rows = json.loads(cli("logs", "list", "--json").stdout)
    lines = cli("logs", "tail", "--no-follow", "--json").stdout.splitlines()
    assert [json.loads(line) for line in lines] == rows[::-1]
    in_flight = rows[0]
    assert (in_flight["status_code"], in_flight["response_time"], in_flight["error_message"]) == (None,) * 3
    assert in_flight["first_response_time"] is not None


def test_fields_are_picked_in_the_order_given(cli: Cli, trail: list[str]) -> None:
    done = cli("logs", "list", "--status", "401", "--fields", "error_message,path")
    assert done.stdout == "error_message\tpath\nunknown_api_key\t/other\n"
    tail = cli("logs", "tail", "--no-follow", "-n", "1", "--json", "--fields", "method,status_code")
    assert tail.stdout == '{"method":"POST","status_code":null}\n'


def test_a_terminal_of_80_columns_holds_every_line(cli: Cli, trail: list[str], record: Record) -> None:
    # Of another day, and with more of everything than a line has room for.
    ulid, at_us = encode_ulid(1, bytes(10)), now_us() - 86_400 * 2 * SECOND_US
    record(
        [
            begin(ulid, at_us, source="a-source-with-quite-a-long-name", path="/v1/" + "x" * 300),
            end(ulid, at_us, 3_600_000_000, 9, status=504, error="upstream_timeout", size=5 << 30),
        ]
    )
    for arguments in (["list"], ["tail", "--no-follow"]):
        done = cli("logs", *arguments, "-o", "table", env=TABLE)
        lines = done.stdout.splitlines()
        assert (done.returncode, len(lines)) == (0, 7), done
        assert max(map(len, lines)) <= 80
        assert " ".join(lines[0].split()) == "TIME METHOD PATH STATUS TTFB TOOK SIZE REASON, SOURCE"
        [long] = [line for line in lines if "504" in line]
        assert "3600s" in long
        assert "5.0G" in long
        assert "upstream" in long


def test_a_table_tells_what_is_in_flight_and_colours_the_status(cli: Cli, trail: list[str]) -> None:
    lines = cli("logs", "list", "-o", "table", env=TABLE).stdout.splitlines()
    in_flight, failed, refused, stream, _ = lines[1:]
    assert after_path(in_flight) == ["…", "40ms", "-", "-", "in", "flight,", "app"]
    assert after_path(failed)[:3] == ["502", "-", "5ms"]
    assert after_path(refused) == ["401", "-", "0ms", "6.1K", "unknown_api_key"]
    assert after_path(stream) == ["200", "750ms", "1.5s", "6.1K", "app"]
    coloured = cli("logs", "list", "-o", "table", env={**TABLE, "FORCE_COLOR": "1"}).stdout
    for styled in ("\x1b[32m   200", "\x1b[33m   401", "\x1b[31m   502"):
        assert styled in coloured


def after_path(line: str) -> list[str]:
    """Return the words after the path; before it stands a clock or, shortly after midnight, a date."""
    return line[line.index(" /") + 2 :].split()[1:]


def test_a_person_is_told_when_there_is_nothing_to_see(cli: Cli, record: Record) -> None:
    notes = [cli("logs", "list", "-o", "table", *filters).stderr for filters in ((), ("--errors",))]
    assert notes == ["no requests yet; 'fastgate serve' runs the gateway\n", "no such requests\n"]


def test_pages_go_on_where_the_footer_says(cli: Cli, trail: list[str]) -> None:
    page = cli("logs", "list", "-n", "2", "-o", "table", env=TABLE)
    assert page.stderr == f"there are more: add --before {trail[3]} for older ones\n"
    assert len(page.stdout.splitlines()) == 1 + 2
    assert listed(cli, "-n", "2", "--before", trail[3]) == [trail[2], trail[1]]
    last = cli("logs", "list", "-n", "2", "-o", "table", "--before", trail[2], env=TABLE)
    assert (len(last.stdout.splitlines()), last.stderr) == (1 + 2, "")
    newer = cli("logs", "list", "-n", "2", "-o", "table", "--after", trail[0], env=TABLE)
    assert newer.stderr == f"there are more: add --after {trail[2]} for newer ones\n"
    assert listed(cli, "-n", "2", "--after", trail[0]) == [trail[2], trail[1]]
    assert listed(cli, "--after", trail[0], "--before", trail[3], "--source", "app") == [trail[1]]
    # Programs get what they ask for, and no word beside it.
    piped = cli("logs", "list", "-n", "2", "--json")
    assert (len(json.loads(piped.stdout)), piped.stderr) == (2, "")
    assert cli("logs", "list", "-o", "table", "--after", trail[4]).stderr == "no such requests\n"
    assert cli("logs", "list", "--before", "log_nosuch").returncode == 3


def test_a_tail_tells_of_new_requests_and_ends_quietly_on_an_interrupt(
    environment: dict[str, str], tmp_path: Path, trail: list[str], record: Record
) -> None:
    command = [sys.executable, "-m", "fastgate_cli", "logs", "tail", "--json", "--source", "app"]
    tail = subprocess.Popen(
        command, env=environment, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert tail.stdout
    assert tail.stderr
    before = [json.loads(tail.stdout.readline())["id"] for _ in range(2)]
    assert before == [trail[1], trail[4]]
    at_us = now_us()
    new, other = encode_ulid(2, bytes(10)), encode_ulid(3, bytes(10))
    record(
        [
            *(begin(new, at_us, source="app"), end(new, at_us, 10)),
            *(begin(other, at_us, source="ci"), end(other, at_us, 10)),
        ]
    )
    record([end(RUNNING, at_us - MINUTE_US, MINUTE_US, 3)])
    after: list[dict[str, Any]] = [json.loads(tail.stdout.readline()) for _ in range(2)]
    # Whichever poll they were seen by.
    assert {row["id"]: row["status_code"] for row in after} == {f"log_{new}": 200, trail[4]: 200}
    tail.send_signal(signal.SIGINT)
    assert tail.wait(10) == 130
    assert (tail.stdout.read(), tail.stderr.read()) == ("", "\n")
    tail.stdout.close()
    tail.stderr.close()


def test_a_tail_on_a_terminal_ends_with_nothing_but_a_new_line(
    terminal_cli: TerminalCli, trail: list[str]
) -> None:
    code, screen = terminal_cli("logs", "tail", interrupted_at="in flight", env={"NO_COLOR": "1"})
    assert code == 130
    assert screen.replace("^C", "").endswith("\n\n")
    assert len(screen.split("\n")) == 1 + len(trail) + 2


def test_a_tail_whose_reader_leaves_ends_quietly(
    environment: dict[str, str], tmp_path: Path, trail: list[str]
) -> None:
    line = f"{sys.executable} -m fastgate_cli logs tail --no-follow | head -n 1"
    done = subprocess.run(["sh", "-c", line], env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.startswith("id\t")
    assert done.stderr == ""


def start_tail(environment: dict[str, str], folder: Path, *options: str) -> subprocess.Popen[str]:
    """Start a tail that follows, and whose output a test reads."""
    command = [sys.executable, "-m", "fastgate_cli", "logs", "tail", *options]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=environment, cwd=folder, stdout=pipe, stderr=pipe, text=True)


def test_a_tail_that_waits_for_requests_ends_when_its_reader_leaves(
    environment: dict[str, str], tmp_path: Path, trail: list[str]
) -> None:
    with start_tail(environment, tmp_path, "-o", "id") as tail:
        assert tail.stdout
        assert tail.stderr
        assert [tail.stdout.readline().strip() for _ in trail] == trail
        tail.stdout.close()  # and no other request ever comes
        try:
            assert tail.wait(20) == 141
        finally:
            tail.kill()
        assert tail.stderr.read() == ""


@pytest.mark.parametrize("verb", ["list", "show", "tail", "export", "sources", "prune", "verify", "du"])
def test_help_opens_with_examples_in_80_columns(cli: Cli, verb: str) -> None:
    page = cli("logs", verb, "-h").stdout
    assert page.startswith(f"Examples:\n  fastgate logs {verb}")
    assert max(map(len, page.splitlines())) <= 80


def test_a_tail_goes_on_in_a_database_that_was_made_anew(
    environment: dict[str, str], tmp_path: Path, trail: list[str], empty_database: Path
) -> None:
    with start_tail(environment, tmp_path, "--json", "-n", "1") as tail:
        assert tail.stdout
        assert tail.stderr
        assert json.loads(tail.stdout.readline())["id"] == trail[4]
        for suffix in ("", "-wal", "-shm"):
            (tmp_path / f"fastgate.db{suffix}").unlink(missing_ok=True)
        trouble = tail.stderr.readline()
        assert trouble.startswith("there is no database at ")
        assert trouble.endswith("; waiting\n")
        copyfile(empty_database, tmp_path / "new.db")
        with open_database(tmp_path / "new.db", create=False) as database:
            at_us = now_us()
            ulid = encode_ulid(5, bytes(10))
            record_events(database, [begin(ulid, at_us), end(ulid, at_us, 10)])
        (tmp_path / "new.db").rename(tmp_path / "fastgate.db")
        assert tail.stderr.readline() == "following again\n"
        assert json.loads(tail.stdout.readline())["id"] == f"log_{ulid}"
        tail.send_signal(signal.SIGINT)
        assert tail.wait(10) == 130


def test_an_interrupted_tail_leaves_no_half_row(
    environment: dict[str, str], tmp_path: Path, record: Record
) -> None:
    start = now_us() - MINUTE_US
    record([begin(encode_ulid(n, bytes(10)), start + n, path="/" + "x" * 400) for n in range(3000)])
    command = [sys.executable, "-m", "fastgate_cli", "logs", "tail", "--json", "-n", "0"]
    with subprocess.Popen(command, env=environment, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as tail:
        assert tail.stdout
        room, waiting = fcntl(tail.stdout, F_GETPIPE_SZ), array("i", [0])
        while waiting[0] < room // 2:  # then it is writing, or waits for room
            ioctl(tail.stdout, termios.FIONREAD, waiting)
        tail.send_signal(signal.SIGINT)
        rest = tail.stdout.read()
        assert tail.wait(10) == 130
    assert rest.endswith("\n")
    assert all(json.loads(line)["path"].endswith("x") for line in rest.splitlines())
