"""The layout holds: who may import whom, which library has which home, and what stays out of a
quick command.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# The rooms from the ground up: each imports from its own floor and those before it, never from one after it.
FLOORS: tuple[tuple[str, ...], ...] = (
    (
        "proxy",
        "proxy.errors",
        "proxy.clock",
        "proxy.drafts",
        "proxy.fields",
        "proxy.ids",
        "proxy.interpreter",
        "proxy.listening",
        "proxy.readiness",
        "proxy.recognised",
        "proxy.tls",
    ),
    (
        "proxy.documents",
        "proxy.settings",
        "proxy.applog",
        "proxy.exposure",
        "proxy.open_files",
        "proxy.policy",
        "proxy.http1",
    ),
    ("proxy.references",),
    ("proxy.store",),
    ("proxy.audit",),
    ("proxy.running", "proxy.predecessor"),
    ("proxy.upstream",),
    ("proxy.relay", "proxy.gateway", "proxy.mock"),
    ("proxy.metrics", "proxy.pages", "proxy.checks"),
    ("proxy.insight",),
    ("proxy.runtime",),
    ("proxy.supervisor",),
    ("fastgate_cli",),
)
# Libraries that have one home.
HOMES = {
    "peewee": ("proxy.store",),
    "playhouse": ("proxy.store",),
    "hypercorn": ("proxy.runtime.server", "proxy.runtime.cutting"),
    "uvloop": ("proxy.runtime.server",),
    "quart": ("proxy.runtime.app", "proxy.pages", "proxy.mock"),
    "h2": ("proxy.upstream", "proxy.runtime.cutting"),
    "httptools": ("proxy.http1", "proxy.upstream"),
    "httpx": (
        "fastgate_cli.commands.quickstart_check",
        "fastgate_cli.commands.quickstart_parts",
    ),
    "ruamel": ("proxy.documents",),
    "typer": ("fastgate_cli",),
    "rich": ("fastgate_cli",),
    "prometheus_client": ("proxy.metrics",),
}
PURE_ROOM = "proxy.policy"
IMPURE = {
    "asyncio",
    "socket",
    "os",
    "time",
    "random",
    "secrets",
    "threading",
    "logging",
    "pathlib",
    "subprocess",
}
HEAVY = {"quart", "hypercorn", "httpx", "uvloop", "playhouse.migrations", "rich", "prometheus_client"}


def source_files() -> list[Path]:
    return [path for folder in ("proxy", "fastgate_cli") for path in sorted((ROOT / folder).rglob("*.py"))]


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imported_modules(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module or ""


def is_within(module: str, room: str) -> bool:
    return module == room or module.startswith(room + ".")


def floor_of(module: str) -> int:
    exact = [number for number, rooms in enumerate(FLOORS) if module in rooms]
    nested = [
        number
        for number, rooms in enumerate(FLOORS)
        for room in rooms
        if room != "proxy" and is_within(module, room)
    ]
    found = exact or nested
    assert found, f"{module} stands on no floor"
    return found[0]


@pytest.mark.parametrize("path", source_files(), ids=module_name)
def test_a_module_imports_only_from_its_own_floor_and_those_below(path: Path) -> None:
    here = floor_of(module_name(path))
    for module in imported_modules(path):
        if is_within(module, "proxy") or is_within(module, "fastgate_cli"):
            assert floor_of(module) <= here, f"{path} imports {module}"


@pytest.mark.parametrize("path", source_files(), ids=module_name)
def test_a_library_stays_in_its_home(path: Path) -> None:
    for module in imported_modules(path):
        homes = HOMES.get(module.partition(".")[0])
        if homes is not None:
            assert any(is_within(module_name(path), home) for home in homes), f"{path} imports {module}"


def test_policy_is_pure() -> None:
    for path in source_files():
        if is_within(module_name(path), PURE_ROOM):
            impure = IMPURE & {module.partition(".")[0] for module in imported_modules(path)}
            assert not impure, f"{path} imports {impure}"


@pytest.mark.parametrize("arguments", [("keys", "list"), ("--help",)])
def test_a_quick_command_loads_no_heavy_library(arguments: tuple[str, ...], tmp_path: Path) -> None:
    script = (
        "import sys; from fastgate_cli.main import run_command;"
        f"run_command({list(arguments)!r}); print('LOADED', *sys.modules)"
    )
    environ = {"HOME": str(tmp_path), "PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    printed = subprocess.run(
        [sys.executable, "-c", script], env=environ, cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout
    loaded = set(printed.partition("LOADED ")[2].split())
    assert "fastgate_cli.main" in loaded
    assert not loaded & HEAVY
