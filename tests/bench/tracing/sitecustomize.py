"""What `count_calls` puts into the processes of a gateway: Python imports a module of this name by itself.

In a worker SIGUSR1 has the profiler count the calls of the main thread, SIGUSR2 writes them down. In every
other process nothing happens. Nothing of FastGate is imported, and nothing of it knows of this.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections import Counter
from pathlib import Path
from types import CodeType, FrameType

_VARIABLE = "BENCH_CALLS_FILE"
_SOURCES = str(Path(__file__).parents[3] / "proxy") + os.sep
# Comprehensions are functions to this version of Python, and to no reader.
_NO_FUNCTIONS = {"<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>"}
_calls: Counter[CodeType] = Counter()


def _count(frame: FrameType, event: str, _argument: object) -> None:
    if event == "call":
        _calls[frame.f_code] += 1


def _begin(_number: int, _frame: FrameType | None) -> None:
    _calls.clear()
    _write(".on", {})
    sys.setprofile(_count)


def _end(_number: int, _frame: FrameType | None) -> None:
    sys.setprofile(None)
    files: dict[str, dict[str, int]] = {}
    for code, count in _calls.items():
        if code.co_filename.startswith(_SOURCES) and code.co_name not in _NO_FUNCTIONS:
            functions = files.setdefault(code.co_filename.removeprefix(_SOURCES), {})
            functions[f"{code.co_qualname}:{code.co_firstlineno}"] = count
    _write(".json", files)


def _write(suffix: str, content: object) -> None:
    path = Path(os.environ[_VARIABLE]).with_suffix(suffix)
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(content))
    draft.replace(path)


if _VARIABLE in os.environ and any(
    word.startswith("proxy.") and word.endswith(".worker") for word in sys.orig_argv
):
    signal.signal(signal.SIGUSR1, _begin)
    signal.signal(signal.SIGUSR2, _end)
