"""`fastgate apply` and `fastgate diff`, run as people and scripts run them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from proxy.policy.credentials import digest_secret

Cli = Callable[..., subprocess.CompletedProcess[str]]
TerminalCli = Callable[..., tuple[int, str]]
DOCUMENT = """\
keys:
  - key_id: bot
    source_path: ci
    rate_limit: 60
routes:
  - route_name: chat
    match_path: /v1/*
    target_host: a:1
"""


@pytest.fixture
def document(tmp_path: Path) -> Path:
    path = tmp_path / "d.yaml"
    path.write_text(DOCUMENT)
    return path


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def rows_of(cli: Cli, kind: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(cli(kind, "list", "--json").stdout)
    return rows


def test_a_database_is_made_as_the_document_says_and_then_agrees(cli: Cli, document: Path) -> None:
    done = cli("apply", "-f", "d.yaml", "--json")
    assert done.returncode == 0, done.stderr
    key, route = json.loads(done.stdout)
    assert (key["id"], key["kind"], key["name"], key["change"]) == ("bot", "key", "ci", "added")
    assert key["fields"]["rate_limit"] == {"from": None, "to": 60}
    assert (route["kind"], route["name"], route["change"], route["key"]) == ("route", "chat", "added", None)
    assert [row["rate_limit"] for row in rows_of(cli, "keys")] == [60]
    assert [row["route_id"] for row in rows_of(cli, "routes")] == [route["id"]]
    assert cli("diff", "-f", "d.yaml", "--prune").returncode == 0
    again = cli("apply", "-f", "d.yaml", "--json")
    assert (again.returncode, again.stdout) == (0, "[]\n")


def test_the_secret_of_a_new_key_is_told_once_and_works(cli: Cli, document: Path, tmp_path: Path) -> None:
    (key, _) = json.loads(cli("apply", "-f", "d.yaml", "--json").stdout)
    assert key["key"].startswith("fg_")
    moving = cli("export", "--secrets").stdout
    assert digest_secret(key["key"].encode()) in moving
    assert (
        key["key"] not in moving + cli("apply", "-f", "d.yaml").stdout + cli("keys", "list", "--json").stdout
    )


def test_a_digest_moves_a_key_to_another_database(cli: Cli, document: Path, tmp_path: Path) -> None:
    secret = json.loads(cli("apply", "-f", "d.yaml", "--json").stdout)[0]["key"]
    other = {"DATABASE_URL": f"sqlite:///{tmp_path}/other.db"}
    moving = cli("export", "--secrets").stdout
    done = cli("apply", "-f", "-", "--json", env=other, input=moving)
    assert [row["key"] for row in json.loads(done.stdout)] == [None, None]
    assert cli("export", "--secrets", env=other).stdout == moving
    assert digest_secret(secret.encode()) in moving
    assert digest_secret(secret.encode()) not in done.stdout + done.stderr


def test_what_was_exported_agrees_and_an_apply_changes_no_byte(cli: Cli, tmp_path: Path) -> None:
    cli("keys", "create", "--source", "no", "--permission", "/v1/*", "--expires", "90d")
    cli(
        "routes",
        "add",
        "--match",
        "/v1/*",
        "--to",
        "http://a:1",
        "--description",
        "a\nb: #",
        "--retry-on",
        "5xx",
    )
    cli(
        "routes",
        "add",
        "--match",
        "/x",
        "--to",
        "http://a",
        "--set-header",
        "X-Key: sk-hunter2",
        "--name",
        "1e3",
    )
    exported = cli("export").stdout
    before = rows_of(cli, "routes") + rows_of(cli, "keys")
    (tmp_path / "d.yaml").write_text(exported)
    assert cli("diff", "-f", "d.yaml", "--prune").returncode == 0
    assert cli("apply", "-f", "d.yaml", "--prune").returncode == 0
    assert cli("export").stdout == exported
    assert rows_of(cli, "routes") + rows_of(cli, "keys") == before


def test_a_placeholder_keeps_a_secret_while_the_rest_changes(cli: Cli, tmp_path: Path) -> None:
    header = ["--set-header", "X-Key: sk-hunter2hunter2"]
    cli("routes", "add", "--match", "/x", "--to", "http://a", "--id", "one", *header)
    (tmp_path / "d.yaml").write_text(cli("export").stdout.replace("match_path: /x", "match_path: /y"))
    done = cli("apply", "-f", "d.yaml", "--json")
    assert json.loads(done.stdout)[0]["fields"] == {"match_path": {"from": "/x", "to": "/y"}}
    assert "X-Key: sk-hunter2hunter2" in cli("export", "--secrets").stdout
    assert "hunter2" not in done.stdout + done.stderr
    other = {"DATABASE_URL": f"sqlite:///{tmp_path}/other.db"}
    refused = cli("apply", "-f", "d.yaml", env=other)
    assert refused.returncode == 2
    assert "d.yaml:" in refused.stderr
    assert not (tmp_path / "other.db").exists()


def test_diff_says_what_differs_and_writes_nothing(cli: Cli, document: Path) -> None:
    cli("apply", "-f", "d.yaml")
    before = cli("export").stdout
    change(document, "rate_limit: 60", "rate_limit: 90")
    done = cli("diff", "-f", "d.yaml", "--json")
    assert done.returncode == 1
    (row,) = json.loads(done.stdout)
    assert row["fields"] == {"rate_limit": {"from": 60, "to": 90}}
    assert cli("diff", "-f", "d.yaml").stdout.splitlines()[0] == "id\tkind\tname\tchange\tfields"
    assert cli("diff", "-f", "d.yaml", "-o", "id").stdout == "bot\n"
    assert "rate_limit: 60 -> 90" in cli("diff", "-f", "d.yaml", "-o", "table").stdout
    assert cli("export").stdout == before


def test_prune_removes_what_is_not_there_and_needs_a_yes(cli: Cli, document: Path) -> None:
    cli("apply", "-f", "d.yaml")
    cli("routes", "add", "--match", "/old", "--to", "http://a", "--id", "old")
    assert cli("diff", "-f", "d.yaml").returncode == 0
    assert cli("diff", "-f", "d.yaml", "--prune").returncode == 1
    refused = cli("apply", "-f", "d.yaml", "--prune")
    assert refused.returncode == 2
    assert "remove route old: nobody is there to confirm" in refused.stderr
    assert len(rows_of(cli, "routes")) == 2
    done = cli("apply", "-f", "d.yaml", "--prune", "-y", "--json")
    assert [(row["id"], row["change"]) for row in json.loads(done.stdout)] == [("old", "removed")]
    assert len(rows_of(cli, "routes")) == 1


def test_a_section_that_is_not_there_is_never_pruned(cli: Cli, document: Path) -> None:
    cli("apply", "-f", "d.yaml")
    document.write_text("routes: []\n")
    assert cli("apply", "-f", "d.yaml", "--prune", "-y").returncode == 0
    assert (len(rows_of(cli, "keys")), rows_of(cli, "routes")) == (1, [])


def test_a_dry_run_shows_everything_but_a_secret_and_writes_nothing(
    cli: Cli, document: Path, tmp_path: Path
) -> None:
    done = cli("apply", "-f", "d.yaml", "-n", "--json")
    assert [row["key"] for row in json.loads(done.stdout)] == [None, None]
    assert done.stderr.endswith("dry run: nothing was written\n")
    assert cli("keys", "list").returncode == 4
    cli("apply", "-f", "d.yaml")
    document.write_text("keys: []\nroutes: []\n")
    assert cli("apply", "-f", "d.yaml", "--prune", "-n").returncode == 0
    assert len(rows_of(cli, "keys")) == 1


def test_a_bad_document_is_refused_whole_with_every_fault(cli: Cli, document: Path) -> None:
    change(document, "rate_limit: 60", "rate_limt: 60")
    change(document, "match_path: /v1/*", "match_path: v1\n    retry_count: 9")
    for command in (["apply"], ["diff"], ["apply", "-n"]):
        done = cli(*command, "-f", "d.yaml")
        assert (done.returncode, done.stdout) == (2, "")
        assert [line.partition(": ")[2].split(": ")[0] for line in done.stderr.splitlines()[:2]] == [
            "d.yaml:4:5",
            "d.yaml:7:17",
        ]
        assert "did you mean 'rate_limit'?" in done.stderr
    assert cli("keys", "list").returncode == 4
    error = json.loads(cli("apply", "-f", "d.yaml", "--json").stderr)["error"]
    assert error["message"].count("d.yaml:") == 2


def test_a_retry_count_is_bound_by_the_configuration(cli: Cli, document: Path, tmp_path: Path) -> None:
    change(document, "/v1/*", "/v1/*\n    retry_count: 4")
    done = cli("apply", "-f", "d.yaml")
    assert "d.yaml:8:5: 4 retries are more than proxy.max_retries allows" in done.stderr
    assert cli("apply", "-f", "d.yaml", env={"FASTGATE_PROXY_MAX_RETRIES": "4"}).returncode == 0


@pytest.mark.parametrize("file", ["nosuch.yaml", "."])
def test_a_file_that_cannot_be_read_is_told(cli: Cli, file: str) -> None:
    done = cli("apply", "-f", file)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {file}: the document cannot be read")


def test_without_a_database_diff_says_so_and_makes_none(cli: Cli, document: Path) -> None:
    assert cli("diff", "-f", "d.yaml").returncode == 4
    assert cli("keys", "list").returncode == 4


def test_a_database_that_changes_while_somebody_thinks_is_left_alone(
    cli: Cli, document: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli("apply", "-f", "d.yaml")
    change(document, "rate_limit: 60", "rate_limit: 90")
    from fastgate_cli.commands import apply

    def interfere(*_: object, **__: object) -> None:
        assert cli("keys", "disable", "bot").returncode == 0

    monkeypatch.setattr(apply, "_confirm_removals", interfere)
    done = cli("apply", "-f", "d.yaml")
    assert done.returncode == 2
    assert "the database has changed meanwhile" in done.stderr
    assert [(row["is_active"], row["rate_limit"]) for row in rows_of(cli, "keys")] == [(False, 60)]


def test_in_a_pipe_the_changes_are_told_first_on_stderr(cli: Cli, document: Path) -> None:
    done = cli("apply", "-f", "d.yaml")
    assert done.stderr.splitlines()[:2] == ["keys", "  + ci  bot"]
    assert done.stdout.splitlines()[0] == "id\tkind\tname\tchange\tfields\tkey"
    assert "\x1b" not in done.stdout + done.stderr


def test_who_does_not_print_the_secret_is_told(cli: Cli, document: Path) -> None:
    done = cli("apply", "-f", "d.yaml", "-o", "id")
    assert done.stdout.splitlines()[0] == "bot"
    assert "cannot be shown again" in done.stderr


def test_a_literal_credential_is_noted(cli: Cli, document: Path) -> None:
    change(document, "a:1", "a:1\n    add_headers: {Authorization: sk-hunter2hunter2}")
    done = cli("apply", "-f", "d.yaml")
    assert "stored as written" in done.stderr
    assert "hunter2hunter2" not in done.stdout + done.stderr


def test_on_a_terminal_the_diff_comes_before_the_question(terminal_cli: TerminalCli, document: Path) -> None:
    plain = {"NO_COLOR": "1"}
    code, screen = terminal_cli("apply", "-f", "d.yaml", env=plain)
    assert code == 0
    assert screen.index("  + ci") < screen.index("fg_") < screen.index("2 added")
    document.write_text("keys: []\n")
    code, screen = terminal_cli("apply", "-f", "d.yaml", "--prune", typed="n\n", env=plain)
    assert code == 1
    told = [screen.index(text) for text in ("  - ci  bot", "remove key ci? [y/N]", "nothing was changed")]
    assert told == sorted(told)
    code, screen = terminal_cli("apply", "-f", "d.yaml", "--prune", typed="y\n", env=plain)
    assert code == 0
    assert "1 removed" in screen
    assert terminal_cli("diff", "-f", "d.yaml", "--prune") == (0, "no changes\n")


def test_a_terminal_has_colours_and_no_line_too_long(terminal_cli: TerminalCli, document: Path) -> None:
    change(document, "/v1/*", f"/{'long' * 30}")
    _, screen = terminal_cli("apply", "-f", "d.yaml", "-n")
    assert "\x1b[32m+ ci" in screen
    assert "longlong" in screen
    _, screen = terminal_cli("apply", "-f", "d.yaml", "-n", env={"NO_COLOR": "1"})
    assert "\x1b" not in screen
    assert max(map(len, screen.splitlines())) <= 80
