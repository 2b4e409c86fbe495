"""Issue 11, rows 14 and 15, letters c and e: keys for some models, and bodies that a rule has to know."""

from __future__ import annotations

import gzip
import json
import zlib

import pytest
from backports import zstd

from tests.hardening.client import Response
from tests.hardening.gate import Gate, wait_for
from tests.hardening.measures import resident_bytes
from tests.hardening.plays import say

pytestmark = pytest.mark.usefixtures("serving")
MEMORY_BYTES, INSPECTED_BYTES = 24_000_000, 2_000_000
IMAGE = "data:image/png;base64," + "iVBORw0KGgo" * 130_000  # 1.4 MB
CHAT = {
    "model": "gpt-4o",
    "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": IMAGE}}]}],
}
BOUNDARY = "----boundary"
MODELS = json.dumps(
    {"object": "list", "data": [{"id": "gpt-4o"}, {"id": "claude"}, {"id": "gpt-5"}]}
).encode()


@pytest.fixture(scope="module")
def settings() -> str:
    bounds = f"inspect_body_size: {INSPECTED_BYTES}, inspect_memory_max: {MEMORY_BYTES}"
    return f"proxy: {{{bounds}, client_timeout: 2}}"


@pytest.fixture(scope="module")
def key(gate: Gate) -> str:
    """Return a key for the models whose names begin with `gpt-`."""
    made = gate.fastgate.json("keys", "create", "--rate-limit", "0", "--permission", "model:gpt-*")
    gate.wait_for_revision()
    gate.secrets.append(made["key"])
    return str(made["key"])


def post(gate: Gate, key: str, path: str, body: bytes, *lines: str) -> Response:
    head = gate.head(path, f"content-length: {len(body)}", *lines, method="POST", key=key)
    return gate.ask(head + body)


def build_form(model: str, *, is_last: bool = False) -> bytes:
    """Return a transcription as OpenAI's clients send it: a recording, and the model before or behind it."""
    field = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="model"\r\n\r\n{model}\r\n'.encode()
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'.encode()
    file = head + bytes(range(256)) * 2000 + b"\r\n"
    return (file + field if is_last else field + file) + f"--{BOUNDARY}--\r\n".encode()


FORM = f"content-type: multipart/form-data; boundary={BOUNDARY}"
JSON = "content-type: application/json"
SERVED: dict[str, tuple[bytes, tuple[str, ...]]] = {
    "a chat with an image of 1.4 MB": (json.dumps(CHAT).encode(), (JSON,)),
    "a recording": (build_form("gpt-4o-transcribe"), (FORM,)),
    "a recording before its model": (build_form("gpt-4o-transcribe", is_last=True), (FORM,)),
    "gzip": (gzip.compress(json.dumps(CHAT).encode()), (JSON, "content-encoding: gzip")),
    "deflate": (zlib.compress(json.dumps(CHAT).encode()), (JSON, "content-encoding: deflate")),
    "zstd": (zstd.compress(json.dumps(CHAT).encode()), (JSON, "content-encoding: zstd")),
}


@pytest.mark.parametrize("name", SERVED, ids=lambda name: f"row 14: {name}")
def test_what_names_a_model_of_the_key_is_served_byte_for_byte(gate: Gate, key: str, name: str) -> None:
    body, lines = SERVED[name]
    path = gate.new_path()
    assert post(gate, key, path, body, *lines).status == 200
    assert bytes(gate.seen_of(path).body) == body


REFUSED: dict[str, tuple[bytes, tuple[str, ...], int, str]] = {
    "another model": (b'{"model":"claude"}', (JSON,), 403, "claude"),
    "another in a form": (build_form("claude"), (FORM,), 403, "claude"),
    "another in gzip": (
        gzip.compress(b'{"model":"claude"}'),
        (JSON, "content-encoding: gzip"),
        403,
        "claude",
    ),
    "no model": (b"{}", (JSON,), 403, "model"),
    "two models": (b'{"model":"gpt-4o","model":"claude"}', (JSON,), 400, "same name"),
    "two spellings": (b'{"model":"gpt-4o","Model":"claude"}', (JSON,), 403, "model"),
    "garbage": (b"\xff\xfe{", (JSON,), 400, "UTF-8"),
    "no gzip": (b"no gzip", (JSON, "content-encoding: gzip"), 400, "gzip"),
    "a bomb": (
        gzip.compress(b" " * 50_000_000),
        (JSON, "content-encoding: gzip"),
        413,
        "proxy.inspect_body_size",
    ),
    "too long": (b"x" * (INSPECTED_BYTES + 1), (JSON,), 413, "proxy.inspect_body_size"),
}


@pytest.mark.parametrize("name", REFUSED, ids=lambda name: f"row 14: {name}")
def test_anything_else_is_refused_with_a_message_that_says_what_is_wrong(
    gate: Gate, key: str, name: str
) -> None:
    body, lines, status, word = REFUSED[name]
    path = gate.new_path()
    response = post(gate, key, path, body, *lines)
    assert (response.status, word in response.error["message"]) == (status, True), response.error
    if status == 403 and word == "claude":
        assert "gpt-*" in response.error["message"]
    assert gate.backend.seen(path) == []


def test_a_list_of_models_is_narrowed_to_those_of_the_key(gate: Gate, key: str) -> None:
    """Row 14."""
    path = gate.new_path() + "/v1/models"
    gate.backend.play(
        path, say(b'HTTP/1.1 200 OK\r\netag: "a"\r\ncontent-length: %d\r\n\r\n%b' % (len(MODELS), MODELS))
    )
    for asking, expected in ((key, ["gpt-4o", "gpt-5"]), (gate.key, ["gpt-4o", "claude", "gpt-5"])):
        response = gate.ask(gate.head(path, "accept-encoding: gzip", 'if-none-match: "a"', key=asking))
        assert [each["id"] for each in json.loads(response.body)["data"]] == expected
        assert response.values(b"content-length") == [b"%d" % len(response.body)]
    narrowed, whole = gate.backend.seen(path)
    assert (narrowed.values(b"accept-encoding"), narrowed.values(b"if-none-match")) == ([b"identity"], [])
    assert whole.values(b"if-none-match") == [b'"a"']


@pytest.fixture(scope="module")
def by_model(gate: Gate) -> str:
    """Return a path that has a route for one model beside the route for all of them."""
    gate.fastgate("routes", "add", "--match", "/t/m/*", "--to", gate.backend.url, "--body", "model=a")
    gate.wait_for_revision()
    return "/t/m/x"


@pytest.mark.parametrize("kind", ["application/octet-stream", "image/png", "audio/wav"])
def test_a_body_that_is_no_json_is_streamed_past_a_route_for_json(
    gate: Gate, by_model: str, kind: str
) -> None:
    """Row 15: more of it than is ever looked into, and it begins to arrive before it has ended."""
    path, piece = f"{by_model}{gate.new_path().rpartition('/')[2]}", b"u" * 1_000_000
    client = gate.connect()
    client.send(gate.head(path, "content-length: 3000000", f"content-type: {kind}", method="POST") + piece)
    (arrival,) = gate.backend.wait_for(path)
    gate.backend.wait_until(lambda: len(arrival.body) >= 900_000)
    client.send(piece * 2)
    assert client.read_response(b"POST").status == 200
    assert bytes(arrival.body) == piece * 3


def test_a_body_in_the_smallest_chunks_takes_its_size_and_not_for_long(gate: Gate, key: str) -> None:
    """Letter c: the end is withheld; all together have a bound; a byte now and then does not hold it."""
    before = resident_bytes(gate.pid)
    size = 100_000
    half = b"2\r\nxx\r\n" * (size // 2)
    clients = [gate.connect() for _ in range(20)]
    for client in clients:
        client.send(gate.head(gate.new_path(), "transfer-encoding: chunked", method="POST", key=key) + half)
    assert resident_bytes(gate.pid) - before < 3 * 20 * size
    for client in clients:
        client.send(b"2\r\nxx\r\n")  # a sign of life
    answers = [client.read_response(b"POST") for client in clients]
    assert {answer.status for answer in answers} == {408}
    assert {gate.row(answer)["error_message"] for answer in answers} == {"client_timeout"}


def test_bodies_that_are_looked_into_have_a_bound_together(gate: Gate, key: str) -> None:
    """Letter c."""
    piece = b"x" * 1_900_000
    clients = [gate.connect() for _ in range(MEMORY_BYTES // len(piece) + 1)]
    for client in clients:
        head = gate.head(gate.new_path(), "content-length: 2000000", method="POST", key=key)
        client.send(head + piece)
    answers = [client.read_response(b"POST") for client in clients]
    statuses = [answer.status for answer in answers]
    assert statuses.count(503) == 1
    assert statuses.count(408) == len(clients) - 1
    assert {answer.code for answer in answers if answer.status == 503} == {"overloaded"}
    wait_for(
        lambda: post(gate, key, gate.new_path(), b'{"model":"gpt-4o"}').status, lambda status: status == 200
    )


def test_the_limit_is_asked_before_the_body(gate: Gate) -> None:
    """Letter c."""
    made = gate.fastgate.json(
        *("keys", "create", "--rate-limit", "1", "--burst", "1", "--permission", "model:gpt-*")
    )
    gate.wait_for_revision()
    gate.secrets.append(made["key"])
    assert post(gate, made["key"], gate.new_path(), b'{"model":"claude"}').status == 403
    client = gate.connect()
    client.send(gate.head(gate.new_path(), "content-length: 1900000", method="POST", key=made["key"]))
    response = client.read_response(b"POST")  # of the body not a byte was sent
    assert (response.status, response.code) == (429, "rate_limited")
