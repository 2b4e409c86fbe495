"""The words of an answer: bounded, deterministic, taken from the last user message."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import InvalidInputError
from proxy.mock import ContentPart, Message, compose_reply, decode_request


def test_reply_quotes_the_last_user_message() -> None:
    turns = [Message("user", "first"), Message("user", "second  one"), Message("assistant", "third")]
    text = compose_reply(b"", turns, None).text
    assert text.startswith('You said: "second one". ')
    assert "first" not in text
    assert "third" not in text


def test_reply_reads_text_parts_and_skips_others() -> None:
    parts = [ContentPart("text", "look at"), ContentPart("image_url"), ContentPart("text", "this")]
    assert compose_reply(b"", [Message("user", parts)], None).text.startswith('You said: "look at this". ')


def test_reply_without_a_prompt_is_still_a_sentence() -> None:
    assert compose_reply(b"", [Message("system", "be brief")], None).text.startswith("You said nothing. ")
    assert compose_reply(b"", [Message("user", None)], None).text.startswith("You said nothing. ")


def test_reply_marks_a_quote_that_was_cut() -> None:
    assert '…". ' in compose_reply(b"", [Message("user", "word " * 13)], None).text
    assert "…" not in compose_reply(b"", [Message("user", "word " * 12)], None).text


def test_reply_ids_differ_with_the_body() -> None:
    turns = [Message("user", "hello")]
    assert compose_reply(b"a", turns, None).digest == compose_reply(b"a", turns, None).digest
    assert compose_reply(b"a", turns, None).digest != compose_reply(b"b", turns, None).digest


@given(prompt=st.text(), repeat=st.integers(1, 50), tokens_max=st.integers(1, 60))
def test_reply_is_bounded_and_truncation_is_a_prefix(prompt: str, repeat: int, tokens_max: int) -> None:
    turns = [Message("user", prompt * repeat)]
    whole, cut = compose_reply(b"", turns, None), compose_reply(b"", turns, tokens_max)
    assert 15 <= len(whole.tokens) <= 30
    assert all(token.split() == [token.strip()] for token in whole.tokens)
    assert not whole.is_truncated
    assert cut.tokens == whole.tokens[:tokens_max]
    assert cut.is_truncated == (tokens_max < len(whole.tokens))


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"\xff", b'{"role":"\xff"}', b'{"role":1}', b'{"role":"u","x":' + b"[" * 100_000],
)
def test_decode_request_refuses_what_is_not_the_request(body: bytes) -> None:
    with pytest.raises(InvalidInputError) as refused:
        decode_request(msgspec.json.Decoder(Message), body)
    assert refused.value.hint
