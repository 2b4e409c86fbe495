"""Who reads what of the dashboard, and how much of a processor each part may take."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from fastgate_cli.dashboard.board import KINDS
from fastgate_cli.dashboard.gateway import GatewayJob
from fastgate_cli.dashboard.jobs import HoursJob, LatestJob, OpenedJob, PictureJob, TopJob
from fastgate_cli.dashboard.pace import Pace
from fastgate_cli.dashboard.pulse import PulseJob
from fastgate_cli.dashboard.reader import Job, News, Reader
from fastgate_cli.dashboard.source import Source
from proxy.settings import Settings, database_path
from proxy.store.database import open_database

# All together a few hundredths of one processor, however long the trail is.
_SMALL_SHARE, _SHARE = 0.0025, 0.0075
_SELDOM = 3  # refreshes: nobody can follow tables that change every second
_HOURS_SECONDS = 10.0


def build_jobs(settings: Settings, refresh_seconds: float) -> dict[str, Sequence[Job]]:
    """Return the jobs of each reader: what is quick is not to wait for what takes long."""
    small = partial(Pace, refresh_seconds, _SMALL_SHARE)
    large = partial(Pace, refresh_seconds, _SHARE)
    seldom = partial(Pace, _SELDOM * refresh_seconds, _SMALL_SHARE)
    return {
        "gateway": [GatewayJob(settings, small())],
        "now": [PulseJob(settings.audit.directory, large()), LatestJob(large()), OpenedJob(large())],
        "range": [
            PictureJob(large()),
            *(TopJob(kind, seldom()) for kind in KINDS),
            HoursJob(settings.app.timezone, Pace(max(_HOURS_SECONDS, refresh_seconds), _SMALL_SHARE)),
        ],
    }


def build_readers(settings: Settings, refresh_seconds: float, tell: Callable[[News], None]) -> list[Reader]:
    """Return the readers, not yet started, each with a connection of its own."""
    return [
        Reader(name, build_source(settings), jobs, tell)
        for name, jobs in build_jobs(settings, refresh_seconds).items()
    ]


def build_source(settings: Settings) -> Source:
    """Return the way to the configured database; one that is not there is not made."""
    path = database_path(settings)
    return Source(path, partial(open_database, path, create=False))
