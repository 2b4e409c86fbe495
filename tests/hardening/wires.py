"""Raw requests out of a grammar, most of them spoiled somewhere: what the fuzz run sends.

A wire is a template: `KEY` in a whole credential line stands for the real key, and for a wrong one anywhere
else, so that a key that ends up in some other header is no key. `NUMBER` stands for the number of the run.
"""

from __future__ import annotations

from hypothesis import strategies as st

KEY_LINE = b"\r\nauthorization: Bearer KEY\r\n"
LINE_ENDS = (b"\r\n",) * 120 + (b"\n", b"\r", b"\r\r\n", b"\r\n\r\n", b" \r\n", b"\x00\r\n")
METHODS = (b"GET", b"POST", b"PUT", b"HEAD", b"DELETE", b"OPTIONS")
BAD_METHODS = (b"get", b"", b"GE T", b"TRACE", b"CONNECT", b"PRI", b"\x00", b"G\xc3\x89T")
TARGETS = (b"/t/NUMBER", b"/t/NUMBER?q=1&q=2", b"/t/NUMBER/a%20b", b"/t/NUMBER?")
BAD_TARGETS = (
    b"/t/NUMBER/../x", b"/t/NUMBER/%2e%2e/x", b"//t/NUMBER", b"t/NUMBER", b"*", b"?x", b"",
    b"/t/NUMBER b", b"http://gate.test/t/NUMBER", b"http://evil.test/t/NUMBER", b"/t/NUMBER\x00",
    b"/t/NUMBER#a", b"/t/\xff", b"/t/NUMBER" + b"a" * 300,
)  # fmt: skip
VERSIONS = (b"HTTP/1.1",) * 8 + (b"HTTP/1.0",)
BAD_VERSIONS = (
    b"HTTP/2.0",
    b"HTTP/1.10",
    b"http/1.1",
    b"HTTP/1.1 ",
    b"",
    b"HTTP/0.9",
    b"HTTP/1,1",
    b"ICE/1.0",
)
HOSTS = (b"host: gate.test",) * 8 + (b"Host:gate.test:80",)
BAD_HOSTS = (
    b"x-no: host",
    b"host: a, b",
    b"host:",
    b"host : gate.test",
    b"host: x/#@evil",
    b"host: a\r\nhost: a",
)
LINES = (
    b"x-a: 1", b"X-A:2", b"x-empty:", b"accept: */*", b"x-latin: \xe4", b"cookie: a=b",
    b"connection: keep-alive", b"connection: x-a", b"te: trailers", b"user-agent: fuzz",
    b"expect: 100-continue",
)  # fmt: skip
BAD_LINES = (
    b"x-a : 1", b"x a: 1", b": 1", b"x-a", b"x-a: 1\r\n folded", b"x-a: 1\x00", b"x-a: 1\r2",
    b"x-a: 1\n2", b"\tx-a: 1", b"connection: close", b"connection: content-length",
    b"connection: transfer-encoding", b"connection: upgrade\r\nupgrade: h2c", b"content_length: 7",
    b"transfer_encoding: chunked", b"X_Api_Key: 1", b"expect: tea", b"x-api-key: other",
    b"trailer: content-length", b"proxy-connection: close",
)  # fmt: skip
BAD_FRAMINGS = (
    b"content-length: 3\r\ncontent-length: 4", b"content-length: 4\r\ncontent-length: 4",
    b"content-length: +4", b"content-length: 4, 4", b"content-length: 0x4", b"content-length: 04",
    b"content-length: 4 ", b"content-length:\t4", b"content-length: -1",
    b"content-length: 99999999999999999999", b"content-length:",
    b"content-length: 4\r\ntransfer-encoding: chunked",
    b"transfer-encoding: chunked\r\ncontent-length: 4", b"transfer-encoding: chunked, chunked",
    b"transfer-encoding: gzip, chunked", b"transfer-encoding: identity", b"transfer-encoding: xchunked",
    b"transfer-encoding : chunked", b"transfer-encoding:\x0bchunked",
    b"transfer-encoding: chunked\r\ntransfer-encoding: chunked", b"transfer-encoding: Chunked",
    b"transfer-encoding: chunked, identity", b"transfer-encoding: \r\n chunked", b"content-length: 4\n",
    b"content-length: 2000", b"content-length: 5",
)  # fmt: skip
CHUNKED = b"transfer-encoding: chunked"
BAD_BODIES = (
    b"0\r\n\r\n", b"4\r\nbody\r\n0\r\n\r\n", b"4\nbody\n0\n\n", b"4\r\nbody0\r\n\r\n",
    b"+4\r\nbody\r\n0\r\n\r\n", b"0x4\r\nbody\r\n0\r\n\r\n", b"4 ;a\r\nbody\r\n0\r\n\r\n",
    b"4;a=\"\r\n\"\r\nbody\r\n0\r\n\r\n", b"00000000000000004\r\nbody\r\n0\r\n\r\n",
    b"fffffffffffffffff\r\n", b"4\r\nbody\r\n0\r\nx: 1\r\n\r\n",
    b"4\r\nbody\r\n0\r\ncontent-length: 9\r\n\r\n", b"4\r\nbody\r\n", b"-1\r\n",
    b"4\r\nbody\r\n0\r\n \r\n", b"", b"body", b"bod",
    b"GET /t/NUMBER HTTP/1.1\r\nhost: gate.test\r\n\r\n", b"4\r\nbody\r\r\n0\r\n\r\n",
)  # fmt: skip


def usually(good: tuple[bytes, ...], bad: tuple[bytes, ...]) -> st.SearchStrategy[bytes]:
    """Draw from the good ones nine times of ten."""
    return st.integers(0, 9).flatmap(lambda number: st.sampled_from(good if number else bad))


@st.composite
def good_body(draw: st.DrawFn) -> tuple[bytes, bytes, bytes]:
    """Draw a framing line, the body with that framing, and the body without it."""
    body = draw(st.binary(max_size=40))
    kind = draw(st.sampled_from(("length", "chunks")))
    if kind == "length":
        return b"content-length: %d" % len(body), body, body
    cuts = sorted(draw(st.lists(st.integers(1, len(body)), max_size=3, unique=True))) if body else []
    pieces = [body[start:end] for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True)]
    extension = draw(st.sampled_from((b"", b";a=b", b';a="b"')))
    chunks = [b"%x%b\r\n%b\r\n" % (len(piece), extension, piece) for piece in pieces if piece]
    trailer = draw(st.sampled_from((b"", b"x-trailer: 1\r\n", b"x-api-key: fg_nobody\r\n")))
    return CHUNKED, b"".join((*chunks, b"0\r\n", trailer, b"\r\n")), body


@st.composite
def request(draw: st.DrawFn) -> bytes:
    """Draw one request; about half of them are well-formed."""
    line = b" ".join(
        (draw(usually(METHODS, BAD_METHODS)), draw(usually(TARGETS, BAD_TARGETS)),
         draw(usually(VERSIONS, BAD_VERSIONS)))
    )  # fmt: skip
    lines = [line, draw(usually(HOSTS, BAD_HOSTS)), b"authorization: Bearer KEY"]
    lines += draw(st.lists(usually(LINES, BAD_LINES), max_size=3))
    framing, body, _ = draw(good_body())
    match draw(st.integers(0, 9)):
        case 0 | 1:
            framing, body = draw(st.sampled_from(BAD_FRAMINGS)), draw(st.sampled_from(BAD_BODIES))
        case 2 | 3:
            body = draw(st.sampled_from(BAD_BODIES))
        case 4 | 5:
            framing, body = b"", b""
    if framing:
        lines.insert(draw(st.integers(1, len(lines))), framing)
    return b"".join(each + draw(st.sampled_from(LINE_ENDS)) for each in lines) + b"\r\n" + body


@st.composite
def wire(draw: st.DrawFn) -> bytes:
    """Draw what one connection brings: a few requests, with a byte changed here or there."""
    sent = bytearray(b"".join(draw(st.lists(request(), min_size=1, max_size=3))))
    for _ in range(draw(st.sampled_from((0, 0, 0, 1, 2)))):
        at = draw(st.integers(0, len(sent) - 1))
        sent[at : at + draw(st.integers(0, 2))] = draw(
            st.sampled_from((b"", b" ", b"\t", b"\r\n", b"\0", b":", b"9"))
        )
    return bytes(sent)


@st.composite
def good_requests(draw: st.DrawFn) -> list[tuple[bytes, bytes, bytes, bytes]]:
    """Draw well-formed requests: of each its method, target and body, and how it is written."""
    drawn = []
    for _ in range(draw(st.integers(1, 4))):
        method, target = draw(st.sampled_from(METHODS[:3])), draw(st.sampled_from(TARGETS[:3]))
        framing, written, body = draw(good_body())
        own = (
            b"%b %b HTTP/1.1" % (method, target),
            b"Host:  gate.test",
            b"authorization: Bearer KEY",
            framing,
        )
        lines = (*own, *draw(st.lists(st.sampled_from(LINES[:6]), max_size=3)), b"", b"")
        drawn.append((method, target, body, b"\r\n".join(lines) + written))
    return drawn


def fill(template: bytes, key: str, number: int) -> bytes:
    """Return the bytes of a wire."""
    line = KEY_LINE.replace(b"KEY", key.encode())
    parts = [part.replace(b"KEY", b"fg_nobody") for part in template.split(KEY_LINE)]
    return line.join(parts).replace(b"NUMBER", b"%d" % number)
