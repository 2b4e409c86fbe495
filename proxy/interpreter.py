"""How FastGate starts another process of itself: a fresh interpreter that runs one of its modules.

Fresh, and not a fork: an event loop, its threads and its open files are never copied.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path


def build_command(module: str, *arguments: str) -> list[str]:
    """Return the command that runs a module. Other users can read its arguments: they hold no secret."""
    # `-P`: a folder called proxy where the gateway was started is not this package.
    return [sys.executable, "-P", "-m", module, *arguments]


def build_environ(environ: Mapping[str, str]) -> dict[str, str]:
    """Return an environment in which `build_command` finds this very package."""
    home = str(Path(__file__).parents[1])
    return {**environ, "PYTHONPATH": os.pathsep.join(filter(None, (home, environ.get("PYTHONPATH"))))}
