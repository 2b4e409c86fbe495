"""`fastgate logs prune`: delete what is old, a little at a time, while the gateway goes on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, tzinfo
from typing import TYPE_CHECKING, Annotated

import typer

from fastgate_cli.columns import Column, format_minute
from fastgate_cli.context import invocation_of
from fastgate_cli.options import (
    DryRunOption,
    FieldsOption,
    JsonOption,
    OutputOption,
    YesOption,
    confirm_or_exit,
    note_dry_run,
)
from fastgate_cli.output import print_note, print_object
from fastgate_cli.progress import show_progress
from proxy.clock import parse_moment, to_us

if TYPE_CHECKING:
    from proxy.store.database import Database
    from proxy.store.retention import Pruned

# After each step others get as long to write as the step took, and no longer than this.
PAUSE_SECONDS_MAX = 0.05
# A word is kept that much longer: a request that was recorded late may have it.
_WORD_GRACE_US = 2 * 86_400_000_000
COLUMNS = (
    Column("before"),
    Column("requests", justify="right"),
    Column("bodies", justify="right"),
    Column("words", justify="right"),
)


@dataclass(slots=True)
class Tally:
    """How many have been deleted: requests, bodies of requests that stay, words that none has any more."""

    requests: int = 0
    bodies: int = 0
    words: int = 0


def prune_requests(
    ctx: typer.Context,
    older_than: Annotated[
        str,
        typer.Option("--older-than", metavar="WHEN", help="90d, 12h, today, or a time: what came before."),
    ],
    bodies_only: Annotated[
        bool, typer.Option("--bodies-only", help="Delete recorded bodies; the requests stay.")
    ] = False,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    output: OutputOption = None,
    as_json: JsonOption = False,
    fields: FieldsOption = None,
) -> None:
    """Delete requests that are older than a time, or only their bodies, for good. Prints what was deleted.

    Requests in flight stay. The gateway goes on meanwhile; audit.retention_days has it do the same by
    itself. The file keeps its size, and what is free in it is used again: 'fastgate db compact' shrinks it.

    Examples:
      fastgate logs prune --older-than 90d --dry-run
      fastgate logs prune --older-than 90d
      fastgate logs prune --older-than 14d --bodies-only -y
    """
    from proxy.store.retention import count_prunable

    invocation = invocation_of(ctx)
    options = invocation.read_output(output, as_json=as_json, fields=fields, columns=COLUMNS)
    zone = invocation.settings.app.timezone
    before = parse_moment(older_than, now=invocation.now, zone=zone)
    with invocation.reading() as database:
        with show_progress("counting"):
            count = count_prunable(database, to_us(before), bodies=bodies_only)
        if dry_run:
            tally = Tally(bodies=count) if bodies_only else Tally(requests=count)
        else:
            if count:
                confirm_or_exit(_ask(count, before, zone, bodies_only=bodies_only), yes=yes)
            delete = _delete_bodies if bodies_only else _delete_requests
            tally = delete(database, to_us(before), to_us(invocation.now))
    print_object({"before": before, **asdict(tally)}, COLUMNS, options)
    note_dry_run(dry_run)
    if options.is_drawn and (tally.requests or tally.bodies) and not dry_run:
        print_note("the file keeps its size and uses the room again; 'fastgate db compact' shrinks it")


def _ask(count: int, before: datetime, zone: tzinfo, *, bodies_only: bool) -> str:
    what = "the bodies of " if bodies_only else ""
    return f"delete {what}{count:,} requests from before {format_minute(before, zone)}, for good"


def _delete_requests(database: Database, before_us: int, now_us: int) -> Tally:
    from proxy.store.retention import Pruner, count_prunable

    pruner, tally, total = Pruner(database), Tally(), count_prunable(database, before_us)
    with _telling(tally), show_progress("deleting requests") as report:
        for pruned in _work_off(pruner.prune_rows, before_us):
            tally.requests += pruned.changed
            report(tally.requests, total)
        for pruned in _work_off(pruner.prune_words, min(before_us, now_us - _WORD_GRACE_US)):
            tally.words += pruned.changed
    return tally


def _delete_bodies(database: Database, before_us: int, _: int) -> Tally:
    from proxy.store.retention import Pruner, count_unseen

    pruner, tally, total, seen = Pruner(database), Tally(), count_unseen(database, before_us), 0
    with _telling(tally), show_progress("deleting bodies") as report:
        for pruned in _work_off(pruner.prune_bodies, before_us):
            tally.bodies += pruned.changed
            seen += pruned.seen
            report(seen, total)
    return tally


def _work_off(prune: Callable[[int], Pruned], before_us: int) -> Iterator[Pruned]:
    """Delete step by step until nothing is left. Each step is a whole one, wherever this is stopped."""
    while True:
        started = time.monotonic()
        pruned = prune(before_us)
        if not pruned.seen:
            return
        yield pruned
        time.sleep(min(time.monotonic() - started, PAUSE_SECONDS_MAX))


@contextmanager
def _telling(tally: Tally) -> Iterator[None]:
    """Say how far it came if it is stopped."""
    try:
        yield
    except BaseException:
        counts = f"{tally.requests:,} requests, {tally.bodies:,} bodies"
        print_note(f"stopped: {counts} deleted so far, none by halves; run it again for the rest")
        raise
