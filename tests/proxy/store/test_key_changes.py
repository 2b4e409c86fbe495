"""Keys changed and rotated: all or nothing, no secret kept, and no two keys with one secret."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.clock import to_us
from proxy.errors import ConflictError, InvalidInputError, NotFoundError
from proxy.policy.credentials import digest_secret
from proxy.store.database import Database, open_database
from proxy.store.key_changes import GRACE_MAX, Rotation, rotate_key, update_keys
from proxy.store.keys import create_key, get_key, list_keys, load_keys
from proxy.store.state import read_revision

NOW = datetime(2026, 1, 31, tzinfo=UTC)
HOUR = timedelta(hours=1)
OLD, NEW = "the-old-secret-1234567890", "the-new-secret-1234567890"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with open_database(tmp_path / "f.db", create=True) as database:
        yield database


def create(database: Database, **options: Any) -> str:
    row, _ = create_key(database, key_prefix="fg_", now=NOW, **options)
    return str(row["key_id"])


def rotate(
    database: Database,
    key_id: str,
    value: str | None = None,
    *,
    grace: timedelta = HOUR,
    now: datetime = NOW,
) -> Rotation:
    return rotate_key(database, key_id, key_prefix="fg_", grace=grace, value=value, now=now)


def digests(database: Database) -> dict[str, bool]:
    """Return every digest that policy knows, and whether it is of a previous secret."""
    return {key.digest: key.is_previous for key in load_keys(database)}


def test_only_the_given_columns_change_and_policy_sees_it(database: Database) -> None:
    key_id = create(database, source="a", permissions=["/v1/*"], rate_limit=5, rate_burst=2)
    before, revision = get_key(database, key_id, now=NOW), read_revision(database)
    [row] = update_keys(database, [key_id], lambda _: {"source_path": "b", "permissions": []}, NOW)
    assert row == {**before, "source_path": "b", "permissions": []}
    assert row == get_key(database, key_id, now=NOW)
    assert read_revision(database) > revision


def test_a_change_is_told_the_row_as_it_is_and_each_key_is_changed_once(database: Database) -> None:
    one, two = create(database, rate_limit=5), create(database, rate_limit=7)
    rows = update_keys(database, [two, one, two], lambda row: {"rate_limit": row["rate_limit"] + 1}, NOW)
    assert [(row["key_id"], row["rate_limit"]) for row in rows] == [(two, 8), (one, 6)]


@pytest.mark.parametrize(
    "columns",
    [
        {"source_path": ""},
        {"permissions": ["nonsense"]},
        {"rate_limit": -1},
        {"rate_limit": 0},  # the second key has a burst
        {"rate_burst": 2**70},
    ],
)
def test_a_value_that_one_key_cannot_have_changes_none(database: Database, columns: dict[str, Any]) -> None:
    keys = [create(database), create(database, rate_burst=5)]
    before = list_keys(database, now=NOW)
    with pytest.raises(InvalidInputError):
        update_keys(database, keys, lambda _: columns, NOW)
    assert list_keys(database, now=NOW) == before


def test_an_unknown_key_among_several_changes_none(database: Database) -> None:
    key_id = create(database)
    with pytest.raises(NotFoundError):
        update_keys(database, [key_id, "nosuch"], lambda _: {"source_path": "b"}, NOW)
    assert get_key(database, key_id, now=NOW)["source_path"] == "default"


def test_what_is_not_changed_is_not_judged(database: Database) -> None:
    key_id = create(database)
    database.connection().execute("UPDATE api_keys SET source_path = ''")
    update_keys(database, [key_id], lambda _: {"rate_limit": 5}, NOW)
    assert get_key(database, key_id, now=NOW)["rate_limit"] == 5


def test_a_rotated_key_has_a_new_secret_and_keeps_the_old_one_for_the_grace(database: Database) -> None:
    key_id = create(database, value=OLD, source="ci", permissions=["/v1/*"], rate_limit=5)
    before = get_key(database, key_id, now=NOW)
    later = NOW + HOUR
    rotation = rotate(database, key_id, now=later)
    assert rotation.secret.startswith("fg_")
    assert rotation.ended_hint is None
    assert rotation.secret not in repr(rotation)
    assert digests(database) == {
        digest_secret(rotation.secret.encode()): False,
        digest_secret(OLD.encode()): True,
    }
    assert rotation.row == {
        **before,
        "key_hint": f"{rotation.secret[:4]}…{rotation.secret[-4:]}",
        "rotated_at": later,
        "previous_key_hint": before["key_hint"],
        "previous_expires_at": later + HOUR,
    }


def test_no_secret_is_kept_of_a_rotation(database: Database, tmp_path: Path) -> None:
    key_id = create(database, value=OLD)
    secret = rotate(database, key_id).secret
    rotate(database, key_id, NEW)
    for file in tmp_path.iterdir():
        held = file.read_bytes()
        assert not any(each.encode() in held for each in (OLD, NEW, secret))


def test_one_previous_secret_is_kept_and_an_older_one_that_still_worked_is_told_of(
    database: Database,
) -> None:
    key_id = create(database, value=OLD)
    hints = [get_key(database, key_id, now=NOW)["key_hint"]]
    middle = rotate(database, key_id, grace=2 * HOUR)
    rotation = rotate(database, key_id, NEW, now=NOW + HOUR)
    assert rotation.ended_hint == hints[0]
    assert digests(database) == {
        digest_secret(NEW.encode()): False,
        digest_secret(middle.secret.encode()): True,
    }
    assert rotate(database, key_id, now=NOW + 2 * HOUR).ended_hint is None


def test_a_rotation_forgets_who_used_the_secret_before_the_last(database: Database) -> None:
    key_id = create(database)
    rotate(database, key_id)
    database.connection().execute(
        "UPDATE api_keys SET previous_last_used_at = created_at, previous_last_used_ip = '::1'"
    )
    row = rotate(database, key_id).row
    assert (row["previous_last_used_at"], row["previous_last_used_ip"]) == (None, None)


def test_without_a_grace_the_old_secret_ends_at_once(database: Database) -> None:
    key_id = create(database, value=OLD)
    rotate(database, key_id, grace=timedelta(0))
    old = next(key for key in load_keys(database) if key.is_previous)
    assert (old.digest, old.expires_at_us) == (digest_secret(OLD.encode()), to_us(NOW))


@pytest.mark.parametrize("value", [OLD, NEW, "of-another-key", "once-of-another-key"])
def test_a_secret_that_any_key_has_or_had_is_refused(database: Database, value: str) -> None:
    key_id, other = create(database, value=OLD), create(database, value="once-of-another-key")
    rotate(database, key_id, NEW)
    rotate(database, other, "of-another-key")
    before, known = list_keys(database, now=NOW), digests(database)
    for refused in (lambda: rotate(database, key_id, value), lambda: create(database, value=value)):
        with pytest.raises(ConflictError) as caught:
            refused()
        assert value not in str(caught.value)
    assert (list_keys(database, now=NOW), digests(database)) == (before, known)


@pytest.mark.parametrize("options", [{"value": "short"}, {"grace": -HOUR}, {"grace": GRACE_MAX + HOUR}])
def test_a_rotation_that_cannot_be_meant_changes_nothing(database: Database, options: dict[str, Any]) -> None:
    key_id = create(database)
    before = list_keys(database, now=NOW)
    with pytest.raises(InvalidInputError):
        rotate(database, key_id, **options)
    with pytest.raises(NotFoundError):
        rotate(database, "nosuch")
    assert list_keys(database, now=NOW) == before


STEPS = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from(["s-aaaaaaa", "s-bbbbbbb", "s-ccccccc", None])), max_size=8
)


@settings(max_examples=25)
@given(STEPS)
def test_whatever_is_rotated_no_secret_opens_two_keys(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, str | None]]
) -> None:
    """A model of which secret is whose, beside the database."""
    with open_database(tmp_path_factory.mktemp("keys") / "f.db", create=True) as database:
        keys = [create(database, value=f"first-of-{number}") for number in range(3)]
        held = {key_id: [f"first-of-{number}"] for number, key_id in enumerate(keys)}
        for number, value in steps:
            taken = value is not None and any(value in secrets for secrets in held.values())
            try:
                secret = rotate(database, keys[number], value).secret
            except ConflictError:
                assert taken
                continue
            assert not taken
            held[keys[number]] = [secret, held[keys[number]][0]]
        known = {(key.key_id, key.digest): key.is_previous for key in load_keys(database)}
        assert known == {
            (key_id, digest_secret(secret.encode())): place == 1
            for key_id, secrets in held.items()
            for place, secret in enumerate(secrets)
        }
