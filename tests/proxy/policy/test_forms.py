"""Forms: the one field that is read, and everything that two servers could read in two ways."""

from __future__ import annotations

import email.parser
import email.policy

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.errors import InvalidInputError
from proxy.policy.forms import PARTS_MAX, read_field

MODEL = b'content-disposition: form-data; name="model"\r\n\r\nwhisper-1'
FILE = (
    b'Content-Disposition: form-data; name="file"; filename="a.wav"\r\n'
    b"Content-Type: audio/wav\r\n\r\nRIFF\x00\r\n--\r\n\n"
)


def form(*parts: bytes, end: bytes = b"--\r\n") -> bytes:
    return b"".join(b"--B\r\n" + part + b"\r\n" for part in parts) + b"--B" + end


def named(disposition: bytes, value: bytes = b"x") -> bytes:
    return b"Content-Disposition: " + disposition + b"\r\n\r\n" + value


@pytest.mark.parametrize(
    ("raw", "model"),
    [
        (form(MODEL), "whisper-1"),
        (form(FILE, MODEL), "whisper-1"),
        (form(MODEL, FILE, end=b"--"), "whisper-1"),
        (form(FILE), None),
        (form(named(b"form-data; name=model")), "x"),
        (form(named(b"Form-Data ; NAME = model".replace(b" = ", b"="))), "x"),
        (form(named(b'form-data; name="model"', b"")), ""),
        (form(named(b'form-data; name="model"', "é".encode())), "é"),
        (form(named(b'form-data; name="models"'), MODEL), "whisper-1"),
        (form(named(b'form-data; name="file"; filename="C:\\dir\\a.wav"'), MODEL), "whisper-1"),
    ],
)
def test_the_field_is_read_among_the_parts(raw: bytes, model: str | None) -> None:
    assert read_field(raw, b"B", "model") == model


def test_what_a_client_library_writes_is_read() -> None:
    request = httpx.Request(
        "POST", "http://x", data={"model": "whisper-1"}, files={"file": ("ü.wav", b"RIFF", "audio/wav")}
    )
    boundary = request.headers["content-type"].partition("boundary=")[2].encode()
    assert read_field(request.read(), boundary, "model") == "whisper-1"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"x",
        b"--B",
        b"--B--\r\n",
        form(MODEL, MODEL),
        form(MODEL, named(b'form-data; name="Model"')),
        form(named(b'form-data; name="MODEL"')),
        form(named(b'form-data; name="model"; filename="m"')),
        form(named(b"form-data; name=\"model\"; filename*=utf-8''m")),
        form(named(b'form-data; name="model"', b"x" * 1_025)),
        form(named(b'form-data; name="model"', b"\xff")),
        b"preamble\r\n" + form(MODEL),
        form(MODEL) + b"epilogue",
        form(MODEL, end=b"-- \r\n"),
        form(MODEL, end=b""),
        form(MODEL, end=b"--\n"),
        form(MODEL).replace(b"\r\n", b"\n"),
        form(MODEL).replace(b"--B\r\n", b"--B \r\n", 1),
        form(MODEL).replace(b"--B\r\n", b"--Bx\r\n", 1),
        form(named(b'form-data; name="file"', b"\n--B\nsmuggled"), MODEL),
        form(named(b'form-data; name="file"', b"--B"), MODEL),
        form(b"\r\nno head"),
        form(b"content-type: text/plain\r\n\r\nno name"),
        form(b"no colon\r\n\r\nx"),
        form(b"content-disposition : form-data; name=a\r\n\r\nx"),
        form(b"content-disposition: form-data;\r\n name=a\r\n\r\nx"),
        form(b'content-disposition: form-data; name="a\nb"\r\n\r\nx'),
        form(
            b"content-disposition: form-data; name=a\r\ncontent-disposition: form-data; name=model\r\n\r\nx"
        ),
        form(b"content-disposition: form-data; name=a\r\ncontent-transfer-encoding: base64\r\n\r\nx"),
        form(named(b"attachment; name=model")),
        form(named(b"form-data")),
        form(named(b"form-data; name")),
        form(named(b"form-data; name=a; name=model")),
        form(named(b"form-data; name=a; name*=utf-8''model")),
        form(named(b'form-data; name="m\\odel"')),
        form(named(b'form-data; name="a\\"; name="model"')),
        form(named(b'form-data; filename="a\\"; name="model"')),
        form(named(b'form-data; name="model')),
        form(named(b"form-data; name=model;")),
        form(b"x: " + b"y" * 9_000 + b"\r\n" + MODEL),
        form(*[named(b"form-data; name=a")] * (PARTS_MAX + 1)),
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidInputError):
        read_field(raw, b"B", "model")


def test_as_many_parts_as_are_allowed_are_read() -> None:
    assert read_field(form(*[named(b"form-data; name=a")] * (PARTS_MAX - 1), MODEL), b"B", "model")


def test_error_quotes_nothing_of_the_form() -> None:
    for part in (
        named(b'form-data; name="s3cret'),
        b"s3cret\r\n\r\n",
        named(b"form-data; name=MODEL", b"s3cret"),
    ):
        with pytest.raises(InvalidInputError) as caught:
            read_field(form(part), b"B", "model")
        assert "s3cret" not in caught.value.message


PIECES = st.sampled_from(
    [
        b"--B",
        b"\r\n",
        b"\n",
        b"--",
        b"content-disposition:",
        b" form-data",
        b"; name=",
        b'"',
        b"model",
        b"x",
        b"\\",
    ]
)


@settings(max_examples=300)
@given(pieces=st.lists(PIECES, max_size=25))
def test_whatever_is_read_the_standard_library_reads_too(pieces: list[bytes]) -> None:
    raw = form(b"".join(pieces), MODEL)
    try:
        model = read_field(raw, b"B", "model")
    except InvalidInputError:
        return
    head = b"content-type: multipart/form-data; boundary=B\r\n\r\n"
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + raw)
    models = [
        part.get_content().rstrip("\n")
        for part in message.iter_parts()
        if part.get_param("name", header="content-disposition") == "model"
    ]
    assert models == ([] if model is None else [model])
