"""From options to columns: what each means, and what contradicts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import trustme

from fastgate_cli.commands.route_columns import (
    TARGETS_MAX,
    check_columns,
    read_columns,
    read_methods,
    read_statuses,
    read_unset,
)
from fastgate_cli.commands.route_options import RouteOptions
from proxy.errors import InvalidInputError

ROW = {"match_path": "/v1/*", "strip_path_prefix": False}


def read(**options: Any) -> dict[str, Any]:
    return read_columns(RouteOptions(**options), ROW)


@pytest.mark.parametrize(
    ("texts", "column"),
    [
        ([], "ANY"),
        (["get"], "GET"),
        (["GET", "post"], "GET,POST"),
        (["get,post", "GET"], "GET,POST"),
        (["GET", "any"], "ANY"),
    ],
)
def test_methods_as_the_table_has_them(texts: list[str], column: str) -> None:
    assert read_methods(texts) == column


@pytest.mark.parametrize("text", ["", "TRACE", "GET POST", "GET,"])
def test_a_method_that_the_gateway_refuses_is_refused_here(text: str) -> None:
    with pytest.raises(InvalidInputError, match="not a method"):
        read_methods([text])


@pytest.mark.parametrize(
    ("texts", "statuses"),
    [(["429"], [429]), (["503,429", "503"], [429, 503]), (["5XX", "500"], list(range(500, 600)))],
)
def test_statuses_are_single_or_a_class(texts: list[str], statuses: list[int]) -> None:
    assert read_statuses(texts) == statuses


@pytest.mark.parametrize("text", ["", "200", "600", "4xx", "x", "-1", "9" * 5_000])
def test_a_status_that_is_no_failure_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError, match="not a status"):
        read_statuses([text])


def test_options_that_were_not_given_change_nothing() -> None:
    assert read() == {}
    assert read(to=[], header=(), method=None) == {}


@pytest.mark.parametrize(
    ("options", "columns"),
    [
        ({"http2": True}, {"http_version": "2"}),
        ({"http2": False}, {"http_version": "1.1"}),
        ({"tls_insecure": True}, {"tls_verify": False}),
        ({"disabled": False}, {"is_active": True}),
        ({"strip_prefix": False}, {"strip_path_prefix": False}),
        ({"pass_credential": True}, {"pass_credential": True}),
        ({"pass_credential": False}, {"pass_credential": False}),
        ({"encoded_slash": True}, {"encoded_slash": True}),
        ({"encoded_slash": False}, {"encoded_slash": False}),
        ({"keep_redirects": True}, {"keep_redirects": True}),
        ({"keep_redirects": False}, {"keep_redirects": False}),
        ({"retries": 0}, {"retry_count": 0}),
        ({"description": ""}, {"description": ""}),
        ({"target_path": "/x"}, {"target_path": "/x"}),
        ({"set_body": ["seed=1", 'model="x"']}, {"add_body_fields": {"seed": 1, "model": "x"}}),
        ({"set_body": ['a="${keep} x"']}, {"add_body_fields": {"a": "${keep} x"}}),
        ({"set_body": ["n=" + "9" * 40]}, {"add_body_fields": {"n": int("9" * 40)}}),
        ({"body_schema": "true"}, {"match_body_schema": True}),
        (
            {"to": ["https://a/base", "http://b:1"]},
            {
                "target_host": "a",
                "target_protocol": "https",
                "target_path": "/base",
                "targets": ["http://b:1"],
            },
        ),
    ],
)
def test_an_option_becomes_its_column(options: dict[str, Any], columns: dict[str, Any]) -> None:
    assert read(**options) == columns


@pytest.mark.parametrize(
    "options",
    [
        {"to": ["http://a", "http://b/path"]},
        {"to": ["http://a", "http://a"]},
        {"to": ["http://a", "ftp://b"]},
        {"to": [f"http://a{number}" for number in range(TARGETS_MAX + 1)]},
        {"body": ["a=1"], "body_schema": "{}"},
        {"body_schema": "[]"},
        {"body_schema": "{"},
        {"body_schema": "@nosuch"},
        {"set_body": ["seed"]},
        {"set_body": ["=1"]},
        {"set_body": ["model=qwen3"]},
        {"set_body": ["a=1", "a=2"]},
        {"set_body": ['a="${keep}"']},
        {"set_body": ["b=1", 'a={"b": [1, "${keep}"]}']},
        {"tls_ca": Path("nosuch.pem")},
        {"name": ""},
    ],
)
def test_options_that_mean_nothing_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        read(**options)


def test_authorities_are_stored_by_their_whole_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    assert read(tls_ca=Path("ca.pem")) == {"tls_ca": str(tmp_path / "ca.pem")}
    (tmp_path / "empty.pem").touch()
    with pytest.raises(InvalidInputError, match="no certificates"):
        read(tls_ca=Path("empty.pem"))


def test_schema_comes_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "schema.json").write_text(json.dumps({"required": ["a"]}))
    assert read(body_schema=f"@{tmp_path}/schema.json") == {"match_body_schema": {"required": ["a"]}}


def test_what_an_option_has_set_can_be_taken_back() -> None:
    assert read_unset(["header", "--timeout"]) == {"match_headers": {}, "timeout": None}
    with pytest.raises(InvalidInputError, match="cannot be unset"):
        read_unset(["to"])


COLUMNS = {
    **ROW,
    "route_id": "rt",
    "route_name": "rt",
    "match_method": "ANY",
    "match_headers": {},
    "match_body_schema": None,
    "target_host": "a",
    "target_path": "",
    "target_protocol": "https",
    "add_headers": {},
    "add_body_fields": {},
    "remove_headers": [],
    "timeout": None,
    "targets": [],
    "balance": "failover",
    "retry_count": 3,
    "retry_statuses": [],
    "total_timeout": None,
    "http_version": "1.1",
    "tls_ca": None,
    "tls_verify": False,
    "on_client_abort": "cancel",
    "pass_credential": False,
    "encoded_slash": False,
    "keep_redirects": False,
    "is_active": True,
    "priority": 100,
    "created_at": None,
}


def test_columns_that_agree_are_accepted() -> None:
    check_columns(COLUMNS, retries_max=3)
    check_columns({**COLUMNS, "target_protocol": "http", "targets": ["https://b"]}, retries_max=3)


@pytest.mark.parametrize(
    "columns",
    [
        {"retry_count": 4},
        {"target_protocol": "http"},
        {"target_protocol": "http", "tls_verify": True, "tls_ca": "/ca.pem"},
        {"match_body_schema": {"type": "nonsense"}},
        {"match_body_schema": {"$ref": "http://127.0.0.1:1/"}},
        {"add_body_fields": {"a": 1, "a.b": 2}},
        {"target_path": "/{nosuch}"},
        {"match_headers": ["unreadable"]},
    ],
)
def test_columns_that_contradict_are_refused(columns: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        check_columns({**COLUMNS, **columns}, retries_max=3)
