"""The database of the benchmark: a day of requests, written by the functions that a recorder writes with."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain, islice
from pathlib import Path

from fastgate_cli.progress import show_progress
from proxy.audit.bodies import BodyWriter
from proxy.audit.rows import add_events
from proxy.clock import from_us, now_us
from proxy.store.database import Database, open_database
from proxy.store.facts import WordBook
from proxy.store.keys import create_key
from proxy.store.recording import Batch, write_batch
from proxy.store.routes import NewRoute, add_route
from tests.bench.log_traffic import Cast, Traffic

KEYS, ROUTES, SOURCES = 50, 20, 15
_REQUESTS_PER_BATCH = 5_000
_WRITER = "worker-bench"
_CONFIGURATION = "database: {url: 'sqlite:///fastgate.db'}\naudit: {directory: journal}\n"


@dataclass(frozen=True, slots=True)
class Bench:
    """A folder with a configuration and a database; the requests in it, and the time of the last."""

    folder: Path
    requests: int
    end: datetime
    cast: Cast

    @property
    def path(self) -> Path:
        """The database's file."""
        return self.folder / "fastgate.db"


def prepare(folder: Path, requests: int) -> Bench:
    """Return the benchmark's database in a folder; one that is there with as many requests is taken."""
    notes = folder / "bench.json"
    if notes.exists():
        found = json.loads(notes.read_text())
        if found["requests"] == requests:
            cast = Cast([(key_id, source) for key_id, source in found["keys"]], found["routes"])
            return Bench(folder, requests, from_us(found["end_us"]), cast)
        raise SystemExit(f"{folder} holds {found['requests']} requests: choose another folder, or delete it")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "journal").mkdir(exist_ok=True)
    (folder / "fastgate.yaml").write_text(_CONFIGURATION)
    end_us = now_us()
    with open_database(folder / "fastgate.db", create=True) as database:
        cast = _create_cast(database)
        _write(database, Traffic(cast, requests, end_us), requests)
        database.connection().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    notes.write_text(
        json.dumps({"requests": requests, "end_us": end_us, "keys": cast.keys, "routes": cast.routes})
    )
    return Bench(folder, requests, from_us(end_us), cast)


def _create_cast(database: Database) -> Cast:
    now = datetime.now(UTC)
    keys = []
    for number in range(KEYS):
        source = "rare-source" if number == KEYS - 1 else f"team-{number % SOURCES:02}"
        row, _ = create_key(database, key_prefix="fg_", source=source, now=now)
        keys.append((row["key_id"], source))
    routes = [
        add_route(database, NewRoute(f"/team-{number}/*", f"10.1.0.{number}:8000"), now)["route_id"]
        for number in range(ROUTES)
    ]
    return Cast(keys, routes)


def _write(database: Database, traffic: Traffic, requests: int) -> None:
    told, book, done = traffic.tell(), WordBook(), 0
    with show_progress("writing requests") as report:
        while batch := [*islice(told, _REQUESTS_PER_BATCH)]:
            rows = Batch()
            events = chain.from_iterable(batch)
            add_events(rows, events, writer_id=_WRITER, created_us=now_us(), bodies=BodyWriter())
            write_batch(database, rows, {}, book)
            done += len(batch)
            report(done, requests)
