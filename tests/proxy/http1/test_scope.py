"""Scopes: what an application is told of a request."""

from __future__ import annotations

import pytest

from proxy.http1.parser import Head
from proxy.http1.scope import build_scope, read_address


@pytest.mark.parametrize(
    ("target", "path", "raw_path", "query"),
    [
        (b"/a", "/a", b"/a", b""),
        (b"/a%20b?q=%20&q", "/a b", b"/a%20b", b"q=%20&q"),
        (b"/a?", "/a", b"/a", b""),
        (b"/?a?b", "/", b"/", b"a?b"),
        (b"*", "*", b"*", b""),
    ],
)
def test_a_target_is_split_and_only_the_path_is_decoded(
    target: bytes, path: str, raw_path: bytes, query: bytes
) -> None:
    scope = build_scope(Head("GET", target, "1.1", [(b"host", b"x")], True), ("10.0.0.1", 5), None)
    assert (scope["path"], scope["raw_path"], scope["query_string"]) == (path, raw_path, query)
    assert bool(scope["extensions"]) is (target == b"/a?")
    assert (scope["client"], scope["server"], scope["headers"]) == (("10.0.0.1", 5), None, [(b"host", b"x")])


@pytest.mark.parametrize(
    ("target", "raw_path", "query"),
    [
        (b"http://gate.test/a/b?c", b"/a/b", b"c"),
        (b"HTTPS://GATE.test", b"/", b""),
        (b"http://gate.test?c", b"/", b"c"),
        (b"http://gate.test//a", b"//a", b""),
        (b"http://gate.test:80/a", b"http://gate.test:80/a", b""),
        (b"http://user@gate.test/a", b"http://user@gate.test/a", b""),
        (b"http://gate.test#/a", b"http://gate.test#/a", b""),
        (b"http:///a", b"http:///a", b""),
        (b"ftp://gate.test/a", b"ftp://gate.test/a", b""),
        (b"gate.test/a", b"gate.test/a", b""),
    ],
)
def test_a_target_that_repeats_the_host_is_its_path(target: bytes, raw_path: bytes, query: bytes) -> None:
    scope = build_scope(Head("GET", target, "1.1", [(b"host", b"Gate.test")], True), None, None)
    assert (scope["raw_path"], scope["query_string"]) == (raw_path, query)


@pytest.mark.parametrize("hosts", [(), (b"other.test",), (b"gate.test", b"gate.test")])
def test_one_that_names_another_host_is_left_for_others_to_refuse(hosts: tuple[bytes, ...]) -> None:
    target, headers = b"http://gate.test/a", [(b"host", host) for host in hosts]
    assert build_scope(Head("GET", target, "1.1", headers, True), None, None)["raw_path"] == target


def test_an_address_is_host_and_port_or_none() -> None:
    assert read_address(("::1", 80, 0, 0)) == ("::1", 80)
    assert read_address("/run/socket") is None
