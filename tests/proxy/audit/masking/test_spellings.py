"""Secrets in every spelling: nothing of one is left, and what holds none stays as it is."""

from __future__ import annotations

import json
import time
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.audit.masking.mask import SecretMask
from proxy.audit.masking.names import MASK
from proxy.audit.masking.spellings import ESCAPES_MAX, SecretSet, locate, unescape
from proxy.policy.credentials import build_secret

SECRET = b"sk-Ab/9+z=Q_7.x~w"
KEY = build_secret("fg_", "Zz9" * 10).encode()
SPELLINGS = {
    "JSON with slashes escaped": json.dumps(SECRET.decode()).replace("/", "\\/").encode()[1:-1],
    "JSON in JSON": json.dumps(json.dumps(SECRET.decode()).replace("/", "\\/")).encode()[3:-3],
    "every character as \\u": "".join(f"\\u{one:04x}" for one in SECRET).encode(),
    "every character as \\u, upper case": "".join(f"\\u{one:04X}" for one in SECRET).encode(),
    "every character as \\u, in JSON": "".join(f"\\\\u{one:04x}" for one in SECRET).encode(),
    "one character as \\u": SECRET.replace(b"A", b"\\u0041"),
    "every character as \\x": "".join(f"\\x{one:02x}" for one in SECRET).encode(),
    "percent-encoded": quote(SECRET, safe="").encode(),
    "percent-encoded, lower case": quote(SECRET, safe="").replace("%2F", "%2f").encode(),
    "percent-encoded, as a browser does": quote(SECRET, safe="/:=~!*()'").encode(),
    "percent-encoded twice": quote(quote(SECRET, safe=""), safe="").encode(),
    "every character percent-encoded": "".join(f"%{one:02x}" for one in SECRET).encode(),
    "percent-encoded, then as \\u": quote(SECRET, safe="").replace("%", "\\u0025").encode(),
    "base64": b64encode(SECRET),
    "base64 for URLs": urlsafe_b64encode(SECRET).rstrip(b"="),
    "base64 behind a user": b64encode(b"ann:" + SECRET),
    "base64 behind another user": b64encode(b"anna:" + SECRET),
    "base64 behind a third one": b64encode(b"annie:" + SECRET + b"\n"),
    "base64, percent-encoded": quote(b64encode(SECRET), safe="").encode(),
    "base64, in JSON": b64encode(SECRET).replace(b"/", b"\\/"),
}


@pytest.mark.parametrize("spelled", SPELLINGS.values(), ids=SPELLINGS)
@pytest.mark.parametrize("is_presented", [False, True])
def test_nothing_of_a_secret_is_left_however_it_is_spelled(spelled: bytes, is_presented: bool) -> None:
    mask = SecretMask([] if is_presented else [SECRET])
    presented = SecretSet([SECRET] if is_presented else [])
    masked = mask.apply(b'{"echo": "' + spelled + b'", "n": 1}', presented)
    head, _, tail = masked.removeprefix(b'{"echo": "').removesuffix(b'", "n": 1}').partition(MASK)
    # Of base64, characters that hold nothing but bits of the others are left.
    assert len(head) <= 8
    assert tail in (b"", b"=", b"==", b"%3D", b"K")


@pytest.mark.parametrize(
    "spelled",
    [
        KEY,
        b"".join(b"\\u%04x" % one for one in KEY),
        KEY.replace(b"_", b"%5f"),
        *(b64encode(user + KEY) for user in (b"", b"a:", b"ab:", b"abc:")),
        urlsafe_b64encode(b"ann:" + KEY + b"?"),
    ],
)
def test_a_key_of_ours_is_masked_however_it_is_spelled(spelled: bytes) -> None:
    masked = SecretMask().apply(b'"' + spelled + b'"')
    assert MASK in masked
    assert len(masked.replace(MASK, b"")) <= 12


@pytest.mark.parametrize(
    "text", [b"Zmdf" * 30, b64encode(b"fg_" + b"!" * 60), b64encode(b"afg_ is no key" * 9)]
)
def test_what_begins_like_a_key_in_base64_and_is_none_stays(text: bytes) -> None:
    assert SecretMask().apply(text) == text


@pytest.mark.parametrize(
    "secret", ['quo"te&<tag>', "back\\slash", "it's a pass phrase", "pässwörd", "日本語の鍵", "a b+c/d"]
)
@pytest.mark.parametrize("charset", ["utf-8", "latin-1"])
def test_characters_that_encoders_cannot_do_without_escaping(secret: str, charset: str) -> None:
    raw = secret.encode(charset, "ignore") or b"pass&word"
    text = raw.decode(charset)
    markup = (
        json.dumps(text, ensure_ascii=False)
        .replace("&", "\\u0026")
        .replace("<", "\\u003c")
        .replace(">", "\\u003e")
    )
    spellings = [
        raw,
        json.dumps(text).encode()[1:-1],
        json.dumps(text, ensure_ascii=False).encode()[1:-1],
        json.dumps(json.dumps(text)).encode()[3:-3],
        markup.encode()[1:-1],
        "".join(f"\\u{ord(one):04X}" for one in text).encode(),
        quote(raw).encode(),
        quote(raw, safe="").encode(),
        quote_plus(raw).encode(),
    ]
    for spelled in spellings:
        for mask, presented in ((SecretMask([raw]), SecretSet()), (SecretMask(), SecretSet([raw]))):
            assert mask.apply(b"<" + spelled + b">", presented) == b"<" + MASK + b">", spelled


ALPHABET = st.characters(min_codepoint=0x21, max_codepoint=0x7E)
ESCAPES = (
    lambda one: chr(one),
    lambda one: f"\\u{one:04x}",
    lambda one: f"\\u{one:04X}",
    lambda one: f"\\\\u{one:04x}",
    lambda one: f"%{one:02x}",
    lambda one: f"%{one:02X}",
    lambda one: f"%25{one:02X}",
    lambda one: f"\\x{one:02x}",
)
# No character of it is one of a secret's, escaped or not.
TEXT = st.text(st.sampled_from(' \n{}[]"<&\\%é日'), max_size=30).map(lambda text: text.rstrip("\\%"))


@settings(max_examples=500)
@given(
    st.text(st.sampled_from("abcXYZ0189-_./+=~:"), min_size=6, max_size=40),
    st.lists(st.sampled_from(ESCAPES), min_size=40, max_size=40),
    TEXT,
    TEXT,
    st.booleans(),
)
def test_any_mixture_of_escapes_is_masked_and_nothing_else_is(
    secret: str, escapes: list[Callable[[int], str]], before: str, after: str, is_presented: bool
) -> None:
    spelled = "".join(escape(ord(one)) for escape, one in zip(escapes, secret, strict=False))
    mask = SecretMask([] if is_presented else [secret.encode()])
    presented = SecretSet([secret.encode()] if is_presented else [])
    text = f"{before}{spelled}{after}".encode()
    assert mask.apply(text, presented) == before.encode() + MASK + after.encode()


@settings(max_examples=300)
@given(
    st.binary(min_size=6, max_size=40).map(lambda data: bytes(one | 0xE0 for one in data)),
    st.binary(max_size=20).map(lambda data: bytes(one & 0x1F for one in data)),
    st.binary(max_size=20).map(lambda data: bytes(one & 0x1F for one in data)),
    st.booleans(),
)
def test_base64_of_a_secret_among_any_bytes_is_masked(
    secret: bytes, before: bytes, after: bytes, is_url: bool
) -> None:
    encode = urlsafe_b64encode if is_url else b64encode
    encoded = encode(before + secret + after)
    masked = SecretMask([secret]).apply(encoded)
    # What is left before and behind the mask are bits of the others.
    head, found, tail = masked.partition(MASK)
    assert found
    assert len(head) * 6 <= len(before) * 8
    assert len(tail.rstrip(b"=")) * 6 <= len(after) * 8 + 4  # base64 is filled up with zeros


@settings(max_examples=300)
@given(
    st.lists(st.sampled_from([b"\\u0041", b"%41", b"%2541", b"\\/", b"\\\\u002f", b"x", b"%", b"\\", b"25"]))
)
def test_what_was_escaped_is_found_where_it_stood(pieces: list[bytes]) -> None:
    data = b"".join(pieces)
    layers = unescape(data)
    assert layers is not None
    last = layers[-1].data if layers else data
    spans = [locate(layers, (place, place + 1)) for place in range(len(last))]
    # Together they are the whole text, each where the one before it ended.
    assert b"".join(data[start:end] for start, end in spans) == data


@pytest.mark.parametrize(
    "text",
    [
        b'{"text": "line\\nline \\"quoted\\" \\u00e9 \\u65e5 100% \\u003cb\\u003e"}',
        b"a=1%20b&c=%3Cd%3E;e=%E6%97%A5",
        b"https:\\/\\/example.org\\/",
        b"\\" * 1000 + b"%25" * 1000,
    ],
)
def test_other_escapes_stay_as_they_are(text: bytes) -> None:
    assert SecretMask([SECRET]).apply(text, SecretSet([b"presented"])) == text


@pytest.mark.parametrize("word", [b"\\", b"%25", b"\\/", b"\\u00", b"%41", b"Zmdf", b"c2stQWIv"])
def test_a_hostile_text_costs_no_more_than_its_length(word: bytes) -> None:
    started = time.process_time()
    SecretMask([SECRET]).apply(word * 300_000, SecretSet([b"presented"]))
    assert time.process_time() - started < 3


def test_a_text_of_more_escapes_than_anybody_needs_is_one_mask() -> None:
    assert SecretMask().apply(b"%41" * (ESCAPES_MAX + 1)) == MASK
    assert SecretMask().apply(b"%20" * (ESCAPES_MAX + 1)) == b"%20" * (ESCAPES_MAX + 1)


def test_no_secret_is_in_what_a_set_says_of_itself() -> None:
    assert repr(SecretSet([SECRET])) == "SecretSet(1 secrets)"
