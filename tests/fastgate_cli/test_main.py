"""The command line as a whole: help, version, errors, exit codes, and what it loads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fastgate_cli.main import run_command

Cli = Callable[..., subprocess.CompletedProcess[str]]
TerminalCli = Callable[..., tuple[int, str]]
HEAVY = (
    "quart",
    "hypercorn",
    "httpx",
    "pydantic",
    "rich",
    "asyncio",
    "ruamel",
    "prometheus_client",
    "jsonschema_rs",
)
CPU_SECONDS_MAX = 0.25
RUNS_MAX = 8


def test_version(cli: Cli) -> None:
    from proxy import __version__

    assert cli("--version").stdout == f"fastgate {__version__}\n"


@pytest.mark.parametrize("arguments", [["-h"], ["--help"], []])
def test_help_opens_with_examples_and_goes_to_stdout(cli: Cli, arguments: list[str]) -> None:
    done = cli(*arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Examples:\n  fastgate quickstart")
    assert "\nTopics, for 'fastgate help TOPIC':\n  patterns " in done.stdout


@pytest.mark.parametrize(
    "command",
    [
        "init",
        "status",
        "reload",
        "stop",
        *(f"keys {verb}" for verb in ("create", "list", "show", "enable", "disable", "delete")),
        *(f"routes {verb}" for verb in ("add", "list", "show", "delete")),
        *("export", "diff", "apply"),
        *(f"config {verb}" for verb in ("show", "get", "set", "unset", "validate", "path")),
        *(f"db {verb}" for verb in ("status", "upgrade", "path")),
    ],
)
def test_every_command_has_examples_first_in_80_columns(
    capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert run_command([*command.split(), "-h"]) == 0
    page = capsys.readouterr().out
    assert page.startswith(f"Examples:\n  {'fastgate' if command != 'db path' else 'sqlite3'}")
    assert max(map(len, page.splitlines())) <= 80
    assert f"Usage: fastgate {command}" in page


def test_help_works_beside_a_broken_configuration(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "fastgate.yaml").write_text("app: [")
    assert cli("keys", "-h").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (["kyes"], "there is no command 'fastgate kyes'", "did you mean keys? 'fastgate -h'"),
        (["keys", "crate"], "there is no command 'fastgate keys crate'", "did you mean create"),
        (
            ["keys", "list", "--sorce", "x"],
            "no such option: --sorce",
            "did you mean --source? 'fastgate keys",
        ),
        (
            ["keys", "list", "-source", "x"],
            "no such option: -source",
            "did you mean --source? 'fastgate keys",
        ),
        (["keys", "list", "-x"], "no such option: -x", "'fastgate keys list -h' shows what it takes"),
        (["logs", "tail", "--no-folow"], "no such option: --no-folow", "did you mean --no-follow"),
        (["keys", "list", "-n"], "option '-n' requires an argument", "'fastgate keys list -h'"),
        (["keys", "list", "-c", "f"], "no such option: -c", "-c goes before the command: fastgate -c FILE"),
        (
            ["keys", "list", "--config=f"],
            "no such option: --config",
            "goes before the command: fastgate --config FILE keys list",
        ),
        (
            ["keys", "list", "--version"],
            "no such option: --version",
            "before the command: fastgate --version",
        ),
        (["--fields", "a", "keys"], "no such option: --fields", "goes after it: fastgate COMMAND --fields"),
        (["keys", "-y", "list"], "no such option: -y", "goes after it: fastgate keys COMMAND -y"),
        (["--confg", "f", "keys"], "no such option: --confg", "did you mean --config? 'fastgate -h'"),
        (["routes", "add", "--to", "http://a"], "missing option '--match'", "'fastgate routes add -h'"),
        (["keys", "create", "--rate-limit", "many"], "invalid value for '--rate-limit'", "keys create -h"),
        (["keys", "create", "--rate-limit", "-1"], "invalid value for '--rate-limit'", "keys create -h"),
        (["keys", "list", "-o", "xml"], "invalid value for '-o' / '--output'", "keys list -h"),
        (["keys", "show"], "missing argument 'ID...'", "keys show -h"),
        (["keys", "list", "extra"], "got unexpected extra argument(s) (extra)", "keys list -h"),
        (["-c"], "option '-c' requires an argument", "'fastgate -h'"),
        (["-c", "f"], "missing command", "'fastgate -h'"),
    ],
)
def test_misuse_is_one_error_line_and_a_hint(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str, hint: str
) -> None:
    code = run_command(arguments)
    printed = capsys.readouterr()
    lines = printed.err.splitlines()
    assert (code, printed.out, len(lines)) == (2, "", 2)
    assert lines[0].lower().startswith(f"error: {message}".lower())
    assert lines[1].startswith("hint: ")
    assert hint in lines[1]


@pytest.mark.parametrize("arguments", [["kyes", "--json"], ["keys", "list", "--sorce", "--json"]])
def test_with_json_an_error_is_json(cli: Cli, arguments: list[str]) -> None:
    done = cli(*arguments)
    assert set(json.loads(done.stderr)["error"]) == {"code", "message", "hint"}
    assert done.returncode == 2


def test_a_configuration_error_names_its_place(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "fastgate.yaml").write_text("app:\n  prot: 1\n  host: []\n")
    done = cli("keys", "list")
    assert done.returncode == 2
    assert [line.split(": ")[0] for line in done.stderr.splitlines()[:2]] == ["error", "error"]
    assert "fastgate.yaml:2:3: " in done.stderr
    assert "fastgate.yaml:3:" in done.stderr


def test_a_configuration_file_that_is_not_there_is_an_error(cli: Cli) -> None:
    done = cli("-c", "nosuch.yaml", "keys", "list")
    assert done.returncode == 2
    assert "nosuch.yaml" in done.stderr


def test_errors_are_red_on_a_terminal_only(process_cli: Cli, terminal_cli: TerminalCli) -> None:
    code, screen = terminal_cli("kyes")
    assert (code, screen.startswith("\x1b[1;31merror:\x1b[0m there is no command")) == (2, True)
    assert terminal_cli("kyes", env={"NO_COLOR": "1"})[1].startswith("error: there")
    assert terminal_cli("kyes", env={"TERM": "dumb"})[1].startswith("error: there")
    assert "\x1b" in process_cli("kyes", env={"FORCE_COLOR": "1"}).stderr


def test_an_unforeseen_error_shows_no_traceback_unless_asked(process_cli: Cli, tmp_path: Path) -> None:
    # A clock that cannot be called stands for any bug.
    (tmp_path / "sitecustomize.py").write_text("import proxy.clock\nproxy.clock.now_us = None\n")
    path = {"PYTHONPATH": f"{tmp_path}{os.pathsep}{Path(__file__).parents[2]}"}
    done = process_cli("keys", "create", env=path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: internal error: TypeError: ")
    assert "Traceback" not in done.stderr
    assert "Traceback" in process_cli("keys", "create", env={**path, "FASTGATE_DEBUG": "1"}).stderr


def test_a_reader_that_leaves_ends_the_command_quietly(environment: dict[str, str], tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "fastgate_cli", "db", "path"],
        env=environment,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout
    assert process.stderr
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(30) in (0, 141)
    process.stderr.close()


@pytest.mark.parametrize(
    ("stdout", "reason"), [("/dev/full", "No space left on device"), ("&-", "Bad file descriptor")]
)
def test_an_output_that_takes_nothing_is_no_traceback(
    environment: dict[str, str], tmp_path: Path, stdout: str, reason: str
) -> None:
    line = f"{sys.executable} -m fastgate_cli --version >{stdout}"
    done = subprocess.run(["sh", "-c", line], env=environment, cwd=tmp_path, capture_output=True, text=True)
    error = f"error: the output cannot be read or written: {reason}\n"
    assert (done.returncode, done.stderr.partition("hint: ")[0]) == (1, error)


@pytest.mark.parametrize("place", ["/dev/full", "&-"])
def test_a_secret_that_cannot_be_written_is_told_with_what_can_be_done(
    environment: dict[str, str], tmp_path: Path, cli: Cli, place: str
) -> None:
    line = f"{sys.executable} -m fastgate_cli keys create >{place}"
    done = subprocess.run(["sh", "-c", line], env=environment, cwd=tmp_path, capture_output=True, text=True)
    (key_id,) = cli("keys", "list", "-o", "id").stdout.split()
    assert done.returncode == 1
    assert f"error: the secret of {key_id} could not be written" in done.stderr
    assert f"hint: 'fastgate keys rotate {key_id}'" in done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ("keys create --value-stdin", 2, "error: this value cannot be a key"),
        ("keys delete --all", 2, "nobody is there to confirm"),
        ("apply -f -", 0, ""),
        ("top", 2, "the dashboard needs a terminal"),
    ],
)
def test_a_closed_stdin_is_one_in_which_there_is_nothing(
    environment: dict[str, str], tmp_path: Path, cli: Cli, arguments: str, code: int, message: str
) -> None:
    cli("keys", "create")
    line = f"{sys.executable} -m fastgate_cli {arguments} <&-"
    done = subprocess.run(["sh", "-c", line], env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, message in done.stderr) == (code, True), done.stderr


def test_an_interrupt_is_130_without_a_traceback(cli: Cli, terminal_cli: TerminalCli) -> None:
    key_id = json.loads(cli("keys", "create", "--json").stdout)["key_id"]
    code, screen = terminal_cli("keys", "delete", key_id, interrupted_at="[y/N]")
    assert (code, "Traceback" in screen) == (130, False)
    assert cli("keys", "list", "-o", "id").stdout.split() == [key_id]


def test_keys_list_is_light(cli: Cli, tmp_path: Path, environment: dict[str, str]) -> None:
    cli("keys", "create")
    program = (
        "import sys, resource\n"
        "from fastgate_cli.main import run_command\n"
        "code = run_command(['keys', 'list'])\n"
        f"loaded = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "spent = resource.getrusage(resource.RUSAGE_SELF)\n"
        "print(code, *loaded, file=sys.stderr)\n"
        "print(spent.ru_utime + spent.ru_stime, file=sys.stderr)\n"
    )
    spent = []
    # A busy machine makes everything dearer: the cheapest of a few runs counts.
    for _ in range(RUNS_MAX):
        done = subprocess.run(
            [sys.executable, "-c", program], env=environment, cwd=tmp_path, capture_output=True, text=True
        )
        loaded, seconds = done.stderr.splitlines()
        assert loaded == "0"
        spent.append(float(seconds))
        if spent[-1] <= CPU_SECONDS_MAX:
            break
    assert min(spent) <= CPU_SECONDS_MAX


def test_help_imports_no_command(environment: dict[str, str], tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from fastgate_cli.main import run_command\n"
        "run_command(['-h'])\n"
        f"print(*(name for name in (*{HEAVY!r}, 'peewee') if name in sys.modules), file=sys.stderr)\n"
        "commands = [name for name in sys.modules if name.startswith('fastgate_cli.commands.')]\n"
        "print(*commands, file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, cwd=tmp_path, capture_output=True, text=True
    )
    assert done.stderr == "\n\n"


def test_the_shell_is_answered_instead_of_a_command_being_run(process_cli: Cli) -> None:
    completing = {"_FASTGATE_COMPLETE": "complete_bash"}
    words = process_cli("keys", "create", env={**completing, "COMP_WORDS": "fastgate ro", "COMP_CWORD": "1"})
    assert (words.returncode, words.stdout.split(), words.stderr) == (0, ["routes"], "")
