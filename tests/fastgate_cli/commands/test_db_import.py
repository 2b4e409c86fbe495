"""`fastgate db import`: everything or nothing, told in full, whatever happens meanwhile."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.store.database import open_database
from tests.proxy.predecessor.old_database import (
    KEY,
    LOG,
    OTHER_SECRET,
    ROUTE,
    SECRET,
    UNFINISHED,
    build_old_database,
    make_logs,
)

Cli = Callable[..., subprocess.CompletedProcess[str]]
TerminalCli = Callable[..., tuple[int, str]]
# What the predecessor leaves behind: the same oddities as in a database of its own.
KEYS = (
    {**KEY, "permissions": '["chat.completions", "models.list"]'},
    {**KEY, "key_id": "fg_retired", "key_value": OTHER_SECRET, "is_active": 0, "expires_at": None},
)
ROUTES = (
    {
        **ROUTE,
        "route_id": "chat",
        "route_name": "chat",
        "match_path": "/v1/chat/completions",
        "match_method": "POST",
        "match_body_schema": '{"model": "qwen/3"}',
        "target_path": "/v1/chat/completions",
        "strip_path_prefix": 0,
        "add_headers": '{"Authorization": "Bearer sk-backend-secret"}',
        "add_body_fields": '{"source": "fastgate"}',
        "remove_headers": '["host"]',
        "priority": 50,
    },
    {**ROUTE, "match_path": "/v1/.*", "priority": 200},
    {
        **ROUTE,
        "route_id": "off",
        "route_name": "off",
        "match_path": "/off/**",
        "is_active": 0,
        "add_headers": '{"X-Api-Key": "sk-other-secret"}',
    },
)
LOGS = (LOG, {**LOG, "id": "l2", "request_id": "req_2", **UNFINISHED})


@pytest.fixture
def old(tmp_path: Path) -> Path:
    folder = tmp_path / "old"
    folder.mkdir()
    return build_old_database(folder / "old.db", keys=KEYS, routes=ROUTES, logs=LOGS)


@pytest.fixture
def target(environment: dict[str, str]) -> Path:
    """Where the database is or will be."""
    return Path(environment["XDG_DATA_HOME"]) / "fastgate" / "fastgate.db"


def count(cli: Cli) -> tuple[int, int, int]:
    """Return how many keys, routes and requests there are."""
    lists = (("keys", "list"), ("routes", "list"), ("logs", "list", "-n", "0"))
    keys, routes, logs = (len(json.loads(cli(*words, "--json").stdout)) for words in lists)
    return keys, routes, logs


def test_keys_and_routes_come_over_and_are_told_of(cli: Cli, old: Path, target: Path) -> None:
    before = old.read_bytes()
    done = cli("db", "import", str(old), "--json")
    assert done.returncode == 0
    report = json.loads(done.stdout)
    nothing = {"found": 2, "imported": 0, "skipped": 0, "replaced": 0}
    assert report["keys"] == {**nothing, "imported": 2}
    assert report["routes"] == {**nothing, "found": 3, "imported": 3}
    assert report["logs"] == nothing
    assert (report["source"], report["database"], report["dry_run"]) == (str(old), str(target), False)
    told = {(change["kind"], change["id"], change["level"], change["column"]) for change in report["changes"]}
    assert ("key", "fg_0123456789ab", "warning", "permissions") in told
    assert ("route", "chat", "changed", "match_body_schema") in told
    assert ("route", "chat", "changed", "remove_headers") in told
    assert ("route", "general", "changed", "match_path") in told
    insecure = {finding["route_id"]: finding["message"] for finding in report["findings"]}
    assert set(insecure) == {"chat", "off"}
    assert all("${env:NAME}" in message for message in insecure.values())
    assert count(cli) == (2, 3, 0)
    assert "imported 2 keys, 3 routes" in done.stderr
    assert "2 requests" in done.stderr
    assert old.read_bytes() == before
    for secret in (SECRET, OTHER_SECRET, "sk-backend-secret", "sk-other-secret"):
        assert secret not in done.stdout + done.stderr


def test_the_audit_trail_comes_too_if_asked(cli: Cli, old: Path) -> None:
    done = cli("db", "import", str(old), "--logs", "--json")
    report = json.loads(done.stdout)
    assert report["logs"]["imported"] == 2
    logs = {
        change["message"].split(":")[0]: change["count"]
        for change in report["changes"]
        if change["kind"] == "log"
    }
    assert logs["it never got its end"] == 1
    rows = json.loads(cli("logs", "list", "--json").stdout)
    assert {row["api_key"] for row in rows} == {"fg_0123456789ab"}
    assert sorted(str(row["error_message"]) for row in rows) == ["None", "interrupted"]


def test_imported_routes_send_requests_where_they_went(cli: Cli, old: Path) -> None:
    cli("db", "import", str(old))
    explained = cli("routes", "explain", "GET", "/v1/models", "--key", "fg_0123456789ab", "--json")
    assert json.loads(explained.stdout)["target_url"] == "http://127.0.0.1:9110/v1/models"
    body = '{"model": "qwen/3"}'
    explained = cli("routes", "explain", "POST", "/v1/chat/completions", "--data", body, "--json")
    assert json.loads(explained.stdout)["matched"] == "chat"


def test_no_secret_of_a_key_is_in_any_file(cli: Cli, old: Path, target: Path) -> None:
    cli("db", "import", str(old), "--logs")
    for file in target.parent.iterdir():
        assert SECRET.encode() not in file.read_bytes()
        assert OTHER_SECRET.encode() not in file.read_bytes()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--only", "keys"], (2, 0, 0)),
        (["--only", "routes"], (0, 3, 0)),
        (["--only", "logs"], (0, 0, 2)),
        (["--only", "keys,logs"], (2, 0, 2)),
        (["--only", "keys", "--logs"], (2, 0, 2)),
        (["--without", "chat", "--without", "fg_retired"], (1, 2, 0)),
    ],
)
def test_parts(cli: Cli, old: Path, arguments: list[str], expected: tuple[int, int, int]) -> None:
    assert cli("db", "import", str(old), *arguments).returncode == 0
    assert count(cli) == expected


def test_an_unknown_part_is_refused(cli: Cli, old: Path) -> None:
    assert cli("db", "import", str(old), "--only", "users").returncode == 2


def test_a_dry_run_tells_the_same_and_writes_nothing(cli: Cli, old: Path, target: Path) -> None:
    dry = cli("db", "import", str(old), "--logs", "-n", "--json")
    assert dry.returncode == 0
    assert not target.parent.exists()
    wet = cli("db", "import", str(old), "--logs", "--json")
    assert {**json.loads(dry.stdout), "dry_run": False} == json.loads(wet.stdout)
    before = count(cli)
    assert cli("db", "import", str(old), "--logs", "-n", "--on-conflict", "replace").returncode == 0
    assert count(cli) == before


def test_in_a_pipe_there_are_changes_as_rows(cli: Cli, old: Path) -> None:
    done = cli("db", "import", str(old))
    header, *lines = done.stdout.splitlines()
    assert header.split("\t") == ["id", "kind", "level", "column", "message", "count"]
    assert all(len(line.split("\t")) == 6 for line in lines)
    assert "\x1b" not in done.stdout + done.stderr


@pytest.mark.parametrize("there", [True, False])
def test_a_refused_import_tells_every_problem_and_writes_nothing(
    cli: Cli, tmp_path: Path, target: Path, there: bool
) -> None:
    if there:
        cli("routes", "add", "--id", "general", "--match", "/x", "--to", "http://h")
    keys = [{**KEY, "expires_at": "never"}]
    routes = [ROUTE, {**ROUTE, "route_id": "bad", "match_path": "no-slash"}]
    path = build_old_database(tmp_path / "old.db", keys=keys, routes=routes)
    done = cli("db", "import", str(path), "--json")
    error = json.loads(done.stderr)["error"]
    assert (done.returncode, done.stdout, error["code"]) == (2, "", "import_refused")
    assert len(error["message"].splitlines()) == 2 + there
    assert "--without" in error["hint"]
    assert target.exists() is there
    assert not there or count(cli) == (0, 1, 0)


def test_strict_refuses_what_would_not_be_just_as_it_was(cli: Cli, old: Path, target: Path) -> None:
    done = cli("db", "import", str(old), "--strict")
    assert done.returncode == 2
    assert "permissions" in done.stderr
    assert not target.exists()
    exact = ["--strict", "--without", "fg_0123456789ab", "--without", "chat"]
    assert cli("db", "import", str(old), *exact).returncode == 0


def test_what_is_there_already_is_refused_skipped_or_replaced(cli: Cli, old: Path) -> None:
    cli("db", "import", str(old), "--logs")
    refused = cli("db", "import", str(old), "--logs")
    assert refused.returncode == 2
    assert len(re.findall("^error: ", refused.stderr, re.MULTILINE)) == 6
    skipped = json.loads(cli("db", "import", str(old), "--logs", "--on-conflict", "skip", "--json").stdout)
    assert [skipped[part]["skipped"] for part in ("keys", "routes", "logs")] == [2, 3, 2]
    assert skipped["changes"] == []
    cli("keys", "disable", "--all")
    assert cli("db", "import", str(old), "--on-conflict", "replace").returncode == 2  # nobody to ask
    assert {row["is_active"] for row in json.loads(cli("keys", "list", "--json").stdout)} == {False}
    replaced = json.loads(cli("db", "import", str(old), "--on-conflict", "replace", "-y", "--json").stdout)
    assert [replaced[part]["replaced"] for part in ("keys", "routes", "logs")] == [2, 3, 0]
    assert {row["is_active"] for row in json.loads(cli("keys", "list", "--json").stdout)} == {True, False}
    assert count(cli) == (2, 3, 2)


def test_a_person_is_asked_before_anything_is_replaced(
    cli: Cli, old: Path, terminal_cli: TerminalCli
) -> None:
    cli("db", "import", str(old))
    cli("keys", "disable", "--all")
    code, screen = terminal_cli("db", "import", str(old), "--on-conflict", "replace", typed="n\n")
    assert code == 1
    assert "nothing was changed" in screen
    assert {row["is_active"] for row in json.loads(cli("keys", "list", "--json").stdout)} == {False}


@pytest.mark.parametrize("kind", ["missing", "empty", "folder", "text", "ours"])
def test_a_file_that_is_not_the_predecessors_is_refused(
    cli: Cli, tmp_path: Path, target: Path, kind: str
) -> None:
    path = tmp_path / "x.db"
    if kind == "empty":
        path.touch()
    elif kind == "folder":
        path.mkdir()
    elif kind == "text":
        path.write_text("hello " * 500)
    elif kind == "ours":
        open_database(path, create=True).close()
    before = path.read_bytes() if path.is_file() else None
    done = cli("db", "import", str(path))
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.startswith("error: ")
    assert not target.exists()
    assert before == (path.read_bytes() if path.is_file() else None)


def test_the_very_same_file_is_refused(cli: Cli, old: Path) -> None:
    before = old.read_bytes()
    done = cli("db", "import", str(old), env={"DATABASE_URL": f"sqlite:///{old}"})
    assert done.returncode == 2
    assert "very database" in done.stderr
    assert old.read_bytes() == before


def test_a_database_that_cannot_be_written_is_refused(
    cli: Cli, old: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli("db", "upgrade")
    before = target.read_bytes()
    # Asked instead of set: the tests may run as root, who may write anything.
    monkeypatch.setattr("os.access", lambda path, _: path != target)
    done = cli("db", "import", str(old))
    assert done.returncode == 4
    assert "cannot be written" in done.stderr
    assert target.read_bytes() == before


def test_an_interrupt_half_way_leaves_nothing(cli: Cli, tmp_path: Path, terminal_cli: TerminalCli) -> None:
    cli("keys", "create")
    path = build_old_database(tmp_path / "old.db", logs=make_logs(20_000))
    code, screen = terminal_cli("db", "import", str(path), "--logs", interrupted_at=" 1")
    assert code == 130
    assert "nothing was written" in screen
    assert "Traceback" not in screen
    assert count(cli) == (1, 0, 0)
    assert cli("db", "check").returncode == 0


def test_a_kill_half_way_leaves_nothing(
    cli: Cli, tmp_path: Path, environment: dict[str, str], target: Path
) -> None:
    cli("keys", "create")
    path = build_old_database(tmp_path / "old.db", logs=make_logs(20_000))
    command = [sys.executable, "-m", "fastgate_cli", "db", "import", str(path), "--logs"]
    process = subprocess.Popen(command, env=environment, cwd=tmp_path)
    log = target.with_name(target.name + "-wal")
    while process.poll() is None and not (log.exists() and log.stat().st_size > 1024 * 1024):
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert count(cli) == (1, 0, 0)
    assert cli("db", "check").returncode == 0


def test_a_full_disk_leaves_nothing(
    cli: Cli, tmp_path: Path, environment: dict[str, str], target: Path
) -> None:
    cli("keys", "create")
    path = build_old_database(tmp_path / "old.db", logs=make_logs(3_000))
    limit = 512 * 1024
    done = subprocess.run(
        [sys.executable, "-m", "fastgate_cli", "db", "import", str(path), "--logs"],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert done.returncode == 4
    assert done.stderr.startswith("error: ")
    assert count(cli) == (1, 0, 0)
    assert cli("db", "check").returncode == 0


def test_of_two_at_once_one_writes_and_the_other_is_told(
    cli: Cli, tmp_path: Path, environment: dict[str, str]
) -> None:
    path = build_old_database(tmp_path / "old.db", logs=make_logs(2_000))
    command = [sys.executable, "-m", "fastgate_cli", "db", "import", str(path), "--logs", "--json"]
    processes = [
        subprocess.Popen(
            command, env=environment, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for _ in range(2)
    ]
    errors = [process.communicate()[1] for process in processes]
    codes = [process.returncode for process in processes]
    assert sorted(codes) in ([0, 2], [0, 4]), errors  # 4: it waited for the lock as long as it may
    assert count(cli) == (1, 1, 2_000)


def test_a_copy_of_a_read_only_file_in_a_read_only_folder_is_taken(
    cli: Cli, old: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "sealed"
    folder.mkdir()
    shutil.copy(old, folder / "old.db")
    (folder / "old.db").chmod(0o400)
    folder.chmod(0o500)
    assert cli("db", "import", str(folder / "old.db")).returncode == 0
    assert os.listdir(folder) == ["old.db"]
    folder.chmod(0o700)
