"""The fields of a route in a document."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme

from fastgate_cli.documents.fields import Reading
from fastgate_cli.documents.reading import read_document
from fastgate_cli.documents.route_fields import FIELDS, describe_route, spell_statuses
from proxy.documents.tree import Faults
from tests.fastgate_cli.documents.pieces import NOW, faults_of, read

HEAD = "routes:\n  - route_id: chat\n    match_path: /v1/{id}/*\n    target_host: a:1\n    "


def read_route(fields: str, folder: Path = Path()) -> dict[str, Any]:
    document, faults = read(f"{HEAD}{fields}\n", folder)
    assert faults == []
    return dict(document.wants("routes")[0].values)


@pytest.mark.parametrize(
    ("field", "name", "value"),
    [
        ("route_name: Chat for all", "route_name", "Chat for all"),
        ("description: |\n      two\n      lines", "description", "two\nlines\n"),
        ("match_method: get, POST,GET", "match_method", "GET,POST"),
        ("match_method: [get, POST]", "match_method", "GET,POST"),
        ("match_headers: {X-A: 'a*', X-B: }", "match_headers", {"X-A": "a*", "X-B": None}),
        ("match_body_schema: {type: object}", "match_body_schema", {"type": "object"}),
        ("match_body_schema: false", "match_body_schema", False),
        ("target_path: /x/{id}", "target_path", "/x/{id}"),
        ("strip_path_prefix: true", "strip_path_prefix", True),
        ("targets: ['http://b:2', 'https://c/']", "targets", ["http://b:2", "https://c"]),
        ("balance: round-robin", "balance", "round-robin"),
        ("add_headers: {X-A: ' v ', X-B: '${env:T}'}", "add_headers", {"X-A": "v", "X-B": "${env:T}"}),
        ("add_headers: {X-A: '${keep}'}", "add_headers", {"X-A": "${keep}"}),
        ("add_body_fields: {a.b: 1e3, c: [no, 07x]}", "add_body_fields", {"a.b": 1000.0, "c": ["no", "07x"]}),
        ("add_body_fields: {a: '${keep}'}", "add_body_fields", {"a": "${keep}"}),
        ("add_body_fields: {a: ['${keep} x']}", "add_body_fields", {"a": ["${keep} x"]}),
        ("remove_headers: [X-A]", "remove_headers", ["X-A"]),
        ("timeout: 1", "timeout", 1),
        ("total_timeout: 86400", "total_timeout", 86400),
        ("retry_count: 100", "retry_count", 100),
        ("retry_statuses: [503, 429, '429']", "retry_statuses", [429, 503]),
        ("retry_statuses: [429, 5xx]", "retry_statuses", [429, *range(500, 600)]),
        ("http_version: 2", "http_version", "2"),
        ("http_version: '1.1'", "http_version", "1.1"),
        ("tls_verify: false\n    target_protocol: https", "tls_verify", False),
        ("on_client_abort: drain", "on_client_abort", "drain"),
        ("pass_credential: true", "pass_credential", True),
        ("encoded_slash: true", "encoded_slash", True),
        ("keep_redirects: true", "keep_redirects", True),
        ("priority: 0", "priority", 0),
        ("is_active: false", "is_active", False),
    ],
)
def test_a_field_is_read(field: str, name: str, value: Any) -> None:
    found = read_route(field)[name]
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("field", "fault"),
    [
        ("route_name: ''", "5:17: a name is not empty"),
        ('route_name: "a\\nb"', "5:17: 'a\\nb' is not a name"),
        ("description: 7", "5:18: this must be text"),
        ("match_method: FETCH", "5:19: 'FETCH' is not a method"),
        ("match_headers: {X A: b}", "5:21: 'X A' does not begin with a header name"),
        ("match_headers: {X-A: b, x-a: c}", "5:29: the header 'x-a' is given twice"),
        ("match_headers: {X-A: 7}", "5:21: this must be text; put it in quotes"),
        ("match_body_schema: {type: nonsense}", "5:24: the body schema is not valid"),
        ("match_body_schema: {minimum: 0x1f}", "5:34: this is no number as JSON writes it"),
        ("match_body_schema: [a]", "5:24: this must be a JSON Schema"),
        ("target_protocol: ftp", "5:22: this must be http or https"),
        ("target_path: x", "5:5: the target path 'x' is not a path"),
        ("target_path: /{nosuch}", "5:5: the target path '/{nosuch}' has a placeholder"),
        ("target_path: /{id}\n    strip_path_prefix: true", "5:5: the target path '/{id}' has a placeholder"),
        ("targets: ['http://b/x']", "5:15: this must be a URL without a path"),
        ("targets: ['http://a:1']", "5:5: a backend is named twice"),
        (f"targets: [{', '.join(f'http://b{n}' for n in range(16))}]", "5:5: a backend is named twice, or"),
        ("balance: random", "5:14: this must be failover, round-robin or least-in-flight"),
        ("add_headers: {Connection: close}", "5:19: a route cannot set the header 'Connection'"),
        ("add_headers: {X-A: '${nosuch}'}", "5:19: the value of 'X-A' has a reference that means nothing"),
        ("add_body_fields: {a..b: 1}", "5:23: 'a..b' is not a body field"),
        ("add_body_fields: {a: 1, a.b: 2}", "3:5: the body field 'a.b' is set twice"),
        ("add_body_fields: {a: {b: '${keep}'}}", "5:30: ${keep} can stand for the whole of 'a' alone"),
        ("add_body_fields: {a: [1, ['${keep}']]}", "5:31: ${keep} can stand for the whole of 'a' alone"),
        ("remove_headers: [a b]", "5:22: 'a b' does not begin with a header name"),
        ("timeout: 0", "5:14: this must be a whole number from 1 to 86400"),
        ("priority: 10001", "5:15: this must be a whole number from 0 to 10000"),
        ("retry_count: 101", "5:18: this must be a whole number from 0 to 100"),
        ("retry_statuses: [4xx]", "5:22: '4xx' is not a status to retry after"),
        ("http_version: 3", "5:19: this must be 1.1 or 2"),
        ("tls_verify: false", "5:5: the target has no TLS to check"),
        ("tls_ca: nosuch.pem\n    target_protocol: https", "5:13: '"),
        ("on_client_abort: ask", "5:22: this must be cancel or drain"),
        ("priority: high", "5:15: this must be a whole number"),
    ],
)
def test_what_a_command_would_refuse_is_a_fault_at_its_place(field: str, fault: str) -> None:
    found = faults_of(f"{HEAD}{field}\n")
    assert len(found) == 1, found
    assert found[0].startswith(fault)


@pytest.mark.parametrize("host", ["a/b", "http://a", "a:0", "u@a", "a b", "a?b", "", "[::1", "-a"])
def test_what_is_not_a_host_alone_is_refused(host: str) -> None:
    found = faults_of(f"{HEAD}".replace("a:1", f"'{host}'"))
    assert [fault.partition(" (")[0] for fault in found] == [
        "4:18: this must be a host such as 127.0.0.1:8000"
    ]


def test_authorities_are_a_file_beside_the_document(tmp_path: Path) -> None:
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    ssl.create_default_context(cafile=tmp_path / "ca.pem")
    values = read_route("tls_ca: ca.pem\n    target_protocol: https", tmp_path)
    assert values["tls_ca"] == str((tmp_path / "ca.pem").resolve())


def test_more_retries_than_the_configuration_allows_are_a_fault() -> None:
    reading = Reading(Faults("d.yaml"), NOW, retries_max=3)
    read_document(f"{HEAD}retry_count: 4\n".encode(), reading)
    (problem,) = reading.faults.problems
    assert str(problem).startswith("d.yaml:5:5: 4 retries are more than proxy.max_retries allows")


def test_empty_columns_mean_what_the_gateway_takes_them_for() -> None:
    row = dict.fromkeys(field.name for field in FIELDS)
    described = describe_route({**row, "route_name": "r", "match_path": "/a", "target_host": "a"})
    given = {"route_name": "r", "match_path": "/a", "target_host": "a", "is_active": False}
    assert described == {field.name: field.default for field in FIELDS if field.name != "route_id"} | given


def test_all_statuses_that_begin_with_a_5_are_one_word() -> None:
    assert spell_statuses([429, *range(500, 600)]) == [429, "5xx"]
    assert spell_statuses([500, 503]) == [500, 503]
