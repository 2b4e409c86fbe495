"""A progress bar on stderr, for what takes longer than a person likes to wait. In a pipe there is none."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from fastgate_cli.output import colour_wanted

Report = Callable[[int, int], None]  # how much is done, and how much there is; 0 if nobody knows
_DUMB = ("dumb", "unknown")


@contextmanager
def show_progress(title: str) -> Iterator[Report]:
    """Yield the function that moves the bar. When the block ends, however it ends, the bar is gone."""
    if not sys.stderr.isatty() or os.environ.get("TERM", "").lower() in _DUMB:
        yield lambda _done, _total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    console = Console(file=sys.stderr, no_color=not colour_wanted(sys.stderr), highlight=False, emoji=False)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, redirect_stdout=False) as progress:
        task = progress.add_task(title, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total or None)
