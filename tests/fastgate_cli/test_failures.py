"""Every error in one form, with the exit code of the contract."""

from __future__ import annotations

import json

import pytest
import typer

from fastgate_cli.failures import describe_failure, report_failure, wants_json
from proxy.errors import (
    ConfigurationError,
    ConflictError,
    DatabaseError,
    FastGateError,
    InvalidInputError,
    JournalError,
    NotFoundError,
    Problem,
    UpstreamTimeoutError,
)


@pytest.mark.parametrize(
    ("error", "exit_code"),
    [
        (InvalidInputError("x"), 2),
        (ConfigurationError([Problem("x")]), 2),
        (ConflictError("x"), 2),
        (typer.BadParameter("x"), 2),
        (NotFoundError("x"), 3),
        (DatabaseError("x"), 4),
        (UpstreamTimeoutError("x"), 4),
        (JournalError("x"), 4),
        (RuntimeError("x"), 1),
    ],
)
def test_exit_codes(error: Exception, exit_code: int) -> None:
    assert describe_failure(error).exit_code == exit_code


def test_an_error_is_two_lines(capsys: pytest.CaptureFixture[str]) -> None:
    report_failure(NotFoundError("no key k", hint="fastgate keys list"), as_json=False, environ={})
    assert capsys.readouterr() == ("", "error: no key k\nhint: fastgate keys list\n")


def test_every_problem_of_a_configuration_has_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    problems = [Problem("unknown key 'prot'", "a.yaml", 3, 5), Problem("not a number", "a.yaml", 4, 9)]
    report_failure(ConfigurationError(problems, hint="see the example"), as_json=False, environ={})
    assert capsys.readouterr().err.splitlines() == [
        "error: a.yaml:3:5: unknown key 'prot'",
        "error: a.yaml:4:9: not a number",
        "hint: see the example",
    ]


def test_an_error_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    report_failure(NotFoundError("no key ключ", hint="look"), as_json=True, environ={})
    fields = {"code": "not_found", "message": "no key ключ", "hint": "look"}
    assert json.loads(capsys.readouterr().err) == {"error": fields}


def test_an_unforeseen_error_is_one_line_and_the_way_to_more(capsys: pytest.CaptureFixture[str]) -> None:
    report_failure(ValueError("odd\nthing"), as_json=False, environ={"FASTGATE_DEBUG": "0"})
    assert capsys.readouterr().err.splitlines() == [
        "error: internal error: ValueError: odd\\nthing",
        "hint: FASTGATE_DEBUG=1 shows where it happened",
    ]


def test_a_traceback_is_added_on_demand(capsys: pytest.CaptureFixture[str]) -> None:
    report_failure(FastGateError("x"), as_json=False, environ={"FASTGATE_DEBUG": "1"})
    assert "proxy.errors.FastGateError: x" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["keys", "list"], False),
        (["keys", "list", "--json"], True),
        (["--json", "nosuch"], True),
        (["keys", "list", "-o", "json"], True),
        (["keys", "list", "--output=json"], True),
        (["keys", "list", "-o", "csv"], False),
        (["keys", "show", "--", "--json"], False),
    ],
)
def test_json_is_wanted_wherever_it_stands(arguments: list[str], wanted: bool) -> None:
    assert wants_json(arguments) is wanted
