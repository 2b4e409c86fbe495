"""Bodies as text: marked where they are cut or no text, merged where they are a stream of a known kind."""

from __future__ import annotations

import json

import pytest

from proxy.audit.bodies import BodyWriter
from proxy.audit.masking.mask import SecretMask
from proxy.audit.masking.names import MASK

SSE = "text/event-stream; charset=utf-8"
CHUNK = '{{"id":"c1","object":"chat.completion.chunk","choices":[{{"index":0,"delta":{{"content":"{}"}}}}]}}'


def stream(*pieces: str) -> bytes:
    events = [CHUNK.format(piece) for piece in pieces] + ["[DONE]"]
    return "".join(f"data: {event}\n\n" for event in events).encode()


def content_of(text: str) -> str:
    content: str = json.loads(text)["choices"][0]["message"]["content"]
    return content


@pytest.mark.parametrize(
    ("body", "size", "text"),
    [
        (b"plain", 5, "plain"),
        ("日本".encode()[:4], 6, "日[cut at 4 of 6 bytes]"),
        (b"\xff\xfe", 900, "[binary, 900 bytes]"),
        (b"a\x00b", 3, "[binary, 3 bytes]"),
    ],
)
def test_a_body_is_text_or_marked(body: bytes, size: int, text: str) -> None:
    assert BodyWriter().write(body, size, is_cut=size > len(body), is_broken=False) == text


def test_a_stream_of_a_known_kind_is_the_response_that_it_makes_up() -> None:
    body = stream("Hel", "lo")
    assert (
        content_of(BodyWriter().write_stream(body, len(body), SSE, is_cut=False, is_broken=False)) == "Hello"
    )


def test_a_stream_of_no_known_kind_is_text_and_as_long_as_other_bodies() -> None:
    body = b"data: tick\n\n" * 10
    text = BodyWriter(bytes_max=11).write_stream(body, len(body), SSE, is_cut=False, is_broken=False)
    assert text == "data: tick\n[cut at 11 of 120 bytes]"


def test_a_stream_stays_raw_if_that_is_wanted() -> None:
    body = stream("Hello")
    written = BodyWriter(merges_streams=False).write_stream(
        body, len(body), SSE, is_cut=False, is_broken=False
    )
    assert written == body.decode()


def test_what_is_merged_is_bounded_too() -> None:
    body = stream(*["word "] * 200)
    text = BodyWriter(bytes_max=100).write_stream(body, len(body), SSE, is_cut=False, is_broken=False)
    assert len(text.partition("[cut at ")[0]) == 100
    assert "[cut at 100 of " in text


def test_a_secret_spread_over_events_is_masked_once_they_are_merged() -> None:
    body = stream("the key is sk-", "back", "end-1234", ", keep it")
    writer = BodyWriter(mask=SecretMask([b"sk-backend-1234"]))
    text = writer.write_stream(body, len(body), SSE, is_cut=False, is_broken=False)
    assert content_of(text) == f"the key is {MASK.decode()}, keep it"


def test_a_stream_that_broke_off_says_so() -> None:
    body = stream("Hel", "lo")[:-20]
    assert json.loads(BodyWriter().write_stream(body, len(body), SSE, is_cut=False, is_broken=True))[
        "stream_incomplete"
    ]
