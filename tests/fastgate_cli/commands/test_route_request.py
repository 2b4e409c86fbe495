"""The request that `routes explain` and `routes test` reason about."""

from __future__ import annotations

import pytest

from fastgate_cli.commands.route_request import STAND_IN, build_head, read_header
from proxy.errors import InvalidInputError
from proxy.settings import AppSettings

APP = AppSettings(host="gate", port=1)


def test_a_client_s_own_headers_are_added() -> None:
    head = build_head("post", "/a%20b?x=1&y", [(b"x-a", b"1")], b"{}", APP)
    assert (head.method, head.path, head.query) == ("POST", b"/a%20b", b"x=1&y")
    assert head.headers == [
        (b"host", b"gate:1"),
        (b"authorization", f"Bearer {STAND_IN}".encode()),
        (b"x-a", b"1"),
        (b"content-length", b"2"),
        (b"content-type", b"application/json"),
    ]


def test_what_is_given_stands_in_their_place() -> None:
    given = [
        (b"host", b"h"),
        (b"x-api-key", b"k"),
        (b"content-type", b"text/plain"),
        (b"content-length", b"9"),
    ]
    assert build_head("GET", "/", given, b"body", APP).headers == given
    assert build_head("GET", "/", [], b"", APP, credential="other").headers[1][1] == b"Bearer other"
    assert build_head("GET", "/", [], b"", APP, credential=None).headers[1:] == []
    both = build_head("GET", "/", [(b"x-api-key", b"k")], b"", APP, is_always_added=True).headers[1:]
    assert both == [(b"authorization", f"Bearer {STAND_IN}".encode()), (b"x-api-key", b"k")]


def test_a_header_is_a_name_a_colon_and_a_value() -> None:
    assert read_header("X-Trace-Id:  a:b ") == (b"x-trace-id", b"a:b")
    for text in ("hunter2", "bad name: x", ": x"):
        with pytest.raises(InvalidInputError):
            read_header(text)
    with pytest.raises(InvalidInputError) as caught:
        read_header("hunter2")
    assert "hunter2" not in str(caught.value)
