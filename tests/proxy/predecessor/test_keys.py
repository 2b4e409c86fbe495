"""A key comes over: its digest in place of its secret, and nothing that would lock a client out."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.policy.credentials import digest_secret
from proxy.predecessor.keys import convert_key, read_secret
from proxy.predecessor.notes import Note
from tests.proxy.predecessor.old_database import KEY, SECRET


def convert(**changes: object) -> tuple[dict[str, Any], list[Note]]:
    return convert_key({**KEY, **changes})


def levels(notes: list[Note]) -> list[tuple[str, str]]:
    return [(note.level, note.column) for note in notes]


def test_a_plain_key_needs_no_note() -> None:
    row, notes = convert()
    assert notes == []
    assert row["key_id"] == "fg_0123456789ab"
    assert row["key_value"] == digest_secret(SECRET.encode())
    assert row["key_hint"] == f"{SECRET[:4]}…{SECRET[-4:]}"
    assert (row["source_path"], row["permissions"], row["rate_limit"]) == ("team-a", [], 60)
    assert (row["is_active"], row["usage_count"]) == (True, 7)
    assert row["expires_at"].isoformat() == "2030-01-31T08:00:00.250000+08:00"


def test_permissions_that_were_never_enforced_open_everything_as_before() -> None:
    row, notes = convert(permissions='["chat.completions", "/v1/*"]')
    assert row["permissions"] == []
    assert levels(notes) == [("warning", "permissions")]
    assert "chat.completions" in notes[0].message


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"expires_at": "never"}, ("refused", "expires_at")),
        ({"key_value": ""}, ("refused", "key_value")),
        ({"key_value": " padded "}, ("refused", "key_value")),
        ({"key_value": "日本"}, ("refused", "key_value")),
        ({"key_id": ""}, ("refused", "key_id")),
        ({"key_value": "short"}, ("warning", "key_value")),
        ({"rate_limit": -1}, ("warning", "rate_limit")),
        ({"permissions": "{"}, ("warning", "permissions")),
        ({"last_used_at": "yesterday"}, ("warning", "last_used_at")),
        ({"source_path": " a\tb "}, ("changed", "source_path")),
    ],
)
def test_what_cannot_be_taken_as_it_is_gets_its_note(
    changes: dict[str, object], expected: tuple[str, str]
) -> None:
    assert levels(convert(**changes)[1]) == [expected]


def test_an_inactive_key_stays_inactive() -> None:
    assert convert(is_active=0)[0]["is_active"] is False
    assert convert(is_active=None)[0]["is_active"] is False


def test_a_key_outside_ascii_is_digested_as_a_header_carries_it() -> None:
    assert read_secret({**KEY, "key_value": "clé-secrète"}) == "clé-secrète".encode("latin-1")


@given(
    st.fixed_dictionaries(
        {column: st.none() | st.integers() | st.text(max_size=30) | st.binary(max_size=20) for column in KEY}
    )
)
def test_any_row_is_converted_or_refused_and_never_shows_its_secret(old: dict[str, object]) -> None:
    row, notes = convert_key({**old, "key_value": SECRET})
    assert SECRET not in repr((row, notes))
    refused = any(note.level == "refused" for note in notes)
    assert refused or (row["expires_at"] is None) == (old["expires_at"] is None)
    assert row["permissions"] == []
