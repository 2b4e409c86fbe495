"""Rows of the audit trail come over: named by key ids, ended, in our form, without any secret."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.audit.masking.names import header_names
from proxy.predecessor.logs import Change, LogRules, convert_headers, convert_log
from proxy.predecessor.scrubbing import build_scrub
from proxy.store.importing import LOG_COLUMNS
from tests.proxy.predecessor.old_database import LOG, SECRET, UNFINISHED

RULES = LogRules(
    find_key={SECRET: ("fg_0123456789ab", "team-a")}.get,
    scrub=build_scrub([SECRET.encode()]),
    redacted=header_names(("authorization", "cookie")),
)


def convert(**changes: object) -> tuple[dict[str, Any], set[Change]]:
    row, changed = convert_log({**LOG, **changes}, RULES)
    assert row is not None
    return row, changed


def test_a_row_has_our_columns_and_our_form() -> None:
    row, changed = convert()
    assert ["id", *row] == sorted(LOG_COLUMNS, key=["id", *row].index)
    assert changed == {Change.KEY_NAMED, Change.BODY_DECODED}
    assert (row["api_key"], row["source_path"]) == ("fg_0123456789ab", "team-a")
    assert row["request_id"] == "req_0123456789ab"
    assert row["request_time"] == datetime.fromisoformat("2026-01-31T08:01:00.5+08:00")
    assert row["request_headers"] == [["host", "gw"], ["authorization", "[redacted]"]]
    assert row["response_body"] == '{"ok":1}'
    assert row["error_message"] is None


def test_a_row_without_its_end_is_interrupted() -> None:
    row, changed = convert(**UNFINISHED)
    assert row["error_message"] == "interrupted"
    assert Change.INTERRUPTED in changed


@pytest.mark.parametrize(
    "changes", [{"error_message": "upstream died"}, {"error_message": "", "response_time": "x"}]
)
def test_no_row_counts_as_in_flight(changes: dict[str, object]) -> None:
    row, _ = convert(**{**UNFINISHED, **changes})
    assert row["error_message"]


def test_a_row_with_an_error_keeps_it() -> None:
    assert convert(**UNFINISHED, error_message="no route")[0]["error_message"] == "no route"


def test_a_secret_that_no_key_has_is_left_out() -> None:
    row, changed = convert(api_key="fg_forgotten_key")
    assert row["api_key"] is None
    assert Change.KEY_UNKNOWN in changed
    assert "fg_forgotten_key" not in repr(row)


def test_a_row_without_a_time_is_left_out() -> None:
    assert convert_log({**LOG, "request_time": "?"}, RULES) == (None, {Change.LEFT_OUT})


def test_secrets_in_texts_headers_bodies_and_queries_are_masked() -> None:
    row, changed = convert(
        path=f"/v1/{SECRET}",
        target_url="http://b/v1?api_key=abc&x=1",
        user_agent=SECRET,
        request_headers=json.dumps({"Cookie": "session=1", "X-Other": SECRET, "Authorization": "Bearer zzz"}),
        request_body=f'{{"key": "{SECRET}"}}',
        response_body=repr(SECRET.encode()),
        error_message=f"bad key {SECRET}",
    )
    assert SECRET not in repr(row)
    assert row["target_url"] == "http://b/v1?api_key=[redacted]&x=1"
    assert row["request_headers"] == [
        ["cookie", "[redacted]"],
        ["x-other", "[redacted]"],
        ["authorization", "Bearer [redacted]"],
    ]
    assert Change.SECRET_MASKED in changed


def test_a_missing_duration_is_worked_out_and_never_negative() -> None:
    assert convert(response_time_ms=None)[0]["response_time_ms"] == 250
    assert convert(response_time_ms=None, response_time="2026-01-31 08:00:00")[0]["response_time_ms"] == 0


@pytest.mark.parametrize(
    ("text", "pairs", "is_cut"),
    [
        (None, None, False),
        ('{"A": "1", "b": 2}', [["a", "1"], ["b", "2"]], False),
        (
            '{"a": "1", "authorization": "Bearer x", "c": "lo...[TRUNCATED]',
            [["a", "1"], ["authorization", "Bearer [redacted]"]],
            True,
        ),
        ("[TRUNCATED]", None, True),
        ("[1]", None, True),
    ],
)
def test_headers_become_pairs_as_far_as_they_were_kept(
    text: str | None, pairs: list[list[str]] | None, is_cut: bool
) -> None:
    changed: set[Change] = set()
    assert convert_headers(text, RULES.redacted, changed) == pairs
    assert (Change.HEADERS_CUT in changed) is is_cut


@given(
    st.fixed_dictionaries(
        {
            column: st.none() | st.integers() | st.text(max_size=20).map(SECRET.join) | st.text()
            for column in LOG
        }
    )
)
def test_any_row_comes_over_ended_and_without_its_secret(old: dict[str, object]) -> None:
    row, _ = convert_log({**old, "request_time": LOG["request_time"]}, RULES)
    assert row is not None
    assert row["response_time"] or row["error_message"]
    assert SECRET not in repr(row)
