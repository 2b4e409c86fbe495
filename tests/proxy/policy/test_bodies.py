"""A body as policy sees it: absent, not read yet, or parsed once."""

from __future__ import annotations

import pytest

from proxy.errors import InvalidInputError
from proxy.policy.bodies import Body, BodyUnreadError, announces_body, is_encoded
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
    ("values", "encoded"),
    [
        ([], False),
        ([b"identity"], False),
        ([b" Identity "], False),
        ([b"gzip"], True),
        ([b"identity", b"br"], True),
    ],
)
def test_every_encoding_but_identity_is_one(values: list[bytes], encoded: bool) -> None:
    assert is_encoded(make_head(*((b"content-encoding", value) for value in values))) is encoded


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
        Body(make_head((b"content-encoding", b"gzip"), (b"content-length", b"5"))),
    ],
)
def test_body_that_cannot_be_used_remembers_why(body: Body) -> None:
    for _ in range(2):
        with pytest.raises(InvalidInputError) as caught:
            body.parse()
        assert body.fault is caught.value
