"""The error types: what each means over HTTP, and how problems in a file read."""

from __future__ import annotations

import pytest

from proxy.errors import (
    ConfigurationError,
    ConflictError,
    DatabaseError,
    FastGateError,
    InvalidInputError,
    JournalError,
    NotFoundError,
    NotRunningError,
    Problem,
    UpstreamError,
    UpstreamInvalidError,
    UpstreamTimeoutError,
    UpstreamTruncatedError,
)


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        (FastGateError, 500, "internal_error"),
        (InvalidInputError, 400, "invalid_input"),
        (NotFoundError, 404, "not_found"),
        (ConflictError, 409, "conflict"),
        (NotRunningError, 503, "not_running"),
        (DatabaseError, 503, "database_unavailable"),
        (JournalError, 503, "overloaded"),
        (UpstreamError, 502, "upstream_unreachable"),
        (UpstreamTimeoutError, 504, "upstream_timeout"),
        (UpstreamInvalidError, 502, "upstream_invalid"),
        (UpstreamTruncatedError, 502, "upstream_truncated"),
    ],
)
def test_error_has_its_status_and_code(kind: type[FastGateError], status: int, code: str) -> None:
    error = kind("what happened", hint="what to do")
    assert (error.status, error.code) == (status, code)
    assert (str(error), error.message, error.hint) == ("what happened", "what happened", "what to do")


def test_hint_may_be_left_out() -> None:
    assert FastGateError("x").hint == ""


@pytest.mark.parametrize("kind", [UpstreamTimeoutError, UpstreamInvalidError, UpstreamTruncatedError])
def test_every_fault_of_a_backend_is_an_upstream_error(kind: type[FastGateError]) -> None:
    assert issubclass(kind, UpstreamError)


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (Problem("bad value"), "bad value"),
        (Problem("bad value", "a.yaml"), "a.yaml: bad value"),
        (Problem("bad value", "a.yaml", 3, 7), "a.yaml:3:7: bad value"),
    ],
)
def test_problem_reads_as_compilers_write_them(problem: Problem, text: str) -> None:
    assert str(problem) == text


def test_configuration_error_tells_every_problem_at_once_in_order() -> None:
    problems = [Problem("one", "a.yaml", 9, 1), Problem("two", "a.yaml", 2, 1)]
    error = ConfigurationError(problems, hint="mend them")
    assert error.problems == tuple(problems)
    assert error.message == "a.yaml:9:1: one\na.yaml:2:1: two"
    assert (error.status, error.code, error.hint) == (400, "invalid_configuration", "mend them")
    assert isinstance(error, InvalidInputError)


def test_the_reason_of_a_failed_backend_has_its_detail_behind_the_code() -> None:
    assert UpstreamError("x").reason == "upstream_unreachable"
    assert UpstreamError("x", detail="refused").reason == "upstream_unreachable: refused"
    assert UpstreamTimeoutError("x", detail="no connection").reason == "upstream_timeout"
