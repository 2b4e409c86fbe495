"""Heads as bytes."""

from __future__ import annotations

import pytest

from proxy.http1.faults import Fault
from proxy.http1.heads import (
    build_head,
    build_refusal,
    read_target,
    recover_request_line,
    status_line,
    write_plain_refusal,
)


def test_a_head_is_the_status_the_headers_in_their_order_and_the_framing() -> None:
    headers = [(b"set-cookie", b"a=b"), (b"x-empty", b""), (b"set-cookie", b"c=d")]
    assert build_head(404, headers, b"connection: close\r\n") == (
        b"HTTP/1.1 404 Not Found\r\nset-cookie: a=b\r\nx-empty: \r\n"
        b"set-cookie: c=d\r\nconnection: close\r\n\r\n"
    )


def test_a_status_that_has_no_name_has_an_empty_one() -> None:
    assert status_line(599) == b"HTTP/1.1 599 \r\n"


@pytest.mark.parametrize("pair", [(b"a", b"b\r\nc: d"), (b"a", b"b\n"), (b"a\r\nb", b"c"), (b"a\n", b"")])
def test_a_header_that_would_split_the_response_is_an_error(pair: tuple[bytes, bytes]) -> None:
    with pytest.raises(ValueError, match="line break"):
        build_head(200, [(b"x", b"y"), pair], b"content-length: 0\r\n")


def test_a_refusal_is_a_whole_response_that_ends_the_connection() -> None:
    assert build_refusal(503, [(b"x-a", b"1")], b"busy") == (
        b"HTTP/1.1 503 Service Unavailable\r\nx-a: 1\r\ncontent-length: 4\r\nconnection: close\r\n\r\nbusy"
    )


def test_a_plain_refusal_is_the_status_of_the_fault_and_nothing_else() -> None:
    assert write_plain_refusal(Fault(408, "slow", "words")) == (
        b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    )


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"\r\nFOO /a?b HTTP/1.1\r\nX", ("FOO", b"/a?b")),
        (b"get /\xff HTTP/1.0\r\n", ("get", b"/\xff")),
        (b"FOO /a HTTP/1.1", None),
        (b"FOO /a\r\n", None),
        (b"FOO /a HTTP/2.0\r\n", None),
        (b"FOO  /a HTTP/1.1\r\n", None),
        (b"A" * 101 + b" /a HTTP/1.1\r\n", None),
        (b"A /" + b"a" * 8192 + b" HTTP/1.1\r\n", None),
        (b"F\0O /a HTTP/1.1\r\n", None),
        (b"\x16\x03\x01", None),
        (b"", None),
    ],
)
def test_a_request_line_is_recovered_if_it_is_whole_and_plain(data: bytes, found: object) -> None:
    assert recover_request_line(data) == found


@pytest.mark.parametrize(
    ("target", "read"),
    [
        (b"/a%20b?q=%20&q", b"/a%20b?q=%20&q"),
        (b"*", b"*"),
        (b"http://gate.test/a/b?c", b"/a/b?c"),
        (b"HTTPS://GATE.test", b"/"),
        (b"http://gate.test?c", b"/?c"),
        (b"http://gate.test//a", b"//a"),
        (b"http://gate.test:80/a", b"http://gate.test:80/a"),
        (b"http://user@gate.test/a", b"http://user@gate.test/a"),
        (b"http://gate.test#/a", b"http://gate.test#/a"),
        (b"http:///a", b"http:///a"),
        (b"ftp://gate.test/a", b"ftp://gate.test/a"),
        (b"gate.test/a", b"gate.test/a"),
    ],
)
def test_a_target_that_repeats_the_host_is_its_path(target: bytes, read: bytes) -> None:
    assert read_target(target, [(b"host", b"Gate.test")]) == read


@pytest.mark.parametrize("hosts", [(), (b"other.test",), (b"gate.test", b"gate.test")])
def test_one_that_names_another_host_is_left_for_others_to_refuse(hosts: tuple[bytes, ...]) -> None:
    target = b"http://gate.test/a"
    assert read_target(target, [(b"host", host) for host in hosts]) == target
