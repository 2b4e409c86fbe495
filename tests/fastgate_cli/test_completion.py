"""Tab completes what is there: asked by a real bash, and as the scripts for zsh and fish ask."""

from __future__ import annotations

import json
import os
import pty
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.proxy.store.rows import record

Cli = Callable[..., subprocess.CompletedProcess[str]]
Complete = Callable[..., list[str]]
BASH = ("bash", "--norc", "--noprofile")
VARIABLE = "_FASTGATE_COMPLETE"
HEAVY = {"quart", "hypercorn", "httpx", "pydantic", "rich", "asyncio", "playhouse.migrations"}


@pytest.fixture
def environ(tmp_path: Path, environment: dict[str, str]) -> dict[str, str]:
    """An environment in which `fastgate` is a command."""
    program = tmp_path / "bin" / "fastgate"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m fastgate_cli "$@"\n')
    program.chmod(0o755)
    return {**environment, "PATH": f"{program.parent}:{environment['PATH']}", "PS1": "$ "}


@pytest.fixture
def script(tmp_path: Path, process_cli: Cli) -> Path:
    """The script that `--install-completion` installs for bash."""
    path = tmp_path / "completion.bash"
    path.write_text(process_cli(env={VARIABLE: "source_bash"}).stdout)
    return path


@pytest.fixture
def bash(tmp_path: Path, environ: dict[str, str], script: Path) -> Complete:
    """`bash(word, ..., begun)`: what a real bash finds with the installed script; the last word is begun."""

    def complete(*words: str) -> list[str]:
        line = " ".join(shlex.quote(word) for word in ("fastgate", *words))
        program = (
            f"source {shlex.quote(str(script))}; COMP_WORDS=({line}); COMP_CWORD={len(words)}\n"
            "_fastgate_completion fastgate; printf '%s\\n' \"${COMPREPLY[@]}\""
        )
        done = subprocess.run(
            [*BASH, "-c", program], env=environ, cwd=tmp_path, capture_output=True, text=True, check=True
        )
        assert done.stderr == ""
        return done.stdout.split("\n")[:-1] if done.stdout.strip() else []

    return complete


@pytest.fixture
def fish(cli: Cli) -> Callable[..., list[tuple[str, str]]]:
    """`fish(line)`: words and descriptions, as fish is answered; silently, or the test fails."""

    def complete(line: str, env: Mapping[str, str] | None = None) -> list[tuple[str, str]]:
        asking = {VARIABLE: "complete_fish", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
        done = cli(env={**asking, "_TYPER_COMPLETE_ARGS": line, **(env or {})})
        assert done.stderr == ""
        return [(word, text) for word, _, text in (row.partition("\t") for row in done.stdout.splitlines())]

    return complete


@pytest.fixture
def key(cli: Cli) -> dict[str, Any]:
    """A key of the source laptop."""
    row: dict[str, Any] = json.loads(cli("keys", "create", "--source", "my laptop", "--json").stdout)
    return row


@pytest.fixture
def route(cli: Cli) -> dict[str, Any]:
    """A route called backend-one."""
    done = cli("routes", "add", "--match", "/v1/*", "--to", "http://a:1", "--name", "backend-one", "--json")
    row: dict[str, Any] = json.loads(done.stdout)
    return row


def test_bash_completes_commands_and_live_ids(
    bash: Complete, key: dict[str, Any], route: dict[str, Any]
) -> None:
    assert bash("ro") == ["routes"]
    assert bash("keys", "cr") == ["create"]
    assert bash("keys", "show", "key_") == [key["key_id"]]
    assert bash("routes", "show", "") == ["backend-one", route["route_id"]]
    assert bash("logs", "list", "--key", "=", "") == []
    assert bash("logs", "list", "--key", "=", "k") == [key["key_id"]]
    assert bash("keys", "list", "--source", "my") == ["my\\ laptop"]


def test_a_real_tab_key_completes(
    tmp_path: Path, environ: dict[str, str], script: Path, route: dict[str, Any]
) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*BASH, "-i"], env=environ, cwd=tmp_path, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    try:
        screen = read_until(ours, b"$ ")
        os.write(ours, f"source {script}; echo rea''dy\n".encode())
        read_until(ours, b"ready")
        os.write(ours, b"fastgate routes show back\t")
        screen = read_until(ours, b"backend-one ")
        assert screen.endswith(b"fastgate routes show backend-one ")
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def read_until(descriptor: int, text: bytes) -> bytes:
    screen = b""
    while text not in screen:
        screen += os.read(descriptor, 65536)
    return screen


def test_what_is_completed_is_described(
    fish: Callable[..., list[tuple[str, str]]], cli: Cli, key: dict[str, Any], route: dict[str, Any]
) -> None:
    assert fish("fastgate keys show ") == [(key["key_id"], f"{key['key_hint']} my laptop")]
    assert fish("fastgate routes test back") == [("backend-one", "/v1/* to http://a:1")]
    assert fish("fastgate keys disable --source ") == [("my laptop", "1 key")]
    assert fish("fastgate keys create --source my") == [("my laptop", "1 key")]
    assert ("help", "Explain a topic or a command; print the manual.") in fish("fastgate ")
    assert ("app.port", "a whole number from 0 to 65535") in fish("fastgate config set app.")
    assert ("jsonl", "one object a line") in fish("fastgate keys list -o ")
    assert ("--output=jsonl", "one object a line") in fish("fastgate keys list --output=js")
    assert ("patterns", "Which paths a route or a permission matches.") in fish("fastgate help ")
    assert fish("fastgate help keys cr") == [("create", "Create a key.")]
    assert ("topics", "All topics, each with what it explains.") in fish("fastgate help t")
    assert fish("fastgate help patterns ") == fish("fastgate help topics ") == []
    assert fish("fastgate routes update backend-one --unset time") == [
        ("timeout", "as if --timeout were not given")
    ]
    assert ("--match", "Paths to serve: '/v1/*', '/user/{id}', '/exact'.") in fish("fastgate routes add --m")
    assert fish("fastgate db downgrade --to 0001")[0][0] == "0001_initial"
    assert fish("fastgate db downgrade --to 0001")[0][1].startswith("applied 20")
    assert [word for word, _ in fish("fastgate routes add --balance ")] == [
        "failover",
        "round-robin",
        "least-in-flight",
    ]


def test_the_newest_requests_are_completed(
    fish: Callable[..., list[tuple[str, str]]], cli: Cli, key: dict[str, Any], tmp_path: Path
) -> None:
    from proxy.store.database import open_database

    with open_database(Path(cli("db", "path").stdout.strip()), create=False) as database:
        record(database, "old")
        record(database, "new", second=1, path="/v1/models\x1b[31m", method="GET", status_code=404)
    assert fish("fastgate logs show ") == [
        ("log_new", "404 GET /v1/models [31m"),
        ("log_old", "200 POST /v1/chat"),
    ]


def test_what_the_line_holds_already_is_not_offered(
    fish: Callable[..., list[tuple[str, str]]], cli: Cli, key: dict[str, Any]
) -> None:
    other = json.loads(cli("keys", "create", "--json").stdout)["key_id"]
    assert [word for word, _ in fish(f"fastgate keys show {key['key_id']} ")] == [other]
    assert [word for word, _ in fish(f"fastgate logs list --key {key['key_id']} --key ")] == [other]
    options = [word for word, _ in fish("fastgate logs list --since 1h --key x --errors -")]
    assert {"--since", "--errors"}.isdisjoint(options)
    assert {"--key", "--until", "-o", "--no-stream"} <= set(options)


@pytest.mark.parametrize(
    "line",
    ["fastgate nosuch ", "fastgate keys nosuch x", "fastgate serve x", "fastgate keys list --nosuch=x"],
)
def test_where_nothing_can_stand_nothing_is_offered(
    fish: Callable[..., list[tuple[str, str]]], line: str
) -> None:
    assert fish(line) == []


def test_behind_two_dashes_there_are_no_options(
    fish: Callable[..., list[tuple[str, str]]], key: dict[str, Any]
) -> None:
    assert [word for word, _ in fish("fastgate keys show -- ")] == [key["key_id"]]
    assert fish("fastgate keys show -- -") == []


@pytest.mark.parametrize("written", ["other.yaml", "~/other.yaml", "$HOME/other.yaml", "'other.yaml'"])
def test_the_configuration_that_the_line_names_is_the_one_that_counts(
    fish: Callable[..., list[tuple[str, str]]],
    cli: Cli,
    environment: dict[str, str],
    tmp_path: Path,
    key: dict[str, Any],
    written: str,
) -> None:
    for folder in (tmp_path, Path(environment["HOME"])):
        (folder / "other.yaml").write_text("database: {url: 'sqlite:///other.db'}\n")
        other = json.loads(cli("-c", str(folder / "other.yaml"), "keys", "create", "--json").stdout)["key_id"]
        (folder / "id").write_text(other)
    expected = (Path(environment["HOME"]) if "/" in written else tmp_path) / "id"
    assert [word for word, _ in fish(f"fastgate -c {written} keys show ")] == [expected.read_text()]
    assert [word for word, _ in fish(f"fastgate --config={written} keys show ")] == [expected.read_text()]


@pytest.mark.parametrize(
    "line", ["fastgate keys show ", "fastgate logs show ", "fastgate db downgrade --to "]
)
def test_without_a_database_completion_is_silent_and_makes_none(
    fish: Callable[..., list[tuple[str, str]]], tmp_path: Path, line: str
) -> None:
    before = sorted(tmp_path.rglob("*"))
    assert fish(line) == []
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("content", ["app: [", "nosuch: 1\n", "database: {url: 'sqlite:///folder'}\n"])
def test_beside_a_configuration_that_cannot_be_used_completion_is_silent(
    fish: Callable[..., list[tuple[str, str]]], tmp_path: Path, content: str
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "fastgate.yaml").write_text(content)
    assert fish("fastgate keys show ") == []
    assert fish("fastgate -c nosuch.yaml keys show ") == []
    assert fish("fastgate keys sh") == [("show", "Show everything about keys, except their secrets.")]


def test_a_database_is_left_as_it_is(
    fish: Callable[..., list[tuple[str, str]]], cli: Cli, key: dict[str, Any], tmp_path: Path
) -> None:
    database = Path(cli("db", "path").stdout.strip())
    cli("db", "downgrade", "-y")
    before = (database.read_bytes(), sorted(path.name for path in database.parent.iterdir()))
    for line in ("fastgate keys show ", "fastgate routes show ", "fastgate db downgrade --to "):
        fish(line)
    assert (database.read_bytes(), sorted(path.name for path in database.parent.iterdir())) == before


@pytest.mark.parametrize(
    ("line", "takes_files"),
    [
        ("fastgate -c ", True),
        ("fastgate apply -f ", True),
        ("fastgate db backup ", True),
        ("fastgate routes add --tls-ca=/etc/", True),
        ("fastgate config validate ", True),
        ("fastgate keys show ", False),
        ("fastgate ", False),
        ("fastgate nosuch ", False),
    ],
)
def test_where_a_path_is_wanted_the_shell_completes_files(cli: Cli, line: str, takes_files: bool) -> None:
    typed = {"_TYPER_COMPLETE_ARGS": line}
    asking = {VARIABLE: "complete_fish", "_TYPER_COMPLETE_FISH_ACTION": "is-args", **typed}
    assert (cli(env=asking).returncode == 1) is takes_files
    answer = cli(env={VARIABLE: "complete_zsh", **typed}).stdout
    assert (answer == "_files\n") is takes_files


def test_zsh_is_answered_with_one_command(cli: Cli, route: dict[str, Any]) -> None:
    answer = cli(env={VARIABLE: "complete_zsh", "_TYPER_COMPLETE_ARGS": "fastgate routes show back"}).stdout
    assert answer == """_arguments '*: :(("backend-one":"/v1/* to http\\\\://a\\\\:1"))'\n"""


def test_an_option_that_acts_when_it_is_parsed_does_not_act(
    fish: Callable[..., list[tuple[str, str]]],
) -> None:
    keys = [("keys", "API keys: who may use the gateway.")]
    for option in ("--version", "--show-completion", "--install-completion", "-h"):
        assert fish(f"fastgate {option} key") == keys


def test_why_nothing_was_found_is_told_to_who_asks(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "fastgate.yaml").write_text("app: [")
    env = {VARIABLE: "complete_zsh", "_TYPER_COMPLETE_ARGS": "fastgate keys show "}
    assert cli(env=env).stderr == ""
    assert "fastgate.yaml:1" in cli(env={**env, "FASTGATE_DEBUG": "1"}).stderr


@pytest.mark.parametrize("asked", ["complete_nosuch", "nosuch", "complete_bash"])
def test_a_question_that_nobody_understands_is_no_traceback(process_cli: Cli, asked: str) -> None:
    done = process_cli(env={VARIABLE: asked})
    assert (done.returncode, done.stdout, "Traceback" in done.stderr) == (1, "", False)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_typer_prints_its_scripts(process_cli: Cli, shell: str) -> None:
    done = process_cli(env={VARIABLE: f"source_{shell}"})
    assert done.returncode == 0
    assert f"{VARIABLE}=complete_{shell}" in done.stdout


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
def test_fish_itself_completes(
    process_cli: Cli, environ: dict[str, str], tmp_path: Path, route: dict[str, Any]
) -> None:
    (tmp_path / "completion.fish").write_text(process_cli(env={VARIABLE: "source_fish"}).stdout)
    program = "source completion.fish; complete -C 'fastgate routes show back'"
    done = subprocess.run(
        ["fish", "--no-config", "-c", program],
        env=environ,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "backend-one\t/v1/* to http://a:1\n"


@pytest.mark.parametrize("kind", ["keys", "routes", "logs"])
def test_an_answer_is_light(environ: dict[str, str], tmp_path: Path, key: dict[str, Any], kind: str) -> None:
    program = (
        "import sys; from fastgate_cli.main import run_command; code = run_command([]);"
        f"print(code, *({HEAVY!r} & set(sys.modules)), file=sys.stderr)"
    )
    asking = {VARIABLE: "complete_zsh", "_TYPER_COMPLETE_ARGS": f"fastgate {kind} show "}
    run = [sys.executable, "-c", program]
    done = subprocess.run(run, env={**environ, **asking}, cwd=tmp_path, capture_output=True, text=True)
    assert done.stderr == "0\n"
