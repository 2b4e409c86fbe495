"""The fields of a key in a document."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from fastgate_cli.documents.key_fields import describe_key
from tests.fastgate_cli.documents.pieces import DIGEST, faults_of, read


def read_key(fields: str) -> dict[str, Any]:
    document, faults = read(f"keys:\n  - key_id: bot\n    {fields}\n")
    assert faults == []
    return dict(document.wants("keys")[0].values)


@pytest.mark.parametrize(
    ("field", "name", "value"),
    [
        ("source_path: no", "source_path", "no"),
        ("permissions: [/v1/*, POST /a, 'model:q*']", "permissions", ["/v1/*", "POST /a", "model:q*"]),
        ("rate_limit: 0", "rate_limit", 0),
        ("rate_burst: 7", "rate_burst", 7),
        ("expires_at: never", "expires_at", None),
        ("expires_at: 2030-12-31T00:00:00Z", "expires_at", datetime(2030, 12, 31, tzinfo=UTC)),
        (
            "expires_at: '2030-12-31'",
            "expires_at",
            datetime(2030, 12, 31, tzinfo=timezone(timedelta(hours=8))),
        ),
        ("is_active: false", "is_active", False),
        (f"value_hash: {DIGEST.upper().replace('SHA', 'sha')}", "value_hash", DIGEST),
        (f"value_hash: {DIGEST}\n    key_hint: fg_a…wxyz", "key_hint", "fg_a…wxyz"),
    ],
)
def test_a_field_is_read(field: str, name: str, value: Any) -> None:
    assert read_key(field)[name] == value


@pytest.mark.parametrize(
    ("field", "fault"),
    [
        ("source_path: ' a'", "3:18: ' a' is not a source"),
        ("permissions: [nonsense]", "3:19: 'nonsense' is not a permission"),
        (f"permissions: [{', '.join(['/a'] * 101)}]", "3:5: a key has at most 100 permissions"),
        ("rate_limit: -1", "3:17: this must be a whole number from 0"),
        ("rate_limit: 1000000001", "3:17: 1000000001 is not a rate limit"),
        ("rate_limit: 0\n    rate_burst: 5", "4:5: a key without a rate limit has no burst"),
        ("expires_at: 90d", "3:17: this must be a time or never"),
        ("expires_at: today", "3:17: this must be a time or never"),
        ("expires_at:", "3:5: this must be a time or never"),
        ("expires_at: 2030-13-31", "3:17: '2030-13-31' is not a time"),
        ("is_active: no", "3:16: this must be true or false"),
        ("value_hash: sha256:abc", "3:17: this is not the digest of a key"),
        ("key_hint: fg_a", "3:5: a hint belongs to a value_hash"),
        (f"value_hash: {DIGEST}\n    key_hint: {'x' * 21}", "4:15: this must be at most 20"),
    ],
)
def test_what_a_command_would_refuse_is_a_fault_at_its_place(field: str, fault: str) -> None:
    found = faults_of(f"keys:\n  - key_id: bot\n    {field}\n")
    assert len(found) == 1, found
    assert found[0].startswith(fault)


def test_a_secret_that_is_no_digest_is_not_repeated() -> None:
    assert "fg_hunter2" not in faults_of("keys:\n  - key_id: bot\n    value_hash: fg_hunter2\n")[0]


def test_empty_columns_mean_what_the_gateway_takes_them_for() -> None:
    row = dict.fromkeys(("permissions", "rate_limit", "rate_burst", "expires_at", "is_active", "key_hint"))
    described = describe_key({**row, "source_path": "ci"}, DIGEST)
    assert (described["permissions"], described["is_active"], described["value_hash"]) == ([], False, DIGEST)
