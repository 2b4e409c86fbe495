"""What is refused before anything else looks at a request: framing, Host, paths, methods."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.policy.framing import find_encoded_slash, find_fault, has_dot_segment, is_request_line
from proxy.policy.model import HeaderPairs, RequestHead

HOST = (b"host", b"gateway.example")
PLAIN_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def find_reason(
    method: str = "GET",
    path: bytes = b"/v1/models",
    query: bytes = b"",
    headers: HeaderPairs = (HOST,),
    http_version: str = "1.1",
) -> str | None:
    fault = find_fault(RequestHead(method, path, query, headers, http_version=http_version))
    return fault[0] if fault else None


@pytest.mark.parametrize(
    "path",
    [
        b"/",
        b"/v1/chat/completions",
        b"/v1/",
        b"/a.b/..c/d../...",
        b"/.well-known/x",
        b"/%E4%BD%A0",
        b"/a%20b",
        b"/a%25b",
        b"/@scope/x:y;v=1,2",
        b"/~user/(a)!$&'*+=",
        b"/a;/b",
    ],
)
def test_plain_path_is_accepted(path: bytes) -> None:
    assert find_reason(path=path) is None


@pytest.mark.parametrize(
    "path",
    [
        b"/..",
        b"/.",
        b"/v1/../admin",
        b"/v1/./admin",
        b"/v1/%2e%2e/admin",
        b"/v1/%2E./admin",
        b"/v1/.%2e",
        b"/v1/%2e",
        b"/v1/..;/admin",
        b"/v1/..;x=1/admin",
        b"/v1/.%2e%3b/admin",
        b"/v1/;/../admin",
        b"/v1%2fadmin",
        b"/v1%2Fadmin",
        b"/v1\\admin",
        b"/v1%5cadmin",
        b"/v1%5Cadmin",
        b"/v1/%00",
        b"/v1/%0d%0aX: y",
        b"/v1/%0A",
        b"/v1//admin",
        b"//evil.example/x",
        b"/v1/%",
        b"/v1/%2",
        b"/v1/%zz",
        b"/v1/a b",
        b"/v1/a\tb",
        b"/v1/a\x00b",
        b"/v1/a\nb",
        b"/v1/a\n",
        b"/v1/\x7f",
        b"/v1/\xc3\xbc",
        b"/v1/secret#.json",
    ],
)
def test_path_that_can_be_read_in_two_ways_is_refused(path: bytes) -> None:
    assert find_reason(path=path) == "bad_path"


def normalise(path: bytes) -> list[bytes]:
    """Decode, cut path parameters, resolve dots: the most that a backend might do to a path."""
    segments: list[bytes] = []
    for segment in unquote_to_bytes(path).replace(b"\\", b"/").split(b"/")[1:]:
        name = segment.partition(b";")[0]
        if name == b"..":
            segments[-1:] = []
        elif name != b".":
            segments.append(segment)
    return segments


PATH_PIECES = st.sampled_from(
    [
        b"/",
        b"a",
        b".",
        b"..",
        b"%2e",
        b"%2F",
        b"%5c",
        b"\\",
        b";",
        b"%3B",
        b"%41",
        b"%25",
        b"%00",
        b"%0a",
        b"?",
    ]
)


@settings(max_examples=250)
@given(pieces=st.lists(PATH_PIECES, max_size=8))
def test_accepted_path_keeps_its_segments_however_a_backend_reads_it(pieces: list[bytes]) -> None:
    path = b"/" + b"".join(pieces)
    if find_reason(path=path) is None:
        assert normalise(path) == [unquote_to_bytes(segment) for segment in path.split(b"/")[1:]]
        assert not set(unquote_to_bytes(path)) & set(b"\x00\r\n")
        assert b"//" not in path


@pytest.mark.parametrize(
    "path",
    [b"/a/..", b"/./a", b"/a/%2e%2E/b", b"/a/..;x/b", b"/a/.%3B", b"/a%2f..", b"/..%2Fa", b"/a%2F%2e%2fb"],
)
def test_dot_segment_is_seen_in_every_spelling(path: bytes) -> None:
    assert has_dot_segment(path)


@pytest.mark.parametrize("path", [b"/", b"/a..", b"/..a", b"/...", b"/.a/b.", b"//"])
def test_dots_within_a_name_are_no_dot_segment(path: bytes) -> None:
    assert not has_dot_segment(path)


@pytest.mark.parametrize("query", [b"", b"a=1&a=2", b"x=%0d%0a", b"next=//evil/../x", b"a=b?c", b"q=[1]"])
def test_any_printable_query_is_accepted(query: bytes) -> None:
    assert find_reason(query=query) is None


@pytest.mark.parametrize("query", [b"a b", b"a\r\nX: y", b"a\x00", b"\xff", b"a#b", b"#"])
def test_query_that_could_end_the_request_line_is_refused(query: bytes) -> None:
    assert find_reason(query=query) == "bad_request"


@pytest.mark.parametrize("path", [b"*", b"", b"v1/models", b"?x"])
def test_target_that_is_no_path_is_refused(path: bytes) -> None:
    assert find_reason(path=path) == "bad_request"


@pytest.mark.parametrize(
    "path", [b"http://evil.example/x", b"http://evil.example", b"https://user@gateway.example/"]
)
def test_absolute_target_that_names_another_host_is_refused_for_its_host(path: bytes) -> None:
    assert find_reason(path=path) == "bad_host"


def test_absolute_target_that_is_still_one_is_refused_even_if_the_host_agrees() -> None:
    assert find_reason(path=b"http://Gateway.example/x") == "bad_request"


@pytest.mark.parametrize("method", PLAIN_METHODS)
def test_usual_method_is_accepted(method: str) -> None:
    assert find_reason(method) is None


@pytest.mark.parametrize(
    "method", ["TRACE", "CONNECT", "get", "Post", "PRI", "PROPFIND", "X" * 100, "", "GET "]
)
def test_other_method_is_refused(method: str) -> None:
    assert find_reason(method) == "bad_request"


@pytest.mark.parametrize(
    "value",
    [
        b"gateway",
        b"gateway.example:8514",
        b"127.0.0.1:80",
        b"[::1]",
        b"[2001:db8::1]:8514",
        b"a_b-c.example.",
    ],
)
def test_plain_host_is_accepted(value: bytes) -> None:
    assert find_reason(headers=[(b"host", value)]) is None


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"x/#@evil",
        b"user@evil",
        b"user:pass@evil",
        b"a,b",
        b"a b",
        b"a:port",
        b"a:",
        b"a:123456",
        b"[::1",
        b"::1",
        b"[]",
        b"[g::1]",
        b"a\n",
        b"http://a",
        b"\xc3\xbc.example",
        b"a" * 254,
    ],
)
def test_malformed_host_is_refused(value: bytes) -> None:
    assert find_reason(headers=[(b"host", value)]) == "bad_host"


@pytest.mark.parametrize("second", [b"gateway.example", b"evil.example"])
def test_doubled_host_is_refused(second: bytes) -> None:
    assert find_reason(headers=[HOST, (b"accept", b"*/*"), (b"host", second)]) == "bad_host"


def test_only_http_1_1_must_name_its_host() -> None:
    assert find_reason(headers=[]) == "bad_host"
    assert find_reason(headers=[], http_version="1.0") is None


@pytest.mark.parametrize(
    "framing",
    [
        [(b"content-length", b"5"), (b"transfer-encoding", b"chunked")],
        [(b"transfer-encoding", b"chunked"), (b"content-length", b"5")],
        [(b"transfer-encoding", b"chunked"), (b"transfer-encoding", b"chunked")],
        [(b"content-length", b"5"), (b"content-length", b"6")],
        [(b"content-length", b"5"), (b"content-length", b"5")],
        [(b"transfer-encoding", b"gzip, chunked")],
        [(b"transfer-encoding", b"identity")],
        [(b"transfer-encoding", b"xchunked")],
        [(b"transfer-encoding", b"")],
    ],
)
def test_framing_in_two_ways_or_unknown_is_refused(framing: list[tuple[bytes, bytes]]) -> None:
    assert find_reason("POST", headers=[HOST, *framing]) == "bad_framing"


@pytest.mark.parametrize(
    "value", [b"", b"+5", b"-1", b"0x10", b"1_0", b"5, 5", b" 5", b"5 ", b"\xd9\xa5", b"1" * 20]
)
def test_malformed_content_length_is_refused(value: bytes) -> None:
    assert find_reason("POST", headers=[HOST, (b"content-length", value)]) == "bad_framing"


@pytest.mark.parametrize(
    "framing", [(b"content-length", b"0"), (b"content-length", b"9" * 19), (b"transfer-encoding", b"Chunked")]
)
def test_plain_framing_is_accepted(framing: tuple[bytes, bytes]) -> None:
    assert find_reason("POST", headers=[HOST, framing]) is None


def test_http_1_0_knows_no_transfer_encoding() -> None:
    headers = [HOST, (b"transfer-encoding", b"chunked")]
    assert find_reason("POST", headers=headers, http_version="1.0") == "bad_framing"


def test_message_repeats_nothing_of_the_request() -> None:
    fault = find_fault(RequestHead("GET", b"/s3cret/../x", b"", [HOST]))
    assert fault is not None
    assert "s3cret" not in fault[1]


@pytest.mark.parametrize(
    ("path", "told"),
    [
        (
            b"/models/Qwen%2FQwen3",
            "the path has %2F at position 12; a route that allows it says --encoded-slash",
        ),
        (b"/a%2fb", "the path has %2f at position 2; a route that allows it says --encoded-slash"),
        (b"/a//b", "the path has an empty segment at position 2"),
        (b"/a/../b", "the path has a segment '.' or '..' at position 3"),
        (b"/a/%2e%2E", "the path has a segment '.' or '..' at position 3"),
        (b"/a\\b", "the path has a '\\' at position 2"),
        (b"/a#b", "the path has a '#' at position 2"),
        (b"/a%5Cb", "the path has %5C at position 2"),
        (b"/a%00", "the path has %00 at position 2"),
        (b"/a%zz", "the path has a '%' without two hexadecimal digits at position 2"),
        (b"/a b", "the path has a space at position 2"),
        (b"/a\x1b[2Jb", "the path has the byte 0x1b at position 2"),
        (b"/\xe2\x80\xae", "the path has the byte 0xe2 at position 1"),
    ],
)
def test_message_says_what_was_found_and_where(path: bytes, told: str) -> None:
    assert find_fault(RequestHead("GET", path, b"", [HOST])) == ("bad_path", told)


def test_message_about_a_query_does_so_too() -> None:
    fault = find_fault(RequestHead("GET", b"/", b"a#b", [HOST]))
    assert fault == ("bad_request", "the query has a '#' at position 1, which no URL can hold")


def find_path_reason(path: bytes) -> str | None:
    fault = find_fault(RequestHead("GET", path, b"", [HOST]), encoded_slash=True)
    return fault[0] if fault else None


@pytest.mark.parametrize(
    "path", [b"/a%2Fb", b"/models/Qwen%2fQwen3-8B", b"/a%2F", b"/a%2Fb%2Fc/d", b"/a%2F.b"]
)
def test_encoded_slash_may_be_let_in_within_a_segment(path: bytes) -> None:
    assert find_path_reason(path) is None
    fault = find_encoded_slash(path)
    assert fault is not None
    assert fault[0] == "bad_path"


@pytest.mark.parametrize(
    "path",
    [
        b"/%2Fa",
        b"/a%2F/b",
        b"/a/%2fb",
        b"/a%2F%2fb",
        b"/a%2F..",
        b"/..%2Fa",
        b"/a%2f%2E%2e%2fb",
        b"/a%2F.;x",
        b"/a%5C%2F",
        b"/a%2F%00",
        b"//a%2F",
        b"/a%2F%",
    ],
)
def test_nothing_else_is_let_in_with_it(path: bytes) -> None:
    assert find_path_reason(path) == "bad_path"


@settings(max_examples=250)
@given(pieces=st.lists(PATH_PIECES, max_size=8))
def test_path_with_encoded_slashes_leaves_no_folder_however_a_backend_reads_it(pieces: list[bytes]) -> None:
    path = b"/" + b"".join(pieces)
    if find_path_reason(path) is None:
        decoded = unquote_to_bytes(path)
        assert normalise(path) == decoded.split(b"/")[1:]
        assert b"//" not in decoded
    assert find_encoded_slash(path.replace(b"%2F", b"")) is None


@pytest.mark.parametrize(
    ("line", "valid"),
    [
        (b"GET /x HTTP/1.1", True),
        (b"OPTIONS * HTTP/1.0", True),
        (b"GET /x RTSP/1.1", False),
        (b"GET /x ICE/1.1", False),
        (b"GET /x HTTP/2.0", False),
        (b"GET /x http/1.1", False),
        (b"GET  /x HTTP/1.1", False),
        (b"GET /x HTTP/1.1 ", False),
        (b"GET /x y HTTP/1.1", False),
        (b"GET /x", False),
        (b"", False),
    ],
)
def test_request_line_is_of_http_and_nothing_else(line: bytes, valid: bool) -> None:
    assert is_request_line(line) is valid
