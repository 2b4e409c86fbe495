"""Content types: which rule JSON out, and the boundary of a form."""

from __future__ import annotations

import pytest

from proxy.policy.media_types import is_form, read_boundary, read_type, rules_out_json


@pytest.mark.parametrize(
    ("values", "media_type"),
    [
        ([b"application/json"], b"application/json"),
        ([b" Application/JSON ; charset=utf-8"], b"application/json"),
        ([b"multipart/form-data; boundary=x"], b"multipart/form-data"),
        ([], b""),
        ([b""], b""),
        ([b"image"], b""),
        ([b"image/png, application/json"], b""),
        ([b"image/png", b"application/json"], b""),
        ([b"image/png x"], b""),
        ([b"image/\xff"], b""),
    ],
)
def test_type_is_read_where_exactly_one_is_plainly_stated(values: list[bytes], media_type: bytes) -> None:
    assert read_type(values) == media_type


@pytest.mark.parametrize(
    ("media_type", "ruled_out"),
    [
        (b"", False),
        (b"application/json", False),
        (b"application/vnd.api+json", False),
        (b"image/x+json", False),
        (b"text/plain", False),
        (b"application/x-www-form-urlencoded", False),  # which is what `curl -d` says of everything
        (b"application/unknown", False),
        (b"multipart/form-data", True),
        (b"multipart/mixed", True),
        (b"application/octet-stream", True),
        (b"image/png", True),
        (b"audio/wav", True),
        (b"video/mp4", True),
        (b"application/pdf", True),
        (b"application/grpc+proto", True),
    ],
)
def test_only_a_type_that_no_json_comes_under_rules_it_out(media_type: bytes, ruled_out: bool) -> None:
    assert rules_out_json(media_type) is ruled_out


def test_a_form_is_one_kind_of_many_parts() -> None:
    assert is_form(b"multipart/form-data")
    assert not is_form(b"multipart/mixed")


@pytest.mark.parametrize(
    ("value", "boundary"),
    [
        (b"multipart/form-data; boundary=abc", b"abc"),
        (b"multipart/form-data;Boundary=abc", b"abc"),
        (b'multipart/form-data; charset=utf-8 ; boundary="a?b:c" ', b"a?b:c"),
        (b"multipart/form-data; boundary=----WebKitFormBoundaryX1", b"----WebKitFormBoundaryX1"),
        (b"multipart/form-data", None),
        (b"multipart/form-data; boundary=", None),
        (b'multipart/form-data; boundary=""', None),
        (b"multipart/form-data; boundary=a; boundary=b", None),
        (b"multipart/form-data; boundary=a; boundary=a", None),
        (b'multipart/form-data; boundary="a\\"b"', None),
        (b'multipart/form-data; boundary="a b"', None),
        (b"multipart/form-data; boundary=a b", None),
        (b"multipart/form-data; boundary=a;", None),
        (b"multipart/form-data; boundary*=utf-8''a", None),
        (b"multipart/form-data; boundary=" + b"a" * 71, None),
    ],
)
def test_boundary_is_read_where_exactly_one_is_plainly_stated(value: bytes, boundary: bytes | None) -> None:
    assert read_boundary(value) == boundary
