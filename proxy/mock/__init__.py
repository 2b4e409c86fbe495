"""The demo backend that `fastgate mock`, `fastgate quickstart`, tests and benchmarks talk to.

Here is what its two dialects share: how a request body is read, and which words answer it. It never looks at
keys, clock, network or chance, so that the same request bytes always get the same answer bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from proxy.errors import InvalidInputError

_QUOTED_CHARACTERS_MAX = 120
_QUOTED_WORDS_MAX = 12
_CHARACTERS_PER_TOKEN = 4
_CLOSING_WORDS = "This calm answer comes from the FastGate mock, and the same question always gets it."

T = TypeVar("T")


class ContentPart(msgspec.Struct):
    """One part of a message's content; parts without text, such as images, say nothing here."""

    type: str
    text: str = ""


class Message(msgspec.Struct):
    """One turn of a conversation, as both providers write it."""

    role: str
    content: str | list[ContentPart] | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """What is answered to one request: `tokens` are words, each but the first with its leading space."""

    digest: str  # 24 hex digits of the request body, from which ids are made
    tokens: tuple[str, ...]
    is_truncated: bool
    input_tokens: int

    @property
    def text(self) -> str:
        """The whole answer."""
        return "".join(self.tokens)


@dataclass(frozen=True, slots=True)
class EventStream:
    """Encoded server-sent events, each ready to be sent by itself; only `tokens` are paced."""

    opening: tuple[bytes, ...]
    tokens: tuple[bytes, ...]
    closing: tuple[bytes, ...]


def decode_request(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """Return the request in `body`; raise InvalidInputError, which names the place, if it is not one."""
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInputError(
            f"the request body cannot be used: {error}",
            hint="send a JSON object with the fields that this endpoint defines",
        ) from None


def compose_reply(body: bytes, messages: Sequence[Message], tokens_max: int | None) -> Reply:
    """Return the answer to the last user message among `messages`, cut after `tokens_max` tokens."""
    words = _quote(_find_prompt(messages)) + _CLOSING_WORDS.split()
    tokens = tuple(word if index == 0 else f" {word}" for index, word in enumerate(words))
    return Reply(
        digest=hashlib.sha256(body).hexdigest()[:24],
        tokens=tokens[:tokens_max],
        is_truncated=tokens_max is not None and tokens_max < len(tokens),
        input_tokens=_estimate_tokens(messages),
    )


def _find_prompt(messages: Sequence[Message]) -> str:
    prompts = (_read_text(message) for message in reversed(messages) if message.role == "user")
    return next(prompts, "")


def _read_text(message: Message) -> str:
    if isinstance(message.content, list):
        return " ".join(part.text for part in message.content if part.text)
    return message.content or ""


def _quote(prompt: str) -> list[str]:
    # The prompt may be megabytes long: it is cut before it is split, so that an answer stays about 20 tokens.
    prompt = prompt.strip()
    words = prompt[:_QUOTED_CHARACTERS_MAX].split()
    if not words:
        return ["You", "said", "nothing."]
    is_cut = len(prompt) > _QUOTED_CHARACTERS_MAX or len(words) > _QUOTED_WORDS_MAX
    quoted = " ".join(words[:_QUOTED_WORDS_MAX]) + ("…" if is_cut else "")
    return f'You said: "{quoted}".'.split()


def _estimate_tokens(messages: Sequence[Message]) -> int:
    characters = sum(len(_read_text(message)) for message in messages)
    return max(1, characters // _CHARACTERS_PER_TOKEN)
