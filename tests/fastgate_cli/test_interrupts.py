"""Ctrl-C while the program is loaded, before a command can hear it: held there by a module that waits."""

from __future__ import annotations

import signal
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from fastgate_cli.interrupts import end_silently, raise_interrupts

ROOT = Path(__file__).parents[2]
HELD_CODE = 7
HOLD = f"import sys; print('held', flush=True); sys.stdin.read(); sys.exit({HELD_CODE})\n"
SCRIPT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]["fastgate"]
# As an installer writes it.
CONSOLE_SCRIPT = "import sys; from {} import {} as run; sys.exit(run())".format(*SCRIPT.split(":"))
BEGINNINGS = {"module": ["-m", "fastgate_cli"], "console script": ["-c", CONSOLE_SCRIPT]}
Held = subprocess.Popen[str]


@contextmanager
def holding(
    module: str, begin: Sequence[str], folder: Path, environment: dict[str, str], *, ignoring: bool = False
) -> Iterator[Held]:
    """Run `keys list`, which waits in the import of a library until its stdin is closed."""
    (folder / f"{module}.py").write_text(HOLD)
    with subprocess.Popen(
        [sys.executable, *begin, "keys", "list"],
        env={**environment, "PYTHONPATH": f"{folder}:{ROOT}"},
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=(lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)) if ignoring else None,
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("begin", BEGINNINGS.values(), ids=BEGINNINGS)
def test_an_interrupt_while_the_program_is_loaded_ends_it_without_a_word(
    begin: list[str], tmp_path: Path, environment: dict[str, str]
) -> None:
    with holding("typer", begin, tmp_path, environment) as process:
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=20) == ("", "")
        assert process.returncode == -signal.SIGINT  # which a shell calls 130


def test_an_interrupt_while_a_command_is_loaded_is_the_commands_own(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    with holding("peewee", BEGINNINGS["module"], tmp_path, environment) as process:
        process.send_signal(signal.SIGINT)
        process.wait(20)
        assert process.communicate(timeout=20) == ("", "\n")
        assert process.returncode == 130


@pytest.mark.parametrize("module", ["typer", "peewee"])
def test_an_interrupt_that_is_ignored_from_outside_stays_ignored(
    module: str, tmp_path: Path, environment: dict[str, str]
) -> None:
    with holding(module, BEGINNINGS["module"], tmp_path, environment, ignoring=True) as process:
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=20) == ("", "")
        assert process.returncode == HELD_CODE


@pytest.mark.parametrize(
    ("function", "before", "after"),
    [
        (end_silently, signal.default_int_handler, signal.SIG_DFL),
        (end_silently, signal.SIG_IGN, signal.SIG_IGN),
        (raise_interrupts, signal.SIG_DFL, signal.default_int_handler),
        (raise_interrupts, signal.SIG_IGN, signal.SIG_IGN),
    ],
)
def test_only_pythons_own_handler_is_changed(
    function: Callable[[], None], before: signal.Handlers, after: signal.Handlers
) -> None:
    found = signal.signal(signal.SIGINT, before)
    try:
        function()
        assert signal.getsignal(signal.SIGINT) is after
    finally:
        signal.signal(signal.SIGINT, found)
