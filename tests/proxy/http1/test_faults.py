"""What is refused before any application looks at it: with which status, and what the record gets of it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.http1 import faults
from proxy.http1.faults import Fault
from tests.proxy.http1.test_parser import Recorder, heads, parse, request

BAD_HEADS = {
    "line feeds alone": b"POST /a HTTP/1.1\nHost: a\n\n",
    "a line feed alone between headers": b"POST /a HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
    "a carriage return in a value": b"POST /a HTTP/1.1\r\nX: a\rb\r\n\r\n",
    "a folded line": b"POST /a HTTP/1.1\r\nX: a\r\n b\r\n\r\n",
    "a folded first line": b"POST /a HTTP/1.1\r\n X: a\r\n\r\n",
    "a space before the colon": b"POST /a HTTP/1.1\r\nHost : a\r\n\r\n",
    "a name that is empty": b"POST /a HTTP/1.1\r\n: a\r\n\r\n",
    "a line without a colon": b"POST /a HTTP/1.1\r\nHost\r\n\r\n",
    "a NUL in a value": b"POST /a HTTP/1.1\r\nX: a\0b\r\n\r\n",
    "a NUL in a name": b"POST /a HTTP/1.1\r\nX\0: a\r\n\r\n",
    "a vertical tab behind a value": b"POST /a HTTP/1.1\r\nX: a\x0b\r\n\r\n",
    "a space in the target": b"POST /a b HTTP/1.1\r\n\r\n",
    "a space behind the version": b"POST /a HTTP/1.1 \r\n\r\n",
    "a version that is none": b"POST /a HTTP/1.7\r\n\r\n",
    "another version": b"POST /a HTTP/3.0\r\n\r\n",
    "another protocol": b"POST /a ICE/1.0\r\n\r\n",
    "another protocol with our version": b"POST /a RTSP/1.1\r\n\r\n",
    "two spaces before the target": b"POST  /a HTTP/1.1\r\n\r\n",
}
BAD_LENGTHS = [
    *(
        b"Content-Length: " + value
        for value in (b"+5", b"-1", b"0x5", b"5_0", b"5, 5", b"5 5", b"", b"9" * 22, b"a")
    ),
    b"Content-Length: 3\r\nContent-Length: 3",
    b"Content-Length: 3\r\nContent-Length: 4",
    b"Content-Length: 3\r\nTransfer-Encoding: chunked",
    b"Transfer-Encoding: chunked\r\nContent-Length: 3",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
]


@pytest.mark.parametrize("data", BAD_HEADS.values(), ids=BAD_HEADS.keys())
def test_a_head_that_is_not_well_formed_is_a_bad_request(data: bytes) -> None:
    recorder = parse(data + request(b"GET /next HTTP/1.1"))
    assert recorder.fault == (400, "bad_request")
    assert recorder.faulty_line is not None
    assert recorder.faulty_line[0] == "POST"
    assert recorder.faulty_line[1].startswith(b"/a")
    assert recorder.events[:-1] == ["begin"]


@pytest.mark.parametrize("line", [b"GET /b RTSP/1.1", b"POST /b RTSP/1.0", b"GET  /b HTTP/1.1"])
@pytest.mark.parametrize(
    "before", [request(b"GET /a HTTP/1.1"), request(b"GET /a HTTP/1.1", b"Upgrade: x") + b"\r\n"]
)
def test_another_protocol_is_refused_behind_a_good_request_however_it_is_cut(
    line: bytes, before: bytes
) -> None:
    """Issue 11 l."""
    data = before + request(line, b"Host: a")
    for cut in range(len(data)):
        recorder = parse(data[:cut], data[cut:])
        assert recorder.fault == (400, "bad_request"), cut
        assert heads(recorder) == [("GET", b"/a")]


@pytest.mark.parametrize("header", BAD_LENGTHS)
def test_a_length_in_no_valid_way_is_bad_framing(header: bytes) -> None:
    recorder = parse(request(b"POST /a HTTP/1.1", b"Host: a", header) + b"abc" + request())
    assert recorder.fault == (400, "bad_framing")
    assert recorder.faulty_line == ("POST", b"/a")
    _, head = recorder.events[-1]
    assert (b"host", b"a") in head.headers
    assert not head.is_kept_alive


@pytest.mark.parametrize("version", [b"HTTP/0.9", b"HTTP/2.0"])
def test_another_version_is_told_apart(version: bytes) -> None:
    recorder = parse(request(b"GET /a " + version, b"Host: a") + request())
    assert recorder.fault == (505, "bad_request")
    assert recorder.faulty_line == ("GET", b"/a")


def test_the_preface_of_http2_is_a_bad_request() -> None:
    recorder = parse(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0")
    assert recorder.fault == (400, "bad_request")


@pytest.mark.parametrize(
    "data", [b"\x16\x03\x01\x02\0\1\0", b"\0", b"SSH-2.0-x\r\n", b"POXT / HTTP/1.1\r\n\r\n"]
)
def test_bytes_of_another_protocol_are_refused_at_once(data: bytes) -> None:
    assert parse(data).fault == (400, "bad_request")


def test_a_simple_request_of_http_0_9_is_refused_or_has_no_end() -> None:
    assert parse(b"GET /\r\n").events == ["begin"]
    assert parse(b"GET /\r\n\r\n").fault[1] == "bad_request"


@pytest.mark.parametrize("method", [b"get", b"FOO", b"A" * 100, b"POXT"])
def test_a_method_that_is_none_is_told_where_the_line_can_be_read(method: bytes) -> None:
    recorder = parse(request(method + b" /a HTTP/1.1", b"Host: a"))
    assert recorder.fault == (400, "bad_request")
    assert recorder.faulty_line == (method.decode(), b"/a")


def test_a_fault_is_never_told_with_the_line_of_another_request() -> None:
    good = request(b"GET /good HTTP/1.1")
    bad = parse(good + request(b"GET /bad HTTP/1.1", b"bad header"))
    assert heads(bad) == [("GET", b"/good")]
    assert bad.faulty_line == ("GET", b"/bad")
    assert parse(good + request(b"FOO /bad HTTP/1.1")).faulty_line is None
    assert parse(good + b"PO", b"X /tail HTTP/1.1\r\n\r\n").faulty_line is None
    assert parse(good, request(b"FOO /bad HTTP/1.1")).faulty_line == ("FOO", b"/bad")
    assert parse(b"PO", b"X /tail HTTP/1.1\r\n\r\n").faulty_line == ("POX", b"/tail")


@pytest.mark.parametrize("value", [b"200-ok", b"", b"100-continue, x", b"a" * 100])
def test_an_expectation_that_nobody_meets_is_refused_with_its_whole_head(value: bytes) -> None:
    data = request(b"POST /a HTTP/1.1", b"Expect: " + value, b"X-Api-Key: k", b"Content-Length: 3")
    for cut in range(len(data)):
        recorder = parse(data[:cut], data[cut:])
        assert recorder.fault == (417, "bad_request")
        assert (b"x-api-key", b"k") in recorder.events[-1][1].headers


def test_the_one_expectation_that_is_met_is_no_fault() -> None:
    assert heads(parse(request(b"POST / HTTP/1.1", b"Expect: 100-Continue ", b"Content-Length: 3")))


@pytest.mark.parametrize(
    "body",
    [
        b"zz\r\n",
        b"3\nabc\n0\n\n",
        b"3 \r\nabc\r\n",
        b"3\r\nabcd\r\n",
        b"-1\r\n",
        b"0x3\r\nabc\r\n",
        b"0\r\na\r\n\r\n",
    ],
)
def test_a_bad_chunk_breaks_the_body_and_ends_what_is_read(body: bytes) -> None:
    recorder = parse(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + body + request())
    assert recorder.events[-1] == "broken"
    assert len(heads(recorder)) == 1
    assert "end" not in recorder.events


@settings(max_examples=150)
@given(
    st.sampled_from(
        [*BAD_HEADS.values(), *(b"PUT /b HTTP/1.1\r\n" + bad + b"\r\n\r\n" for bad in BAD_LENGTHS)]
    ),
    st.data(),
)
def test_a_fault_is_the_last_that_is_told_however_the_bytes_are_cut(bad: bytes, data: st.DataObject) -> None:
    stream = request() + bad + request() * 2
    cut = data.draw(st.integers(0, len(stream)))
    recorder = parse(stream[:cut], stream[cut:], request())
    assert recorder.fault == parse(bad).fault
    assert len(recorder.events) == 5


@settings(max_examples=150)
@given(
    st.lists(
        st.one_of(
            st.binary(max_size=20), st.sampled_from([request(), b"\r\n", b"0\r\n", b"POST / HTTP/1.1\r\n"])
        )
    )
)
def test_no_bytes_raise_and_at_most_one_fault_is_told(pieces: list[bytes]) -> None:
    recorder: Recorder = parse(*pieces)
    ends = [event for event in recorder.events if isinstance(event, tuple) and isinstance(event[0], Fault)]
    ends += [event for event in recorder.events if event == "broken"]
    assert ends == recorder.events[-len(ends) :] if ends else True
    assert len(ends) <= 1


def test_every_fault_has_a_status_and_words_for_the_client() -> None:
    all_faults = [fault for fault in vars(faults).values() if isinstance(fault, Fault)]
    assert {fault.status for fault in all_faults} == {400, 408, 414, 417, 431, 500, 503, 505}
    assert all(fault.message and fault.reason for fault in all_faults)
