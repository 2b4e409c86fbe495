"""The gateway behind Hypercorn: what does not depend on who holds the clients' connections, once more.

What a server library leaves no room for is in docs/http.md, and not here.
"""

# ruff: noqa: F401  tests are collected where they are imported

from __future__ import annotations

import pytest

from tests.e2e.processes import HYPERCORN
from tests.hardening.gate import Gate
from tests.hardening.test_bodies import (
    inspected,
    test_a_body_that_a_route_needs_is_sent_as_it_is,
    test_a_body_that_names_another_backend_changes_nothing,
    test_a_body_up_to_the_limit_goes_through,
    test_a_chunked_body_over_the_limit_is_aborted_upstream,
    test_a_declared_body_over_the_limit_never_reaches_the_backend,
)
from tests.hardening.test_credentials import (
    test_a_key_reaches_no_backend_wherever_it_stands,
    test_a_long_upload_with_a_bad_key_reads_its_401,
    test_a_request_without_a_key_is_told_so,
    test_what_is_no_key_of_the_gateways_is_no_credential_to_it,
)
from tests.hardening.test_leaving_clients import (
    test_a_client_that_leaves_before_the_answer_leaves_nothing_upstream,
    test_a_route_that_drains_reads_what_the_client_does_not_wait_for,
    test_a_stream_is_closed_upstream_when_its_client_leaves,
    test_a_stream_that_is_silent_is_closed_upstream,
)
from tests.hardening.test_semantics import (
    test_a_preflight_is_forwarded_like_any_options_without_cors,
    test_a_query_goes_along_byte_for_byte,
    test_a_range_is_asked_for_and_answered_as_it_is,
    test_an_answer_with_a_megabyte_of_headers_is_a_502,
    test_every_method_goes_with_and_without_a_body,
    test_head_tells_what_get_would_and_has_no_body,
    test_headers_keep_their_order_and_are_not_joined,
    test_headers_of_an_answer_keep_their_order_and_are_not_joined,
    test_hop_by_hop_headers_of_an_answer_stay_behind,
    test_no_content_has_neither_body_nor_framing,
    test_not_modified_has_no_body,
    test_white_space_around_a_value_is_no_part_of_it,
)

pytestmark = pytest.mark.usefixtures("serving")


@pytest.fixture(scope="module")
def front() -> str:
    return HYPERCORN


@pytest.fixture(scope="module")
def settings() -> str:
    return (
        "proxy: {max_body_size: 100000B, client_timeout: 2}\naudit: {include_body: true, body_max_size: 10KB}"
    )


def test_a_client_that_leaves_during_its_upload_leaves_nothing_upstream(gate: Gate) -> None:
    path, piece = gate.new_path(), b"u" * 10_000
    client = gate.connect()
    client.send(gate.head(path, "content-length: 90000", method="POST") + piece)
    (arrival,) = gate.backend.wait_for(path)
    gate.backend.wait_until(lambda: bytes(arrival.body) == piece)
    client.close()
    arrival.link.wait_ended()
    assert not arrival.is_whole
    (row,) = gate.rows("path = ?", path)
    assert (row["error_message"], row["request_size"]) == ("client_abort", len(piece))


@pytest.mark.parametrize(
    "framing",
    [
        ("content-length: 5", "transfer-encoding: chunked"),
        ("transfer-encoding: chunked", "content-length: 5"),
    ],
)
def test_what_could_be_smuggled_is_refused_and_the_connection_closed(
    gate: Gate, framing: tuple[str, ...]
) -> None:
    path, smuggled = gate.new_path(), gate.new_path()
    client = gate.connect()
    request = gate.head(path, *framing, method="POST") + b"0\r\n\r\n" + gate.head(smuggled)
    response = client.ask(request)
    assert (response.status, response.code) == (400, "bad_request")
    assert gate.row(response)["error_message"] == "bad_framing"
    assert client.is_closed()
    assert not gate.backend.seen(path) + gate.backend.seen(smuggled)


@pytest.mark.parametrize(
    ("origin", "status"), [("http://gate.test", 200), ("http://evil.test", 400)], ids=["its own", "another"]
)
def test_a_target_with_a_host_has_to_be_of_that_host(gate: Gate, origin: str, status: int) -> None:
    path = gate.new_path()
    assert gate.ask(gate.head(f"{origin}{path}?a=1")).status == status
    assert [each.target for each in gate.backend.seen(path)] == [f"{path}?a=1".encode()] * (status == 200)


def test_a_body_that_does_not_come_is_given_up(gate: Gate) -> None:
    path = gate.new_path()
    response = gate.ask(gate.head(path, "content-length: 5", method="POST") + b"abc")
    assert (response.status, response.code) == (408, "bad_request")
    assert gate.row(response)["error_message"] == "client_timeout"


def test_who_waits_for_a_word_before_its_body_is_given_one(gate: Gate) -> None:
    path = gate.new_path()
    head = gate.head(path, "content-length: 4", "expect: 100-continue", method="POST")
    client = gate.connect()
    client.send(head)
    assert client.read_head()[0] == 100
    client.send(b"body")
    assert client.read_response(b"POST").status == 200
    assert bytes(gate.seen_of(path).body) == b"body"
