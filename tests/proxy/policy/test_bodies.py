"""A body as policy sees it: absent, not read yet, or parsed once."""

from __future__ import annotations

import gzip

import pytest

from proxy.errors import InvalidInputError
from proxy.policy.bodies import Body, BodyUnreadError, announces_body, find_encodings, too_large_message
from proxy.policy.content_encodings import BodyTooLargeError
from proxy.policy.model import HeaderPairs, RequestHead


def make_head(*headers: tuple[bytes, bytes]) -> RequestHead:
    return RequestHead("POST", b"/", b"", headers)


@pytest.mark.parametrize(
    ("headers", "announced"),
    [
        ([], False),
        ([(b"content-length", b"0")], False),
        ([(b"content-length", b"00")], False),
        ([(b"content-length", b"10")], True),
        ([(b"transfer-encoding", b"chunked")], True),
    ],
)
def test_body_is_announced_by_the_framing(headers: HeaderPairs, announced: bool) -> None:
    head = make_head(*headers)
    assert announces_body(head) is announced
    assert Body(head).is_absent is not announced


def test_body_that_came_empty_is_absent_whatever_was_announced() -> None:
    assert Body(make_head((b"transfer-encoding", b"chunked")), b"").is_absent
    assert not Body(make_head(), b"{}").is_absent


@pytest.mark.parametrize(
    ("values", "encodings"),
    [
        ([], []),
        ([b"identity"], []),
        ([b" Identity "], []),
        ([b"GZIP"], [b"gzip"]),
        ([b"identity", b"br"], [b"br"]),
        ([b"gzip, zstd"], [b"gzip", b"zstd"]),
    ],
)
def test_every_encoding_but_identity_is_one(values: list[bytes], encodings: list[bytes]) -> None:
    assert find_encodings(make_head(*((b"content-encoding", value) for value in values))) == encodings


def test_body_is_parsed_once() -> None:
    body = Body(make_head(), b'{"a": 1}')
    assert body.parse() is body.parse()


def test_unread_body_has_to_be_read_and_leaves_no_fault() -> None:
    body = Body(make_head((b"content-length", b"5")))
    with pytest.raises(BodyUnreadError):
        body.parse()
    assert body.fault is None


@pytest.mark.parametrize(
    "body",
    [
        Body(make_head(), b"{"),
        Body(make_head((b"content-encoding", b"gzip")), b"{}"),
        Body(make_head((b"content-encoding", b"br"), (b"content-length", b"5"))),
        Body(make_head((b"content-type", b"image/png"), (b"content-length", b"5"))),
    ],
)
def test_body_that_cannot_be_used_remembers_why(body: Body) -> None:
    for _ in range(2):
        with pytest.raises(InvalidInputError) as caught:
            body.parse()
        assert body.fault is caught.value


def test_message_about_a_large_body_names_the_limit_and_its_setting() -> None:
    assert too_large_message(1_048_576, "proxy.max_body_size", 1_400_000) == (
        "the body is 1,400,000 bytes; proxy.max_body_size allows 1,048,576"
    )
    assert too_large_message(1_048_576, "proxy.max_body_size") == (
        "the body is larger than 1,048,576 bytes, which is what proxy.max_body_size allows"
    )


def test_compressed_body_is_decoded_once_and_kept_as_it_came() -> None:
    raw = gzip.compress(b'{"a": 1}')
    body = Body(make_head((b"content-encoding", b"gzip")), raw)
    assert body.parse() == {"a": 1}
    assert body.read_content() is body.read_content()
    assert body.raw is raw
    with pytest.raises(BodyTooLargeError):
        Body(make_head((b"content-encoding", b"gzip")), raw, 7).parse()


def test_field_of_a_form_is_read_decompressed() -> None:
    head = make_head((b"content-type", b"multipart/form-data; boundary=B"), (b"content-encoding", b"gzip"))
    form = b'--B\r\nContent-Disposition: form-data; name="model"\r\n\r\nm\r\n--B--'
    body = Body(head, gzip.compress(form))
    assert body.is_form
    assert body.read_form_field("model") == "m"
    assert body.read_form_field("other") is None
