"""The servers of a benchmark as processes of their own, and what they use of the machine (Linux).

Nothing of FastGate is imported here: it is set up and started by its commands, as a user would. Every server
gets its address from the benchmark, is stopped with its children in the end, and goes too if the benchmark is
killed.
"""

from __future__ import annotations

import ctypes
import json
import os
import platform
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.ports import HOST, reserve_port

ROOT = Path(__file__).parents[2]
PATH = "/v1/chat/completions"
OTHER_ROUTES = 99  # besides the one that serves
RATE_LIMIT = 100_000_000  # in force, and never reached
START_SECONDS_MAX = 60.0
STOP_SECONDS_MAX = 15.0
COMMAND_SECONDS_MAX = 60.0
SETTLE_SECONDS_MAX = 20.0
_SETTLE_WINDOW = 0.25
_IDLE_SHARE = 0.02  # of one core: what a server uses that has nothing left to do
_PR_SET_PDEATHSIG = 1  # prctl(2)
_CLOCK_OF_PROCESS = 2  # CPUCLOCK_SCHED, clock_getcpuclockid(3)
_libc = ctypes.CDLL(None)


class BenchError(Exception):
    """What keeps a server from being measured, in one line."""


@dataclass(frozen=True, slots=True)
class Memory:
    """MiB of a server's processes: the proportional sizes of all (PSS), and the largest alone (RSS)."""

    all_pss: float
    largest_rss: float


@dataclass(frozen=True, slots=True)
class Server:
    """A server that runs; `key` is what its clients present, `logs` are files that it appends to."""

    name: str
    process: subprocess.Popen[bytes]
    port: int
    key: str = ""
    logs: tuple[Path, ...] = ()

    @property
    def origin(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def url(self) -> str:
        return self.origin + PATH

    def list_cpu_seconds(self) -> dict[int, float]:
        """Return the CPU time, user and system, of the process and each below it, ended threads included."""
        return {pid: read_cpu_seconds(pid) for pid in list_tree(self.process.pid)}

    def cpu_seconds(self) -> float:
        """Return the CPU time of all of its processes."""
        return sum(self.list_cpu_seconds().values())

    def read_memory(self) -> Memory:
        """Return what its processes hold now."""
        sizes = [read_memory_kib(pid) for pid in list_tree(self.process.pid)]
        return Memory(sum(pss for pss, _ in sizes) / 1024, max(rss for _, rss in sizes) / 1024)

    def settle(self) -> None:
        """Wait, for a bounded time, until it has done what requests leave to do, such as writing rows."""
        deadline = time.monotonic() + SETTLE_SECONDS_MAX
        used = self.cpu_seconds()
        while time.monotonic() < deadline:
            time.sleep(_SETTLE_WINDOW)
            before, used = used, self.cpu_seconds()
            if used - before < _IDLE_SHARE * _SETTLE_WINDOW:
                return

    def trim_logs(self) -> None:
        """Empty its logs: a run writes more than a small disk holds."""
        for path in self.logs:
            with suppress(FileNotFoundError):
                os.truncate(path, 0)


@contextmanager
def run_server(
    name: str,
    folder: Path,
    port: int,
    command: Sequence[str],
    *,
    key: str = "",
    logs: Sequence[Path] = (),
    environ: Mapping[str, str] | None = None,
) -> Iterator[Server]:
    """Start a server, wait until it listens on `port`, and stop it in the end.

    What it prints goes to `output` in its folder. Raises `BenchError` if it does not start.
    """
    output = folder / "output"
    with output.open("ab") as stream:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=build_environ(folder, environ),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,  # Ctrl-C is for the benchmark, which stops its servers itself
            preexec_fn=_end_with_parent,
        )
    try:
        _wait_until_listening(name, process, port, output)
        yield Server(name, process, port, key, (output, *logs))
    finally:
        _stop(process)


@contextmanager
def run_module(
    name: str, folder: Path, *arguments: str, key: str = "", environ: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """Start a Python module of this project that takes `--port`."""
    folder.mkdir(parents=True, exist_ok=True)
    with reserve_port() as port:
        command = [sys.executable, "-m", *arguments, "--port", str(port)]
        with run_server(name, folder, port, command, key=key, environ=environ) as server:
            yield server


@contextmanager
def run_gateway(
    name: str, folder: Path, origin: str, *, more: str = "", environ: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """Start FastGate in front of `origin` with everything on; `more` goes into its configuration."""
    key = prepare_gateway(folder, origin, more=more)
    command = ("fastgate_cli", "-c", "fastgate.yaml", "serve")
    with run_module(name, folder, *command, key=key, environ=environ) as server:
        yield server


def prepare_gateway(folder: Path, origin: str, *, more: str = "") -> str:
    """Make a database with a limited key and a hundred routes, one of them to `origin`; return the key."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "fastgate.yaml").write_text(f"database: {{url: 'sqlite:///data/fastgate.db'}}\n{more}")
    # JSON is YAML: the document needs no library.
    (folder / "routes.yaml").write_text(json.dumps({"routes": _build_routes(origin.removeprefix("http://"))}))
    run_command(folder, "apply", "-f", "routes.yaml", "-y")
    made = run_command(folder, "keys", "create", "--rate-limit", str(RATE_LIMIT), "--json")
    return str(json.loads(made)["key"])


def run_command(folder: Path, *arguments: str) -> str:
    """Run a command of FastGate to its end and return what it printed; raises `BenchError` if it fails."""
    command = [sys.executable, "-m", "fastgate_cli", "-c", "fastgate.yaml", *arguments]
    done = run_program(command, COMMAND_SECONDS_MAX, folder=folder, environ=build_environ(folder))
    if done.returncode:
        raise BenchError(f"fastgate {arguments[0]} failed: {done.stderr.strip()}")
    return done.stdout


def run_program(
    command: Sequence[str],
    seconds: float,
    *,
    folder: Path | None = None,
    environ: dict[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, whatever its exit code; raises `BenchError` if that takes too long."""
    try:
        return subprocess.run(
            command,
            cwd=folder,
            env=environ,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise BenchError(f"{Path(command[0]).name} did not end within {seconds:g} s") from None


def build_environ(folder: Path, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return an environment in which a server keeps to its folder, and no setting of this shell counts."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FASTGATE_")}
    paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    home = {name: str(folder) for name in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")}
    return {**kept, **home, "PYTHONPATH": paths, **(more or {})}


def find_program(name: str) -> str | None:
    """Return the path of a program: beside this interpreter, where wheels put it, else on PATH."""
    beside = str(Path(sys.executable).parent)
    return shutil.which(name, path=os.pathsep.join((beside, os.environ.get("PATH", os.defpath))))


def describe_machine() -> str:
    """Return what a figure depends on besides the code."""
    models = re.findall(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    model = models[0] if models else platform.machine()
    return f"{model}, {os.cpu_count()} cores, Python {platform.python_version()}"


def list_tree(pid: int) -> list[int]:
    """Return a process and all below it."""
    found = [pid]
    # A child belongs to the thread that started it. What ends meanwhile has nothing below it.
    with suppress(FileNotFoundError, ProcessLookupError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                found += list_tree(int(child))
    return found


def read_cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process, user and system, all threads that it has or had; 0 if it is gone."""
    # The process's own clock, in nanoseconds: what `/proc/PID/stat` counts in ticks of ten milliseconds.
    try:
        return time.clock_gettime((~pid << 3) | _CLOCK_OF_PROCESS)
    except OSError:
        return 0.0


def read_memory_kib(pid: int) -> tuple[int, int]:
    """Return a process's proportional and whole resident size in KiB (proc(5), smaps_rollup)."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    sizes = dict(re.findall(r"^(Pss|Rss): +(\d+) kB", text, re.MULTILINE))
    return int(sizes["Pss"]), int(sizes["Rss"])


def read_peak_kib(pid: int) -> int:
    """Return the most memory that a process has held so far, in KiB (proc(5))."""
    (line,) = (line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if "VmHWM" in line)
    return int(line.split()[1])


def _build_routes(host: str) -> list[dict[str, object]]:
    patterns = {f"team-{number}": f"/team-{number}/v1/*" for number in range(OTHER_ROUTES)}
    headers = {"X-Team": "bench", "Authorization": "Bearer backend-key"}
    return [
        {"route_id": name, "match_path": pattern, "target_host": host, "add_headers": headers}
        for name, pattern in {**patterns, "chat": "/v1/*"}.items()
    ]


def _end_with_parent() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _wait_until_listening(name: str, process: subprocess.Popen[bytes], port: int, output: Path) -> None:
    deadline = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError), socket.create_connection((HOST, port), timeout=1):
            return
        time.sleep(0.05)
    lines = output.read_text(errors="replace").strip().splitlines() or ["it printed nothing"]
    raise BenchError(f"{name} did not start: {lines[-1]}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    pids = list_tree(process.pid)
    process.terminate()
    try:
        process.wait(STOP_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait(STOP_SECONDS_MAX)
