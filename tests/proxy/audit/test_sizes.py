"""How large the journal is, while it is written and recorded."""

from __future__ import annotations

from pathlib import Path

from proxy.audit.events import Begin
from proxy.audit.journal import JournalWriter
from proxy.audit.recorder import Recorder
from proxy.audit.sizes import JournalSize, measure_journal
from proxy.store.database import open_database
from proxy.store.recording import read_offsets


def measure(folder: Path) -> JournalSize:
    with open_database(folder / "f.db", create=False) as database:
        return measure_journal(folder / "journal", read_offsets(database))


def test_what_is_recorded_waits_no_longer_and_damage_is_kept(tmp_path: Path) -> None:
    open_database(tmp_path / "f.db", create=True).close()
    assert measure(tmp_path) == JournalSize()
    writer = JournalWriter(tmp_path / "journal", "w")
    writer.append(Begin("a", 1, 1, "GET", "/", "::1"))
    first = measure(tmp_path)
    assert first.size == first.waiting > 0
    recorder = Recorder(tmp_path / "journal", lambda: open_database(tmp_path / "f.db", create=False))
    recorder.step()
    assert measure(tmp_path) == JournalSize(first.size, 0)
    (segment,) = (tmp_path / "journal").glob("*.log")
    with segment.open("ab") as file:
        file.write(b"half a record, whose writer was killed")
    assert measure(tmp_path).waiting == 38
    writer.close()
    recorder.step()
    recorder.close()
    assert measure(tmp_path) == JournalSize(0, 0, 1, first.size + 38)
