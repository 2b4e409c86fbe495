"""Accounts of writers, from what they have counted and from the rows that are there."""

from __future__ import annotations

from pathlib import Path

from proxy.store.accounts import WriterAccount, count_interrupted, read_accounts
from proxy.store.database import open_database
from proxy.store.models import JournalWriterRow
from tests.proxy.store.rows import begin, record


def test_an_account_has_what_was_counted_and_what_is_there(tmp_path: Path) -> None:
    with open_database(tmp_path / "f.db", create=True) as database:
        JournalWriterRow.insert(writer_id="w", accepted=7, stored=6, pruned=2).execute(database.peewee)
        JournalWriterRow.insert(writer_id="gone", accepted=1, stored=1, pruned=1).execute(database.peewee)
        record(database, "a", sequence=1)
        record(database, "b", second=1, sequence=2)
        record(database, "twice", second=2, sequence=2)
        record(database, "other", second=3, writer_id="unknown", sequence=1)
        begin(database, "cut", second=4, writer_id=None, error_message="interrupted")
        assert read_accounts(database) == {
            "w": WriterAccount(accepted=7, pruned=2, rows=3, duplicates=1),
            "gone": WriterAccount(accepted=1, pruned=1),
            "unknown": WriterAccount(rows=1),
        }
        assert count_interrupted(database) == 1
