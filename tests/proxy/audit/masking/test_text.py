"""Bytes written down as text: the same whether remembered or not, and never a credential."""

from __future__ import annotations

import base64
import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.audit.masking import text as text_module
from proxy.audit.masking.mask import SecretMask
from proxy.audit.masking.names import MASK, header_names
from proxy.audit.masking.secrets import PRESENTED_MAX
from proxy.audit.masking.spellings import SecretSet
from proxy.audit.masking.text import CUT_NAME, TEXT_MAX, TextWriter

CANARY = b"CANARY-7f3a"
WIDE = 1 << 20
NAMES = header_names(["Authorization", "x-api-key", "COOKIE"])


def make(*secrets: bytes) -> TextWriter:
    mask = SecretMask(secrets)
    return TextWriter(NAMES, lambda: mask)


def test_headers_keep_order_repetition_and_every_character() -> None:
    pairs = [(b"accept", b"caf\xe9"), (b"accept", b"b"), (b"empty", b""), (b"quote", b'"\\')]
    writer = make()
    for _ in range(2):
        assert json.loads(writer.write_headers(pairs, bytes_max=WIDE)) == [
            ["accept", "café"],
            ["accept", "b"],
            ["empty", ""],
            ["quote", '"\\'],
        ]


def test_named_headers_keep_their_scheme_alone_and_are_never_remembered() -> None:
    writer = make()
    pairs = [(b"authorization", b"Bearer " + CANARY), (b"x-api-key", CANARY), (b"cookie", b"a=" + CANARY)]
    for _ in range(2):
        mask = MASK.decode()
        assert json.loads(writer.write_headers(pairs, bytes_max=WIDE)) == [
            ["authorization", f"Bearer {mask}"],
            ["x-api-key", mask],
            ["cookie", mask],
        ]
    assert CANARY not in repr(vars_of(writer)).encode()


def vars_of(writer: TextWriter) -> list[object]:
    return [writer._fields, writer._texts]


def test_a_secret_in_any_other_header_or_text_is_masked() -> None:
    writer = make(CANARY)
    assert CANARY.decode() not in writer.write_headers([(b"x-echo", b"you sent " + CANARY)], bytes_max=WIDE)
    assert writer.write_text(b"/v1/" + CANARY) == "/v1/" + MASK.decode()


def test_what_a_request_presents_is_masked_where_the_events_of_a_stream_make_it_up() -> None:
    writer, kind = make(), b"text/event-stream"

    def stream_of(*pieces: str) -> bytes:
        deltas = [{"choices": [{"index": 0, "delta": {"content": piece}}]} for piece in pieces]
        return b"".join(b"data: " + json.dumps(delta).encode() + b"\n\n" for delta in deltas)

    spread = stream_of("it is CANA", "RY-7", "f3a, is it not?")
    masked = writer.mask_spread(spread, kind, SecretSet([CANARY]))
    assert json.loads(masked)["choices"][0]["message"]["content"] == "it is [redacted], is it not?"
    # Nothing is merged without need: the recorder does that.
    assert writer.mask_spread(spread, kind, SecretSet([b"another-one"])) == spread
    assert writer.mask_spread(spread, b"text/plain", SecretSet([CANARY])) == spread
    own = b"fg_" + b"a" * 36
    assert writer.mask_spread(stream_of(own.decode()), kind, SecretSet([own])) == stream_of(own.decode())


def test_what_a_request_presents_is_masked_where_it_comes_back() -> None:
    writer = make()
    sent = [(b"authorization", b"Bearer own-key-1"), (b"cookie", b"a=1; session=abcdefgh"), (b"x", b"y")]
    presented = writer.find_presented(sent, b"n=1234567&api%5Fkey=in%20query&key=")
    assert presented.secrets == (b"in%20query", b"own-key-1", b"abcdefgh", b"in query")
    assert writer.write_headers([(b"x-echo", b"own-key-1 and abcdefgh, a=1")], presented, bytes_max=WIDE) == (
        '[["x-echo","[redacted] and [redacted], a=1"]]'
    )
    assert writer.write_body(b"abcdefgh own-key-1", 100, presented) == MASK + b" " + MASK
    assert writer.write_text(b"/abcdefgh/own-key-1", presented) == "/[redacted]/[redacted]"
    assert writer.write_text(b"/abcdefgh/own-key-1") == "/abcdefgh/own-key-1"  # and not remembered masked


@pytest.mark.parametrize(
    "secret", [b'"],["user-agent","', b'],["user-agent"', b"user-agent", b"user-a", b"\\\\\\\\\\\\"]
)
def test_what_a_request_presents_changes_no_name_and_no_json(secret: bytes) -> None:
    sent = [(b"x-api-key", secret), (b"user-agent", b"evil/" + secret), (b"user-agent", b"two")]
    writer = make()
    assert json.loads(writer.write_headers(sent, SecretSet([secret]), bytes_max=WIDE)) == [
        ["x-api-key", "[redacted]"],
        ["user-agent", "evil/[redacted]"],
        ["user-agent", "two"],
    ]


def test_what_a_request_presents_to_cost_much_costs_little_and_grows_nothing() -> None:
    writer = make()
    cookie = b"; ".join(b"=redact" for _ in range(1000))
    sent = [(b"cookie", cookie), (b"x-a", b"redact" * 1330)]
    presented = writer.find_presented(sent, b"")
    assert presented.secrets == (b"redact",)
    started = time.process_time()
    turned = SecretSet(b"redact"[n:] + b"redact" * 3 for n in range(6))
    for secrets in (presented, turned, SecretSet([b"[redacted]", b"redact"])):
        assert len(writer.write_headers(sent, secrets, bytes_max=WIDE)) < 20_000
        assert len(writer.write_body(sent[1][1], 10_000, secrets)) <= 10_000
    assert time.process_time() - started < 1
    many = b"; ".join(b"a=%b" % (b"%d" % n * 6) for n in range(10, 99))
    assert len(writer.find_presented([(b"cookie", many)], b"").secrets) == PRESENTED_MAX


def test_a_body_of_nothing_but_secrets_is_one_mask() -> None:
    assert make().write_body(b"secret" * 10_000, 100_000, SecretSet([b"secret"])) == MASK


def test_a_text_that_is_cut_shows_no_beginning_of_a_secret() -> None:
    writer = make(CANARY)
    text = writer.write_text(b"x" * (TEXT_MAX - 4) + CANARY)
    assert len(text) == TEXT_MAX
    assert "CANA" not in text
    body = writer.write_body(b"x" * 6 + CANARY, 10)
    assert body == b"xxxxxx" + MASK[:4]


def test_a_presented_secret_that_is_longer_than_any_other_is_not_cut_in_two() -> None:
    writer, token = make(), b"ey" * 100
    presented = SecretSet([token])
    margin = writer.find_margin(presented)
    body = b"x" * 990 + token + b"y" * 100
    assert writer.write_body(body[: 1000 + margin], 1000, presented, is_cut=True) == b"x" * 990 + MASK
    assert writer.write_text(b"x" * (TEXT_MAX - 3) + token, presented)[-4:] == "x[re"


def test_what_was_remembered_is_forgotten_with_the_mask() -> None:
    masks = [SecretMask()]
    writer = TextWriter(NAMES, lambda: masks[-1])
    pairs = [(b"x-echo", CANARY)]
    assert CANARY.decode() in writer.write_headers(pairs, bytes_max=WIDE)
    masks.append(SecretMask([CANARY]))
    writer.refresh()
    assert CANARY.decode() not in writer.write_headers(pairs, bytes_max=WIDE) + writer.write_text(CANARY)


def test_what_is_remembered_has_a_bound() -> None:
    writer = make()
    for number in range(3 * text_module._REMEMBERED_MAX):
        writer.write_headers([(b"x-number", b"%d" % number)], bytes_max=WIDE)
        writer.write_text(b"/%d" % number)
    writer.write_headers([(b"x-long", b"x" * 10_000)], bytes_max=WIDE)
    assert len(writer._fields) <= text_module._REMEMBERED_MAX
    assert len(writer._texts) <= text_module._REMEMBERED_MAX
    assert all(len(value) < 1000 for value in writer._fields.values())


@settings(max_examples=200)
@given(st.lists(st.tuples(st.binary(), st.binary())))
def test_any_header_is_text_that_json_reads_back(pairs: list[tuple[bytes, bytes]]) -> None:
    writer = make()
    expected = [[read_slowly(name), read_slowly(value)] for name, value in pairs if name not in NAMES]
    for _ in range(2):
        written = json.loads(writer.write_headers(pairs, bytes_max=WIDE))
        assert [pair for pair in written if pair[0].encode() not in NAMES] == expected


def read_slowly(raw: bytes) -> str:
    text = raw.decode("utf-8", "replace")
    return text if text.encode() == raw else raw.decode("latin-1")


def test_text_is_utf_8_where_it_can_be_whole_or_cut() -> None:
    writer = make()
    agent = "Müller/1.0 日本"
    assert writer.write_text(agent.encode()) == agent
    assert writer.write_text(agent.encode("latin-1", "replace")) == "Müller/1.0 ??"
    assert json.loads(writer.write_headers([(b"user-agent", agent.encode())], bytes_max=WIDE)) == [
        ["user-agent", agent]
    ]
    for size in range(TEXT_MAX - 3, TEXT_MAX + 3):
        assert writer.write_text(("x" * size + "日" * 50).encode()).strip("x日") == ""
    secret = "geheim-日本"
    for held in (secret, secret.encode().decode("latin-1")):
        masked = writer.write_headers([(b"x", held.encode())], SecretSet([held.encode()]), bytes_max=WIDE)
        assert json.loads(masked) == [["x", "[redacted]"]]


def test_the_query_of_the_page_that_a_request_came_from_is_masked_as_its_own_is() -> None:
    page = b"https://ann:" + CANARY + b"@example.org/p?a=1;token=" + CANARY + b"&b=2#access_token=" + CANARY
    writer = make()
    presented = writer.find_presented([(b"referer", page)], b"")
    assert presented.secrets == (CANARY,)
    assert json.loads(writer.write_headers([(b"referer", page)], bytes_max=WIDE)) == [
        ["referer", "https://[redacted]@example.org/p?a=1;token=[redacted]&b=2#access_token=[redacted]"]
    ]
    assert json.loads(writer.write_headers([(b"location", b"/next?key=" + CANARY)], bytes_max=WIDE)) == [
        ["location", "/next?key=[redacted]"]
    ]


def test_a_password_in_a_basic_credential_is_masked_where_it_comes_back() -> None:
    writer = make()
    sent = [(b"authorization", b"Basic " + base64.b64encode(b"ann:" + CANARY))]
    presented = writer.find_presented(sent, b"")
    assert writer.write_body(b"ann, " + CANARY, 100, presented) == b"ann, " + MASK


def test_headers_of_any_size_are_cut_to_what_a_row_keeps() -> None:
    writer = make()
    host, junk = (b"host", b"example.org"), (b"x-junk", b"\xff" * 16_000)
    written = writer.write_headers([host, junk, (b"accept", b"*/*")], bytes_max=2048)
    assert len(written.encode()) <= 2048
    fields = json.loads(written)
    assert [name for name, _ in fields] == ["host", "x-junk", "accept"]
    assert fields[1][1].strip("\xff") == "[cut, 16000 bytes in all]"
    assert len(fields[1][1].encode()) > 400
    many = [(b"x-%d" % number, b"y" * 100) for number in range(100)]
    written = writer.write_headers(many, bytes_max=2048)
    assert len(written) <= 2048
    *fields, last = json.loads(written)
    assert fields == [[f"x-{number}", "y" * 100] for number in range(len(fields))]
    assert last == [CUT_NAME, f"{100 - len(fields)} more fields left out"]
    one = writer.write_headers([(b"x", b"y" * 500)] * 9 + [(b"z", b"z")], bytes_max=4200)
    assert json.loads(one)[-2:] == [["z", "z"], [CUT_NAME, "1 more field left out"]]


def test_a_secret_that_headers_are_cut_in_shows_no_part_of_itself() -> None:
    writer = make(CANARY)
    for before in range(440, 520):
        for spelled in (
            CANARY,
            CANARY.replace(b"-", b"\\u002d"),
            b"".join(b"%%%02x" % one for one in CANARY),
        ):
            value = b"." * before + spelled + b"." * 16_000
            written = writer.write_headers([(b"x", value)], bytes_max=2048)
            assert "CANA" not in written
            assert "%43" not in written
            written = writer.write_headers([(b"x", value)], bytes_max=before + 4)
            assert "CANA" not in written
            assert "%43" not in written


@pytest.mark.parametrize("form", ["%s", "\\u%04x", "%%%02x", "\\\\u%04X", "%%25%02X"])
def test_a_body_that_is_cut_in_an_escaped_secret_shows_no_part_of_it(form: str) -> None:
    secret = CANARY * 8  # a cookie: there is nothing longer that is looked for
    writer, presented = make(), SecretSet([], [secret])
    room, margin = 2000, writer.find_margin(presented)
    spelled = "".join(form % (chr(one) if form == "%s" else one) for one in secret).encode()
    for kept in range(1, len(spelled) + 9):
        body = b"." * (room + margin - kept) + spelled
        written = writer.write_body(body[: room + margin], room, presented, is_cut=True)
        assert not written.replace(MASK, b"").strip(b".[redact"), kept


@settings(max_examples=300)
@given(
    st.lists(st.tuples(st.binary(max_size=30), st.binary(max_size=3000))),
    st.integers(0, 4000),
)
def test_headers_are_json_of_no_more_than_their_bound(pairs: list[tuple[bytes, bytes]], room: int) -> None:
    written = make().write_headers(pairs, bytes_max=max(2, room))
    assert len(written.encode()) <= max(2, room)
    assert all(len(field) == 2 for field in json.loads(written))
