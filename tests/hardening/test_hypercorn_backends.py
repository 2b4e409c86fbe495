"""Backends that break off, answer early and stream, with Hypercorn in front of the gateway."""

# ruff: noqa: F401  tests are collected where they are imported

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from tests.e2e.processes import HYPERCORN
from tests.hardening.answers import chunk, chunked_head, cut
from tests.hardening.backend_fixtures import Gate, run_gate
from tests.hardening.faults import BOUND_SECONDS
from tests.hardening.test_backend_answers import (
    test_a_cookie_of_one_client_never_comes_with_the_request_of_another,
    test_an_early_answer_reaches_a_client_that_is_still_sending,
    test_an_encoded_body_passes_to_the_byte,
    test_an_interim_answer_does_not_hide_the_final_one,
)
from tests.hardening.test_backend_streams import (
    test_a_stream_arrives_to_the_byte_and_ends_as_it_ended,
    test_a_stream_that_breaks_off_never_ends_cleanly,
    test_each_piece_is_passed_on_before_the_next_is_sent,
)
from tests.hardening.test_backend_truncation import (
    test_a_body_that_ends_with_its_connection_is_broken_by_a_reset,
    test_a_body_that_ends_with_its_connection_is_whole,
    test_an_answer_that_is_closed_behind_its_last_byte_is_whole,
    test_an_answer_that_is_cut_at_any_byte_never_ends_cleanly,
    test_every_byte_before_the_cut_reaches_the_client,
    test_http_1_0_chunks_that_break_off_never_end_cleanly,
    test_other_clients_notice_nothing_of_a_broken_answer,
)


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    with run_gate(tmp_path_factory.mktemp("gate"), proxy="timeout: 5", front=HYPERCORN) as served:
        yield served


def test_a_client_of_http_1_0_is_not_told_that_a_cut_answer_is_whole(gate: Gate) -> None:
    """The end of the connection is the end of such an answer: it has to be a reset."""
    data = chunked_head() + chunk(b"first")
    gate.backend.play("/f/old-client", cut(data, len(data)))
    with socket.create_connection(("127.0.0.1", gate.port), BOUND_SECONDS) as client:
        client.sendall(gate.request("/f/old-client").replace(b" HTTP/1.1\r\n", b" HTTP/1.0\r\n"))
        with pytest.raises(ConnectionResetError):
            read_all(client)


def read_all(client: socket.socket) -> bytes:
    data = b""
    while piece := client.recv(65536):
        data += piece
    return data
