"""Bytes written down as text: the same whether remembered or not, and never a credential."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.audit import scribe as scribe_module
from proxy.audit.redact import MASK, header_names
from proxy.audit.scribe import TEXT_MAX, Scribe
from proxy.audit.secrets import PRESENTED_MAX, SecretMask

CANARY = b"CANARY-7f3a"
NAMES = header_names(["Authorization", "x-api-key", "COOKIE"])


def make(*secrets: bytes) -> Scribe:
    mask = SecretMask(secrets)
    return Scribe(NAMES, lambda: mask)


def test_headers_keep_order_repetition_and_every_character() -> None:
    pairs = [(b"accept", b"caf\xe9"), (b"accept", b"b"), (b"empty", b""), (b"quote", b'"\\')]
    scribe = make()
    for _ in range(2):
        assert json.loads(scribe.write_headers(pairs)) == [
            ["accept", "café"],
            ["accept", "b"],
            ["empty", ""],
            ["quote", '"\\'],
        ]


def test_named_headers_keep_their_scheme_alone_and_are_never_remembered() -> None:
    scribe = make()
    pairs = [(b"authorization", b"Bearer " + CANARY), (b"x-api-key", CANARY), (b"cookie", b"a=" + CANARY)]
    for _ in range(2):
        mask = MASK.decode()
        assert json.loads(scribe.write_headers(pairs)) == [
            ["authorization", f"Bearer {mask}"],
            ["x-api-key", mask],
            ["cookie", mask],
        ]
    assert CANARY not in repr(vars_of(scribe)).encode()


def vars_of(scribe: Scribe) -> list[object]:
    return [scribe._fields, scribe._texts]


def test_a_secret_in_any_other_header_or_text_is_masked() -> None:
    scribe = make(CANARY)
    assert CANARY.decode() not in scribe.write_headers([(b"x-echo", b"you sent " + CANARY)])
    assert scribe.write_text(b"/v1/" + CANARY) == "/v1/" + MASK.decode()


def test_what_a_request_presents_is_masked_where_the_events_of_a_stream_make_it_up() -> None:
    scribe, kind = make(), b"text/event-stream"

    def stream_of(*pieces: str) -> bytes:
        deltas = [{"choices": [{"index": 0, "delta": {"content": piece}}]} for piece in pieces]
        return b"".join(b"data: " + json.dumps(delta).encode() + b"\n\n" for delta in deltas)

    spread = stream_of("it is CANA", "RY-7", "f3a, is it not?")
    masked = scribe.mask_spread(spread, kind, [CANARY])
    assert json.loads(masked)["choices"][0]["message"]["content"] == "it is [redacted], is it not?"
    # Nothing is merged without need: the recorder does that.
    assert scribe.mask_spread(spread, kind, [b"another-one"]) == spread
    assert scribe.mask_spread(spread, b"text/plain", [CANARY]) == spread
    own = b"fg_" + b"a" * 36
    assert scribe.mask_spread(stream_of(own.decode()), kind, [own]) == stream_of(own.decode())


def test_what_a_request_presents_is_masked_where_it_comes_back() -> None:
    scribe = make()
    sent = [(b"authorization", b"Bearer own-key-1"), (b"cookie", b"a=1; session=abcdefgh"), (b"x", b"y")]
    presented = scribe.find_presented(sent, b"n=1234567&api%5Fkey=in%20query&key=")
    assert sorted(presented) == sorted([b"own-key-1", b"abcdefgh", b"in query", b"in%20query"])
    assert presented[0] == b"in%20query"
    assert scribe.write_headers([(b"x-echo", b"own-key-1 and abcdefgh, a=1")], presented) == (
        '[["x-echo","[redacted] and [redacted], a=1"]]'
    )
    assert scribe.write_body(b"abcdefgh own-key-1", 100, presented) == MASK + b" " + MASK
    assert scribe.write_text(b"/abcdefgh/own-key-1", presented) == "/[redacted]/[redacted]"
    assert scribe.write_text(b"/abcdefgh/own-key-1") == "/abcdefgh/own-key-1"  # and not remembered masked


@pytest.mark.parametrize(
    "secret", [b'"],["user-agent","', b'],["user-agent"', b"user-agent", b"user-a", b"\\\\\\\\\\\\"]
)
def test_what_a_request_presents_changes_no_name_and_no_json(secret: bytes) -> None:
    sent = [(b"x-api-key", secret), (b"user-agent", b"evil/" + secret), (b"user-agent", b"two")]
    scribe = make()
    assert json.loads(scribe.write_headers(sent, [secret])) == [
        ["x-api-key", "[redacted]"],
        ["user-agent", "evil/[redacted]"],
        ["user-agent", "two"],
    ]


def test_what_a_request_presents_to_cost_much_costs_little_and_grows_nothing() -> None:
    scribe = make()
    cookie = b"; ".join(b"=redact" for _ in range(1000))
    sent = [(b"cookie", cookie), (b"x-a", b"redact" * 1330)]
    presented = scribe.find_presented(sent, b"")
    assert presented == [b"redact"]
    started = time.process_time()
    for secrets in (presented, [b"redact"[n:] + b"redact" * 3 for n in range(6)], [b"[redacted]", b"redact"]):
        assert len(scribe.write_headers(sent, secrets)) < 20_000
        assert len(scribe.write_body(sent[1][1], 10_000, secrets)) <= 10_000
    assert time.process_time() - started < 1
    many = b"; ".join(b"a=%b" % (b"%d" % n * 6) for n in range(10, 99))
    assert len(scribe.find_presented([(b"cookie", many)], b"")) == PRESENTED_MAX


def test_a_body_of_nothing_but_secrets_is_one_mask() -> None:
    assert make().write_body(b"secret" * 10_000, 100_000, [b"secret"]) == MASK


def test_a_text_that_is_cut_shows_no_beginning_of_a_secret() -> None:
    scribe = make(CANARY)
    text = scribe.write_text(b"x" * (TEXT_MAX - 4) + CANARY)
    assert len(text) == TEXT_MAX
    assert "CANA" not in text
    body = scribe.write_body(b"x" * 6 + CANARY, 10)
    assert body == b"xxxxxx" + MASK[:4]


def test_a_presented_secret_that_is_longer_than_any_other_is_not_cut_in_two() -> None:
    scribe, token = make(), b"ey" * 100
    margin = scribe.find_margin([token])
    body = b"x" * 990 + token + b"y" * 100
    assert scribe.write_body(body[: 1000 + margin], 1000, [token], is_cut=True) == b"x" * 990 + MASK
    assert scribe.write_text(b"x" * (TEXT_MAX - 3) + token, [token])[-4:] == "x[re"


def test_what_was_remembered_is_forgotten_with_the_mask() -> None:
    masks = [SecretMask()]
    scribe = Scribe(NAMES, lambda: masks[-1])
    pairs = [(b"x-echo", CANARY)]
    assert CANARY.decode() in scribe.write_headers(pairs)
    masks.append(SecretMask([CANARY]))
    scribe.refresh()
    assert CANARY.decode() not in scribe.write_headers(pairs) + scribe.write_text(CANARY)


def test_what_is_remembered_has_a_bound() -> None:
    scribe = make()
    for number in range(3 * scribe_module._REMEMBERED_MAX):
        scribe.write_headers([(b"x-number", b"%d" % number)])
        scribe.write_text(b"/%d" % number)
    scribe.write_headers([(b"x-long", b"x" * 10_000)])
    assert len(scribe._fields) <= scribe_module._REMEMBERED_MAX
    assert len(scribe._texts) <= scribe_module._REMEMBERED_MAX
    assert all(len(value) < 1000 for value in scribe._fields.values())


@settings(max_examples=200)
@given(st.lists(st.tuples(st.binary(), st.binary())))
def test_any_header_is_text_that_json_reads_back(pairs: list[tuple[bytes, bytes]]) -> None:
    scribe = make()
    expected = [[read_slowly(name), read_slowly(value)] for name, value in pairs if name not in NAMES]
    for _ in range(2):
        written = json.loads(scribe.write_headers(pairs))
        assert [pair for pair in written if pair[0].encode() not in NAMES] == expected


def read_slowly(raw: bytes) -> str:
    text = raw.decode("utf-8", "replace")
    return text if text.encode() == raw else raw.decode("latin-1")


def test_text_is_utf_8_where_it_can_be_whole_or_cut() -> None:
    scribe = make()
    agent = "Müller/1.0 日本"
    assert scribe.write_text(agent.encode()) == agent
    assert scribe.write_text(agent.encode("latin-1", "replace")) == "Müller/1.0 ??"
    assert json.loads(scribe.write_headers([(b"user-agent", agent.encode())])) == [["user-agent", agent]]
    for size in range(TEXT_MAX - 3, TEXT_MAX + 3):
        assert scribe.write_text(("x" * size + "日" * 50).encode()).strip("x日") == ""
    secret = "geheim-日本"
    for held in (secret, secret.encode().decode("latin-1")):
        masked = scribe.write_headers([(b"x", held.encode())], [held.encode()])
        assert json.loads(masked) == [["x", "[redacted]"]]
