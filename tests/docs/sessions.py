"""A document's examples as one shell session: in a folder of its own, with ports of its own, run to the end.

What is run is what the document says, but for the ports: nothing on a machine that tests is free for sure.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.docs import warm
from tests.docs.documents import ROOT, Block
from tests.ports import reserve_neighbours

SESSION_SECONDS_MAX = 55
# The ports of the documents: the gateway's, a mock's that a document starts, and those of real backends.
GATEWAY_PORT, OWN_MOCK_PORT, BACKEND_PORTS = "8514", "8515", ("8000", "11434")
_PORT = re.compile(rf"\b(?:{'|'.join((GATEWAY_PORT, OWN_MOCK_PORT, *BACKEND_PORTS))})\b")
_BEGIN = """\
set -euo pipefail
trap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT
"""
_EXPECT = """\
set +e
( set -e
{text}
)
code=$?
set -e
[ $code -eq {code} ] || {{ echo "it ended with $code, not {code}" >&2; exit 99; }}
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a session ended, at which block, and all that was printed."""

    exit_code: int
    place: str
    printed: str


def run_session(
    folder: Path, blocks: Iterable[Block], *, backend_port: int = 1, warm_address: str = ""
) -> Outcome:
    """Run the blocks of a document one after the other; it ends with the first command that fails.

    With a `warm_address` the command is made by the process that listens there, but for what runs on.
    """
    with reserve_neighbours(2) as (gateway_port, own_mock_port):
        ports = {GATEWAY_PORT: gateway_port, OWN_MOCK_PORT: own_mock_port}
        ports |= dict.fromkeys(BACKEND_PORTS, backend_port)
        script = _PORT.sub(lambda match: str(ports[match[0]]), build_script(blocks))
        return _run(folder, script, {**build_environ(folder, warm_address), "APP_PORT": str(gateway_port)})


def _run(folder: Path, script: str, environ: Mapping[str, str]) -> Outcome:
    process = subprocess.Popen(
        ["bash", "-c", script],
        cwd=folder / "home",
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        printed, _ = process.communicate(timeout=SESSION_SECONDS_MAX)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    place = folder / "home" / ".place"
    return Outcome(process.returncode, place.read_text() if place.exists() else "", printed)


def build_script(blocks: Iterable[Block]) -> str:
    """Return the script of a session: the blocks that are run, each after what prepares it."""
    parts = [_BEGIN]
    for block in blocks:
        if block.preparation:
            parts.append(f"echo 'the preparation of {block.place}' > ~/.place\n{block.preparation}\n")
        if not block.not_run:
            text = _EXPECT.format(text=block.text, code=block.exit_code) if block.exit_code else block.text
            parts.append(f"echo {block.place} > ~/.place\n{text}")
    return "\n".join(parts)


def build_environ(folder: Path, warm_address: str) -> Mapping[str, str]:
    """Make a home and the command `fastgate` in a folder; return an environment in which they are used."""
    home, programs = folder / "home", folder / "bin"
    home.mkdir()
    programs.mkdir()
    command = programs / "fastgate"
    cold = f'exec "{sys.executable}" -m fastgate_cli "$@"\n'
    lines = ["#!/bin/sh\n"]
    if warm_address:
        lines.append(f'case "$1" in {"|".join(warm.COLD)}) {cold.strip()};; esac\n')
        cold = f'exec "{sys.executable}" -I -S "{warm.__file__}" "{warm_address}" "$@"\n'
    command.write_text("".join([*lines, cold]))
    command.chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("FASTGATE_", "XDG_"))}
    path = os.pathsep.join((str(programs), os.environ["PATH"]))
    return {**kept, "HOME": str(home), "PATH": path, "PYTHONPATH": str(ROOT)}


@contextmanager
def keep_warm(folder: Path) -> Iterator[str]:
    """Run the process that makes commands quickly, and give its address."""
    address = str(folder / "warm")
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.docs.warm", address],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield address
        process.communicate()
