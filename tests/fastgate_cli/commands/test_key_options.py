"""How the values of options about keys are read."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastgate_cli.commands.key_options import read_expiry, read_rate, read_secret
from fastgate_cli.context import Invocation
from proxy.errors import InvalidInputError
from proxy.settings.model import REQUESTS_MAX


@pytest.fixture
def invocation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Invocation:
    monkeypatch.chdir(tmp_path)
    return Invocation(environ={"HOME": str(tmp_path)})


def test_a_key_ends_after_a_time_at_a_time_or_never(invocation: Invocation) -> None:
    assert read_expiry("never", invocation) is None
    assert read_expiry("90d", invocation) == invocation.now + timedelta(days=90)
    # Without an offset it is in the configured zone, UTC+8.
    assert read_expiry("2099-01-01", invocation) == datetime(2098, 12, 31, 16, tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "0s", "now", "today", "2001-01-01", "soon", "99999999d"])
def test_an_end_that_is_over_or_no_time_is_refused(invocation: Invocation, text: str) -> None:
    with pytest.raises(InvalidInputError):
        read_expiry(text, invocation)


@given(st.integers(0, REQUESTS_MAX))
def test_a_rate_is_a_number(number: int) -> None:
    assert read_rate("--rate-limit", str(number)) == number


def test_the_word_default_is_no_number_of_its_own() -> None:
    assert read_rate("--burst", "default") is None


@pytest.mark.parametrize(
    "text",
    ["", "-1", "1.5", "1e3", "٣", "none", str(REQUESTS_MAX + 1), "0" * 9 + "9" * 10, "9" * 5000],
)
def test_what_is_no_rate_is_refused_and_names_the_option(text: str) -> None:
    with pytest.raises(InvalidInputError, match="--burst"):
        read_rate("--burst", text)


def set_stdin(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_a_secret_is_a_line_without_its_end(monkeypatch: pytest.MonkeyPatch, end: bytes) -> None:
    set_stdin(monkeypatch, b"sk-my-own" + end)
    assert read_secret() == "sk-my-own"


def test_a_secret_is_read_up_to_its_bound_and_never_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    set_stdin(monkeypatch, b"x" * 10_000_000)
    assert len(read_secret()) < 1_000
    set_stdin(monkeypatch, "clé-très-secrète".encode())
    with pytest.raises(InvalidInputError) as caught:
        read_secret()
    assert "secr" not in caught.value.message
