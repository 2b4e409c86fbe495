"""HTTP/2 over TLS, which Hypercorn speaks in front of the gateway: what ASGI does not say of it is seen to
here.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator

import httpx
import pytest
import trustme

from tests.e2e.processes import HYPERCORN
from tests.hardening.answers import EVENT_STREAM, answer, chunk, chunked_head, cut, head
from tests.hardening.backend_fixtures import Gate, run_gate
from tests.hardening.faults import BOUND_SECONDS, Call

MEGABYTE = b"u" * (1 << 20)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory, authority: trustme.CA) -> Iterator[Gate]:
    folder = tmp_path_factory.mktemp("gate")
    issued = authority.issue_cert("localhost", "127.0.0.1")
    issued.private_key_pem.write_to_path(folder / "key.pem")
    issued.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    tls = ("--certfile", str(folder / "cert.pem"), "--keyfile", str(folder / "key.pem"))
    with run_gate(folder, proxy="timeout: 5, max_body_size: 2MB", front=HYPERCORN, serving=tls) as served:
        yield served


@pytest.fixture
def client(gate: Gate, authority: trustme.CA) -> Iterator[httpx.Client]:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    with httpx.Client(
        base_url=gate.running.url,
        http1=False,
        http2=True,
        verify=context,
        headers={"authorization": f"Bearer {gate.key}"},
        timeout=BOUND_SECONDS,
        trust_env=False,
    ) as made:
        yield made


def send_pieces(*pieces: bytes) -> Iterator[bytes]:
    """Return a body of which nobody knows the length."""
    yield from pieces


def connection_of(client: httpx.Client) -> object:
    """Return the connection on which another request is served."""
    response = client.get("/f/another")
    assert response.content == b"ok"
    return response.extensions["network_stream"]


def test_the_authority_is_the_host_and_the_row_is_whole(gate: Gate, client: httpx.Client) -> None:
    response = client.get("/f/get?a=1")
    assert (response.http_version, response.status_code, response.content) == ("HTTP/2", 200, b"ok")
    (call,) = gate.backend.calls_of("/f/get")
    assert call.target == b"/f/get?a=1"
    sent = call.header(b"x-forwarded-host")
    assert sent == [f"127.0.0.1:{gate.port}".encode()]
    assert call.header(b"transfer-encoding") == call.header(b"content-length") == []


@pytest.mark.parametrize(
    ("pieces", "framing"),
    [((b"one", b"two"), "chunked"), ((b"onetwo",), "chunked"), ((MEGABYTE,), "chunked")],
    ids=["pieces", "one piece", "a megabyte"],
)
def test_a_body_needs_no_length(
    gate: Gate, client: httpx.Client, pieces: tuple[bytes, ...], framing: str
) -> None:
    path = f"/f/unstated/{len(pieces[0])}"
    assert client.post(path, content=send_pieces(*pieces)).status_code == 200
    (call,) = gate.backend.calls_of(path)
    assert call.body == b"".join(pieces)
    assert call.header(b"transfer-encoding") == [framing.encode()]


def test_a_body_with_its_length_keeps_it(gate: Gate, client: httpx.Client) -> None:
    assert client.post("/f/stated", content=b"body").status_code == 200
    (call,) = gate.backend.calls_of("/f/stated")
    assert (call.body, call.header(b"content-length"), call.header(b"transfer-encoding")) == (
        b"body",
        [b"4"],
        [],
    )


def test_a_post_without_a_body_has_none_upstream(gate: Gate, client: httpx.Client) -> None:
    # httpx says content-length: 0, unless it is taken away.
    request = client.build_request("POST", "/f/empty")
    del request.headers["content-length"]
    assert client.send(request).status_code == 200
    (call,) = gate.backend.calls_of("/f/empty")
    assert call.header(b"transfer-encoding") == []
    assert call.body == b""


@pytest.mark.parametrize("size", [0, 200], ids=["at once", "after some"])
@pytest.mark.parametrize("framing", ["chunked", "content-length"])
def test_an_answer_that_breaks_off_is_no_whole_one(
    gate: Gate, client: httpx.Client, framing: str, size: int
) -> None:
    path, body = f"/f/broken/{framing}/{size}", b"x" * size
    start = chunked_head(*EVENT_STREAM) + chunk(body) if size else chunked_head(*EVENT_STREAM)
    data = start if framing == "chunked" else head("content-length: 500") + body
    gate.backend.play(path, cut(data, len(data)))
    received, connection = b"", connection_of(client)
    with client.stream("GET", path) as response:
        assert response.status_code == 200
        pieces = response.iter_raw()
        while len(received) < size:
            received += next(pieces)
        with pytest.raises(httpx.RemoteProtocolError):
            next(pieces)
    assert received == body
    assert connection_of(client) is connection
    (row,) = gate.wait_for_rows("path = ?", path, count=1)
    assert row["error_message"] == "upstream_truncated"


def test_an_early_answer_does_not_end_the_other_requests_of_its_connection(
    gate: Gate, client: httpx.Client
) -> None:
    connection = connection_of(client)
    for _ in range(5):
        refused = client.post(
            "/f/early", content=send_pieces(*[MEGABYTE] * 3), headers={"authorization": "Bearer no"}
        )
        assert refused.status_code == 401
        large = client.post("/f/large", content=send_pieces(*[MEGABYTE] * 3))
        assert (large.status_code, large.json()["error"]["code"]) == (413, "body_too_large")
        assert connection_of(client) is connection


def test_a_client_that_leaves_a_stream_leaves_nothing_upstream(gate: Gate, client: httpx.Client) -> None:
    async def send_on(call: Call) -> None:
        await call.send(chunked_head(*EVENT_STREAM) + chunk(b"data: 1\n\nda"))
        await call.connection.wait_closed()

    gate.backend.play("/f/left", send_on)
    with client.stream("GET", "/f/left") as response:
        assert next(response.iter_raw()) == b"data: 1\n\nda"
        client.close()  # the connection: httpx resets no stream
    (row,) = gate.wait_for_rows("path = ?", "/f/left", count=1)
    assert row["error_message"] == "client_abort"


def test_head_and_no_content_have_no_body(gate: Gate, client: httpx.Client) -> None:
    gate.backend.play("/f/head", answer(head("content-length: 5")))
    response = client.head("/f/head")
    assert (response.status_code, response.headers["content-length"], response.content) == (200, "5", b"")
    gate.backend.play("/f/none", answer(b"HTTP/1.1 204 No Content\r\n\r\n"))
    assert client.get("/f/none").status_code == 204
