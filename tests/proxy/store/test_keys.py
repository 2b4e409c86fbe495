"""API keys in the database: made once, listed without secrets, changed all or nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from proxy.clock import to_us
from proxy.errors import ConflictError, InvalidInputError, NotFoundError
from proxy.policy.credentials import checksum_matches, digest_secret
from proxy.store.database import Database, open_database
from proxy.store.key_changes import rotate_key
from proxy.store.keys import (
    create_key,
    delete_keys,
    find_expiring,
    get_key,
    list_keys,
    load_keys,
    set_keys_active,
)
from proxy.store.models import ApiKeyRow

NOW = datetime(2026, 1, 31, tzinfo=UTC)
COLUMNS = (
    "key_id source_path permissions created_at expires_at is_active usage_count rate_limit last_used_at "
    "key_hint rate_burst rotated_at previous_key_hint previous_expires_at previous_last_used_at "
    "previous_last_used_ip status"
)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with open_database(tmp_path / "f.db", create=True) as database:
        yield database


def create(database: Database, *, at: datetime = NOW, **options: Any) -> str:
    row, _ = create_key(database, key_prefix="fg_", now=at, **options)
    return str(row["key_id"])


def test_a_new_key_has_a_secret_that_is_kept_nowhere(database: Database, tmp_path: Path) -> None:
    row, secret = create_key(database, key_prefix="fg_", now=NOW)
    assert secret.startswith("fg_")
    assert len(secret) == 39
    assert checksum_matches(secret)
    for file in tmp_path.iterdir():
        assert secret.encode() not in file.read_bytes()
    assert row["key_hint"] == f"{secret[:4]}…{secret[-4:]}"


def test_a_row_has_the_columns_in_order_and_never_the_digest(database: Database) -> None:
    row, secret = create_key(
        database, key_prefix="fg_", source="ci", permissions=["/v1/*"], rate_limit=5, now=NOW
    )
    assert list(row) == COLUMNS.split()
    assert (row["source_path"], row["permissions"], row["rate_limit"]) == ("ci", ["/v1/*"], 5)
    assert (row["created_at"], row["is_active"], row["usage_count"]) == (NOW, True, 0)
    assert digest_secret(secret.encode()) not in str(list_keys(database, now=NOW))


def test_a_secret_in_place_of_an_id_is_not_repeated(database: Database) -> None:
    _, secret = create_key(database, key_prefix="fg_", now=NOW)
    with pytest.raises(NotFoundError, match=r"there is no key 'fg_.…'") as caught:
        get_key(database, secret, now=NOW)
    assert "no secret" in (caught.value.hint or "")
    with pytest.raises(NotFoundError, match="there is no key 'mobile-app'"):
        get_key(database, "mobile-app", now=NOW)


def test_an_own_value_is_kept_as_its_digest(database: Database) -> None:
    _, secret = create_key(database, key_prefix="fg_", value="my-own-key", now=NOW)
    assert secret == "my-own-key"
    assert load_keys(database)[0].digest == digest_secret(b"my-own-key")


def test_a_value_cannot_be_used_twice(database: Database) -> None:
    create(database, value="my-own-key")
    with pytest.raises(ConflictError) as caught:
        create(database, value="my-own-key")
    assert "my-own-key" not in str(caught.value)
    assert len(list_keys(database, now=NOW)) == 1


@pytest.mark.parametrize(
    "options",
    [
        {"value": ""},
        {"value": "short77"},
        {"value": "x" * 513},
        {"value": "with a space"},
        {"value": "with\ttab-and-more"},
        {"value": "ключ-ключ-ключ"},
        {"source": ""},
        {"source": "x" * 101},
        {"source": "new\nline"},
        {"source": "bad\udcff"},
        {"rate_limit": -1},
        {"rate_limit": 2**70},
        {"rate_burst": -1},
        {"rate_burst": 2**70},
        {"rate_limit": 0, "rate_burst": 5},
        {"permissions": [""]},
        {"permissions": ["/" + "x" * 200]},
        {"permissions": ["/a\n"]},
        {"permissions": ["nonsense"]},
        {"permissions": ["*"] * 101},
        {"permissions": ["*", "model:"]},
    ],
)
def test_what_cannot_be_accepted_is_refused_and_nothing_is_made(
    database: Database, options: dict[str, Any]
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        create(database, **options)
    assert not options.get("value") or options["value"] not in caught.value.message
    assert list_keys(database, now=NOW) == []


def test_keys_are_listed_oldest_first_and_filtered(database: Database) -> None:
    young = create(database, at=NOW, source="b")
    old = create(database, at=NOW - timedelta(days=2), source="a", expires_at=NOW - timedelta(days=1))
    ids = [row["key_id"] for row in list_keys(database, now=NOW)]
    assert ids == [old, young]
    assert [row["key_id"] for row in list_keys(database, source="b", now=NOW)] == [young]
    assert [row["key_id"] for row in list_keys(database, limit=1, now=NOW)] == [old]
    assert list_keys(database, source="bad\udcff", now=NOW) == []


def test_a_key_has_one_status_and_is_found_by_it(database: Database) -> None:
    expected = {
        create(database): "active",
        create(database, expires_at=NOW + timedelta(seconds=1)): "active",
        create(database, expires_at=NOW): "expired",
        create(database, expires_at=NOW - timedelta(days=1)): "disabled",
    }
    set_keys_active(database, False, key_ids=[list(expected)[-1]], now=NOW)
    assert {row["key_id"]: row["status"] for row in list_keys(database, now=NOW)} == expected
    for status in ("active", "disabled", "expired"):
        found = {row["key_id"] for row in list_keys(database, status=status, now=NOW)}
        assert found == {key_id for key_id, its in expected.items() if its == status}


def test_a_key_is_unused_from_its_last_use_or_its_creation_on(database: Database) -> None:
    def create_used(created_days: int, used_days: int | None = None) -> str:
        key_id = create(database, at=NOW - timedelta(days=created_days))
        if used_days is not None:
            used = ApiKeyRow.update(last_used_at=NOW - timedelta(days=used_days))
            used.where(ApiKeyRow.key_id == key_id).execute(database.peewee)
        return key_id

    dormant, forgotten = create_used(90, 31), create_used(90)
    create_used(90, 29)
    create_used(5)
    create_used(5, 1)
    with database.transaction():
        ApiKeyRow.update(created_at=None).where(ApiKeyRow.key_id == forgotten).execute(database.peewee)

    unused = list_keys(database, unused_since=NOW - timedelta(days=30), now=NOW)

    assert {row["key_id"] for row in unused} == {dormant, forgotten}


def test_keys_that_end_soon_are_those_that_work_now_the_first_to_end_first(database: Database) -> None:
    def create_ending(hours: float, **options: Any) -> str:
        return create(database, expires_at=NOW + timedelta(hours=hours), **options)

    create(database)
    create_ending(-1)
    create_ending(0)
    create_ending(169)
    off = create_ending(5)
    set_keys_active(database, False, key_ids=[off], now=NOW)
    later = create_ending(168, at=NOW - timedelta(days=1))
    sooner = create_ending(2, source="b")

    within = timedelta(days=7)
    assert [row["key_id"] for row in find_expiring(database, within, NOW)] == [sooner, later]
    assert [
        row["key_id"] for row in list_keys(database, source="b", expiring_until=NOW + within, now=NOW)
    ] == [sooner]


@pytest.mark.parametrize("key_id", ["nosuch", "", "' OR 1=1 --", "bad\udcff", "nul\0"])
def test_an_unknown_id_is_not_found(database: Database, key_id: str) -> None:
    create(database)
    with pytest.raises(NotFoundError):
        get_key(database, key_id, now=NOW)


def test_keys_are_switched_by_id_by_source_or_all(database: Database) -> None:
    one, two = create(database, source="a"), create(database, source="b")
    assert [row["status"] for row in set_keys_active(database, False, key_ids=[one], now=NOW)] == ["disabled"]
    assert get_key(database, two, now=NOW)["is_active"] is True
    assert [row["key_id"] for row in set_keys_active(database, False, source="b", now=NOW)] == [two]
    assert len(set_keys_active(database, True, everything=True, now=NOW)) == 2
    assert {key.is_active for key in load_keys(database)} == {True}


def test_naming_no_key_changes_no_key(database: Database) -> None:
    key_id = create(database)
    with pytest.raises(InvalidInputError):
        set_keys_active(database, False, now=NOW)
    assert get_key(database, key_id, now=NOW)["is_active"] is True


def test_one_unknown_id_among_several_changes_nothing(database: Database) -> None:
    key_id = create(database)
    with pytest.raises(NotFoundError):
        set_keys_active(database, False, key_ids=[key_id, "nosuch"], now=NOW)
    with pytest.raises(NotFoundError):
        delete_keys(database, [key_id, "nosuch"], now=NOW)
    assert get_key(database, key_id, now=NOW)["status"] == "active"


def test_deleting_returns_what_was_deleted_once_each(database: Database) -> None:
    one, two, three = (create(database) for _ in range(3))
    assert [row["key_id"] for row in delete_keys(database, [two, one, two], now=NOW)] == [two, one]
    assert [row["key_id"] for row in list_keys(database, now=NOW)] == [three]


def test_policy_gets_every_key_with_its_digest(database: Database) -> None:
    expires = NOW + timedelta(days=1)
    key_id = create(database, value="my-own-key", permissions=["/v1/*"], rate_limit=0, expires_at=expires)
    (key,) = load_keys(database)
    assert (key.key_id, key.permissions, key.rate_limit) == (key_id, ("/v1/*",), 0)
    assert key.rate_burst is None
    assert key.expires_at_us == int(expires.timestamp()) * 1_000_000


def test_policy_gets_a_rotated_key_with_both_its_secrets(database: Database) -> None:
    key_id = create(database, value="the-old-one", source="ci", permissions=["/v1/*"], rate_limit=7)
    other = create(database, value="another-key")
    rotate_key(database, key_id, key_prefix="fg_", grace=timedelta(hours=1), value="the-new-one", now=NOW)
    new, unrelated, old = load_keys(database)
    assert (new.digest, new.is_previous, new.expires_at_us) == (digest_secret(b"the-new-one"), False, None)
    assert (unrelated.key_id, unrelated.is_previous) == (other, False)
    assert old == replace(
        new,
        digest=digest_secret(b"the-old-one"),
        expires_at_us=to_us(NOW + timedelta(hours=1)),
        is_previous=True,
    )


@pytest.mark.parametrize(("key_ends", "grace", "old_ends"), [(1, 24, 1), (48, 24, 24), (None, 24, 24)])
def test_a_previous_secret_never_outlives_its_key(
    database: Database, key_ends: int | None, grace: int, old_ends: int
) -> None:
    expires_at = None if key_ends is None else NOW + timedelta(hours=key_ends)
    key_id = create(database, expires_at=expires_at)
    rotate_key(database, key_id, key_prefix="fg_", grace=timedelta(hours=grace), now=NOW)
    assert load_keys(database)[-1].expires_at_us == to_us(NOW + timedelta(hours=old_ends))
    set_keys_active(database, False, key_ids=[key_id], now=NOW)
    assert [key.is_active for key in load_keys(database)] == [False, False]


def test_a_previous_secret_whose_end_is_unknown_has_ended(database: Database) -> None:
    key_id = create(database)
    rotate_key(database, key_id, key_prefix="fg_", grace=timedelta(hours=1), now=NOW)
    with database.transaction():
        ApiKeyRow.update(previous_expires_at=None).execute(database.peewee)
    assert [key.expires_at_us for key in load_keys(database)] == [None, 0]


def test_a_secret_that_is_in_use_is_nobodys_previous_one(database: Database) -> None:
    create(database, value="the-first-key")
    create(database, value="the-second-key")
    with database.transaction():
        ApiKeyRow.update(previous_key_value=digest_secret(b"the-first-key")).where(
            ApiKeyRow.key_value == digest_secret(b"the-second-key")
        ).execute(database.peewee)
    assert [key.is_previous for key in load_keys(database)] == [False, False]


@pytest.mark.parametrize("burst", [0, 5, 1_000_000_000])
def test_a_burst_is_kept_in_the_row_and_reaches_policy(database: Database, burst: int) -> None:
    key_id = create(database, rate_burst=burst)
    assert get_key(database, key_id, now=NOW)["rate_burst"] == burst
    assert [key.rate_burst for key in load_keys(database)] == [burst]


def test_a_limit_that_cannot_be_read_is_none_of_its_own(database: Database) -> None:
    create(database, rate_limit=5, rate_burst=5)
    with database.transaction():
        database.connection().execute("UPDATE api_keys SET rate_limit = 'five', rate_burst = x'00'")
    assert [(key.rate_limit, key.rate_burst) for key in load_keys(database)] == [(None, None)]


@pytest.mark.parametrize("text", ["{oops", '{"a": 1}', "[1]", '"*"', "7"])
def test_permissions_that_cannot_be_read_open_nothing(database: Database, text: str) -> None:
    create(database)
    with database.transaction():
        database.connection().execute("UPDATE api_keys SET permissions = ?", [text])
    assert [key.is_active for key in load_keys(database)] == [False]
