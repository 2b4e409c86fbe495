"""What a worker counts of its traffic, and what all workers of a gateway have counted together.

Counting is on the hot path and is nothing but additions to cells that were found before; `/metrics` of any
worker adds up the cells of all. Nothing here waits for anyone who reads. Everything that has a name has a
bound: a route or reason that comes after the table is full is counted as `other`.
"""

from __future__ import annotations

import logging
from bisect import bisect_left
from dataclasses import dataclass, field
from pathlib import Path

from proxy.errors import NOT_ERRORS
from proxy.relay.cells import Cells, Layout, Reading, open_cells, read_cells
from proxy.settings import Settings

ROUTES_MAX = 200
REASONS_MAX = 63
NO_ROUTE = "none"
# Upper bounds of the histograms, in microseconds; what is above the last is in one more cell.
DURATION_BOUNDS_US = (
    *(5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000),
    *(2_500_000, 5_000_000, 10_000_000, 30_000_000, 60_000_000, 120_000_000, 300_000_000),
)
GATEWAY_BOUNDS_US = (50, 100, 200, 300, 500, 1_000, 2_000, 5_000, 10_000, 50_000, 100_000)
CLASSES = 6  # status // 100; class 0: the client left before there was one

_BUCKETS = len(DURATION_BOUNDS_US) + 1
# A route's row: requests by class, those that stream after those that do not; then each histogram's
# buckets and its sum.
_STREAMS = CLASSES
_DURATION = 2 * CLASSES
_DURATION_SUM = _DURATION + _BUCKETS
_FIRST_BYTE = _DURATION_SUM + 1
_FIRST_BYTE_SUM = _FIRST_BYTE + _BUCKETS
_ROUTE_CELLS = _FIRST_BYTE_SUM + 1
_ROUTES, _REASONS, _UNSERVED = range(3)
# The scalars: three gauges, which end with their worker, then counts.
_IN_FLIGHT, _CONNECTIONS, _REVISION = range(3)
_EVENTS_LOST, _HEADS_RECOGNISED, _HEADS_DECIDED, _GATEWAY_SUM, _GATEWAY = range(3, 8)
LAYOUT = Layout(
    scalars=_GATEWAY + len(GATEWAY_BOUNDS_US) + 1,
    tables=((ROUTES_MAX + 1, _ROUTE_CELLS), (REASONS_MAX + 1, 1), (REASONS_MAX + 1, 1)),
)
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Histogram:
    """How many were at most each bound (not cumulative; one more for the rest), and their sum in us."""

    buckets: list[int]
    sum_us: int


@dataclass(slots=True)
class RouteTotals:
    """The traffic of one route. `requests` is by stream or not (0, 1) and class."""

    requests: list[list[int]]
    duration: Histogram
    first_byte: Histogram


@dataclass(slots=True)
class Totals:
    """What the workers of a gateway have counted. Gauges are of those that live, counts of all of the run."""

    workers: int = 0
    in_flight: int = 0
    connections: int = 0
    revision: int = 0  # the smallest one that a worker has in force
    events_lost: int = 0
    heads_recognised: int = 0
    heads_decided: int = 0
    gateway: Histogram = field(default_factory=lambda: Histogram([0] * (len(GATEWAY_BOUNDS_US) + 1), 0))
    routes: dict[str, RouteTotals] = field(default_factory=dict)
    errors: dict[str, int] = field(default_factory=dict)
    unserved: dict[str, int] = field(default_factory=dict)


class Counters:
    """One worker's traffic. `in_flight` and `connections` are the worker's to keep up to date."""

    def __init__(self, cells: Cells | None = None, directory: Path | None = None) -> None:
        self.in_flight = 0
        self.connections = 0
        self._directory = directory
        self._cells = cells or Cells(LAYOUT)
        self._values = self._cells.values
        self._routes = self._cells.rows[_ROUTES]
        self._first = LAYOUT.first_scalar
        # A worker that has taken over a file counts on from where the one before it ended.
        self._lost_before = self._values[self._first + _EVENTS_LOST]
        self._recognised_before = self._values[self._first + _HEADS_RECOGNISED]
        self._decided_before = self._values[self._first + _HEADS_DECIDED]
        self.publish(revision=0, events_lost=0)

    def count(
        self,
        route_id: str | None,
        status: int | None,
        is_stream: bool,
        error: str | None,
        total_us: int,
        first_byte_us: int | None,
        gateway_us: int,
    ) -> None:
        """Count a finished request: what it was, how it ended, and how long it took, in microseconds.

        A status of None: the client left before there was one. `error` is the reason in the audit row, of
        which the code counts, and not the detail behind it: see `UpstreamError.reason`.
        """
        values, first = self._values, self._first
        row = self._routes.get(route_id or NO_ROUTE)
        if row is None:
            row = self._cells.find_row(_ROUTES, route_id or NO_ROUTE)
        values[row + (status or 0) // 100 + (_STREAMS if is_stream else 0)] += 1
        values[row + _DURATION + bisect_left(DURATION_BOUNDS_US, total_us)] += 1
        values[row + _DURATION_SUM] += total_us
        if first_byte_us is not None:
            values[row + _FIRST_BYTE + bisect_left(DURATION_BOUNDS_US, first_byte_us)] += 1
            values[row + _FIRST_BYTE_SUM] += first_byte_us
        values[first + _GATEWAY + bisect_left(GATEWAY_BOUNDS_US, gateway_us)] += 1
        values[first + _GATEWAY_SUM] += gateway_us
        if error is not None and error not in NOT_ERRORS:
            values[self._cells.find_row(_REASONS, error.partition(":")[0])] += 1

    def count_unserved(self, reason: str) -> None:
        """Count a request or connection that the server refused before the gateway saw it."""
        self._values[self._cells.find_row(_UNSERVED, reason)] += 1

    def publish(
        self, *, revision: int, events_lost: int, heads_recognised: int = 0, heads_decided: int = 0
    ) -> None:
        """Write what is counted elsewhere to the cells, for other workers to read.

        Heads of requests are either recognised, or parsed and decided on; both are counted by this worker.
        """
        values, first = self._values, self._first
        values[first + _IN_FLIGHT] = self.in_flight
        values[first + _CONNECTIONS] = self.connections
        values[first + _REVISION] = revision
        values[first + _EVENTS_LOST] = self._lost_before + events_lost
        values[first + _HEADS_RECOGNISED] = self._recognised_before + heads_recognised
        values[first + _HEADS_DECIDED] = self._decided_before + heads_decided

    @property
    def requests(self) -> dict[int, int]:
        """Return this worker's requests by class, 0 to 5."""
        own = add_readings([self._cells.read()])
        by_class = zip(*(kind for route in own.routes.values() for kind in route.requests), strict=True)
        return dict(enumerate(map(sum, by_class))) or dict.fromkeys(range(CLASSES), 0)

    @property
    def errors(self) -> dict[str, int]:
        """Return this worker's failures by reason."""
        return add_readings([self._cells.read()]).errors

    def read_totals(self) -> Totals:
        """Return what all workers have counted. Reads files: not for the event loop."""
        if self._directory is None:
            return add_readings([self._cells.read()])
        return add_readings(read_cells(self._directory, LAYOUT))

    def close(self) -> None:
        """Leave the counts to the run, and the file to the next worker."""
        self._cells.close()


def metrics_directory(settings: Settings) -> Path:
    """Return the folder of the workers' files."""
    return settings.rate_limiting.file.parent / "metrics"


def open_counters(directory: Path, writer_id: str) -> Counters:
    """Return a worker's counters; if there can be no file for them they are this worker's alone."""
    try:
        return Counters(open_cells(directory, LAYOUT, writer_id), directory)
    except OSError as error:
        _log.warning("metrics are of one worker only: %s: %s", directory, error.strerror or error)
        return Counters()


def add_readings(readings: list[Reading]) -> Totals:
    """Add up what several workers have counted."""
    totals = Totals()
    revisions = []
    for reading in readings:
        scalars = reading.scalars
        if reading.is_live:
            totals.workers += 1
            totals.in_flight += scalars[_IN_FLIGHT]
            totals.connections += scalars[_CONNECTIONS]
            revisions.append(scalars[_REVISION])
        totals.events_lost += scalars[_EVENTS_LOST]
        totals.heads_recognised += scalars[_HEADS_RECOGNISED]
        totals.heads_decided += scalars[_HEADS_DECIDED]
        _add_histogram(totals.gateway, Histogram(scalars[_GATEWAY:], scalars[_GATEWAY_SUM]))
        for route_id, cells in reading.tables[_ROUTES].items():
            _add_route(totals.routes, route_id, cells)
        for table, found in ((_REASONS, totals.errors), (_UNSERVED, totals.unserved)):
            for name, (count,) in reading.tables[table].items():
                found[name] = found.get(name, 0) + count
    totals.revision = min(revisions, default=0)
    return totals


def _add_route(routes: dict[str, RouteTotals], route_id: str, cells: list[int]) -> None:
    added = RouteTotals(
        requests=[cells[:CLASSES], cells[_STREAMS:_DURATION]],
        duration=Histogram(cells[_DURATION:_DURATION_SUM], cells[_DURATION_SUM]),
        first_byte=Histogram(cells[_FIRST_BYTE:_FIRST_BYTE_SUM], cells[_FIRST_BYTE_SUM]),
    )
    if (total := routes.setdefault(route_id, added)) is not added:
        total.requests = [_add(*pair) for pair in zip(total.requests, added.requests, strict=True)]
        _add_histogram(total.duration, added.duration)
        _add_histogram(total.first_byte, added.first_byte)


def _add_histogram(total: Histogram, added: Histogram) -> None:
    total.buckets = _add(total.buckets, added.buckets)
    total.sum_us += added.sum_us


def _add(first: list[int], second: list[int]) -> list[int]:
    return [one + other for one, other in zip(first, second, strict=True)]
