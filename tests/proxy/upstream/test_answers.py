"""Heads of answers as the rules see them: which are taken, and how long a body they state. No I/O."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import UpstreamInvalidError
from proxy.fields import is_field_name, is_field_value
from proxy.upstream.answers import CHUNKED, HEAD_BYTES_MAX, HEADERS_MAX, UNTIL_END, check_answer
from proxy.upstream.faults import InvalidAnswerError

Headers = list[tuple[bytes, bytes]]
LENGTH, CODING = b"content-length", b"transfer-encoding"
CHECKED = (LENGTH, CODING, b"connection", b"upgrade", b"keep-alive", b"proxy-connection")


def refusal(status: int, headers: Headers, version: str = "1.1") -> str:
    with pytest.raises(InvalidAnswerError) as caught:
        check_answer(status, headers, version=version)
    return caught.value.detail


@pytest.mark.parametrize(
    ("headers", "version", "length"),
    [
        ([], "1.1", UNTIL_END),
        ([], "2", UNTIL_END),
        ([(b"Content-Length", b"5")], "1.0", 5),
        ([(b"content-length", b"0")], "2", 0),
        ([(b"Content-Length", b" 010\t")], "1.1", 10),
        ([(b"Content-Length", b"9" * 18)], "1.1", 10**18 - 1),
        ([(b"X-Content-Length", b"5")], "1.1", UNTIL_END),
        ([(b"a", b""), (b"TRANSFER-ENCODING", b" Chunked "), (b"b", b"\tc")], "1.1", CHUNKED),
        ([(b"Server", b"caf\xe9 \xf0\x9f"), (b"x", b"\t")], "1.1", UNTIL_END),
        ([(b"Connection", b"close"), (b"Upgrade", b"h2c")], "1.1", UNTIL_END),
    ],
)
def test_a_head_says_how_long_its_body_is(headers: Headers, version: str, length: int) -> None:
    assert check_answer(200, headers, version=version) == length
    assert check_answer(599, headers, version=version) == length


@pytest.mark.parametrize("status", [0, 99, 100, 103, 199, 600, 999, -200])
@pytest.mark.parametrize("headers", [[], [(b"a", b"b")]])
def test_a_status_that_ends_nothing_is_refused(status: int, headers: Headers) -> None:
    assert refusal(status, headers) == "bad status"


@pytest.mark.parametrize("version", ["0.9", "1.2", "2.0", "3", ""])
def test_a_version_that_is_not_spoken_is_refused(version: str) -> None:
    assert refusal(200, [], version) == "bad version"


@pytest.mark.parametrize("name", [b"", b"a b", b"a:", b":status", b"a\0", b"a\r\nb", b"\xe9", b"a\t"])
@pytest.mark.parametrize("version", ["1.1", "2"])
def test_a_name_that_is_no_token_is_refused(name: bytes, version: str) -> None:
    assert refusal(200, [(b"a", b"b"), (name, b"c")], version) == "bad header name"


@pytest.mark.parametrize(
    "value", [b"a\rb", b"a\nb", b"a\r\nset-cookie: x=y", b"a\0", b"\x1b[31m", b"\x7f", b"a\r\n b"]
)
@pytest.mark.parametrize("version", ["1.1", "2"])
def test_a_value_with_a_control_character_is_refused(value: bytes, version: str) -> None:
    assert refusal(200, [(b"a", value), (b"b", b"c")], version) == "bad header value"


@pytest.mark.parametrize(
    "value",
    [b"", b"-1", b"+5", b"5, 5", b"5,5", b"0x5", b"5.0", b"5 5", b"1_0", b"9" * 19, b"\xb2", b"5;"],
)
def test_a_length_that_is_no_number_is_refused(value: bytes) -> None:
    assert refusal(200, [(b"Content-Length", value)]) == "bad length"


@pytest.mark.parametrize(
    "value", [b"", b"gzip", b"chunked,", b"chunked, chunked", b"gzip, chunked", b"xchunked"]
)
def test_only_chunked_and_nothing_else_is_a_coding(value: bytes) -> None:
    assert refusal(200, [(b"Transfer-Encoding", value)]) == "bad transfer coding"


def test_http_1_0_has_no_coding() -> None:
    assert refusal(200, [(CODING, b"chunked")], "1.0") == "bad transfer coding"


@pytest.mark.parametrize("first", [LENGTH, b"Content-LENGTH", CODING])
@pytest.mark.parametrize("second", [LENGTH, CODING])
def test_a_length_is_stated_once(first: bytes, second: bytes) -> None:
    values = {LENGTH: b"5", CODING: b"chunked"}
    headers = [(first, values[first.lower()]), (b"a", b"b"), (second, values[second])]
    assert refusal(200, headers) == "length stated twice"


@pytest.mark.parametrize("name", [*CHECKED[1:], b"Content-Type"])
def test_http_2_has_nothing_of_http_1_1(name: bytes) -> None:
    assert refusal(200, [(name, b"chunked")], "2") in ("header of HTTP/1.1", "bad header name")


@pytest.mark.parametrize("name", [b"y", b"longer-name"])
def test_a_head_may_be_as_long_as_its_limits_and_no_longer(name: bytes) -> None:
    assert check_answer(200, [(name, b"v")] * HEADERS_MAX, version="1.1") == UNTIL_END
    assert refusal(200, [(name, b"v")] * (HEADERS_MAX + 1)) == "too many headers"
    value = b"v" * (HEAD_BYTES_MAX - len(name) - 4)
    assert check_answer(200, [(name, value)], version="1.1") == UNTIL_END
    assert refusal(200, [(name, value + b"v")]) == "head too large"
    assert refusal(200, [(b"n" * HEAD_BYTES_MAX, b"")]) == "head too large"


def test_a_refusal_tells_the_client_nothing_of_the_answer() -> None:
    with pytest.raises(UpstreamInvalidError) as caught:
        check_answer(200, [(b"x", b"secret\0")], version="1.1")
    assert caught.value.detail == "bad header value"
    assert "secret" not in repr(caught.value) + caught.value.message + caught.value.hint


NAMES = st.sampled_from([*CHECKED, b"Date", b"x-a", b"Content-Length", b"bad name", b""])
VALUES = st.sampled_from([b"5", b"chunked", b"x", b"", b"a\nb"]) | st.binary(max_size=8)


@given(st.lists(st.tuples(NAMES, VALUES), max_size=6), st.sampled_from(["1.0", "1.1", "2"]))
def test_whatever_is_taken_could_have_been_checked_field_by_field(headers: Headers, version: str) -> None:
    try:
        length = check_answer(200, headers, version=version)
    except InvalidAnswerError:
        return
    assert all(is_field_name(name) and is_field_value(value) for name, value in headers)
    stated = [(name.lower(), value) for name, value in headers if name.lower() in (LENGTH, CODING)]
    assert len(stated) <= 1
    if length >= 0:
        assert [(name, int(value)) for name, value in stated] == [(LENGTH, length)]
    else:
        assert [name for name, _ in stated] == ([CODING] if length == CHUNKED else [])
    if version == "2":
        assert not {name for name, _ in headers} & set(CHECKED[1:])
