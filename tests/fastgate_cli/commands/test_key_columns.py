"""The columns of a key: the contract's fields, and an id that comes first."""

from __future__ import annotations

from fastgate_cli.commands.key_columns import COLUMNS


def test_the_digest_is_no_column_and_the_id_is_the_first() -> None:
    names = [column.name for column in COLUMNS]
    assert names[0] == "key_id"
    assert {"key_value", "key"}.isdisjoint(names)


def test_a_table_of_keys_fits_80_columns_with_its_ids_whole() -> None:
    ids = [column for column in COLUMNS if column.name in ("key_id", "key_hint")]
    assert not any(column.elastic for column in ids)
