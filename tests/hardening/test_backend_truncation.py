"""Row 30: a backend that stops in the middle is a broken transfer for the client, at every byte."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.hardening.answers import chunked, cut, head, plain
from tests.hardening.backend_fixtures import Gate, run_gate
from tests.hardening.raw import RawClient

PIECES = (b"first,", b"second,", b"x" * 20)
ANSWERS = {
    "content-length": (plain(b"".join(PIECES)), b"".join(PIECES)),
    "chunked": (chunked(*PIECES), b"".join(PIECES)),
}
CUT_IN_HEAD = {"upstream_invalid", "upstream_truncated"}


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    with run_gate(tmp_path_factory.mktemp("gate")) as served:
        yield served


def check_cut(gate: Gate, client: RawClient, path: str, size: int, data: bytes, body: bytes) -> bool:
    """Ask for an answer that breaks off after `size` bytes; tell whether the connection is still open."""
    answer = client.ask(gate.request(path))
    if size < data.index(b"\r\n\r\n") + 4:
        assert (answer.status, answer.is_whole) == (502, True), (path, answer)
        assert answer.error_code in CUT_IN_HEAD, (path, answer)
        return True
    assert answer.status == 200, (path, answer)
    assert not answer.is_whole, f"{path}: broken off by the backend, and a clean end for the client"
    assert body.startswith(answer.body), (path, answer)
    assert client.read_rest() == b""
    return False


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize(("data", "body"), ANSWERS.values(), ids=ANSWERS)
def test_an_answer_that_is_cut_at_any_byte_never_ends_cleanly(
    gate: Gate, data: bytes, body: bytes, reset: bool
) -> None:
    kind = f"{len(data)}-{reset}"
    client = gate.connect()
    for size in range(len(data)):
        path = f"/f/cut/{kind}/{size}"
        gate.backend.play(path, cut(data, size, reset=reset))
        if not check_cut(gate, client, path, size, data, body):
            client = gate.connect()
    rows = gate.wait_for_rows("path LIKE ?", f"/f/cut/{kind}/%", count=len(data))
    in_head = data.index(b"\r\n\r\n") + 4
    for row in rows:
        if int(row["path"].rpartition("/")[2]) < in_head:
            assert row["error_message"] in CUT_IN_HEAD, row
            assert row["status_code"] == 502
        else:
            assert row["error_message"] == "upstream_truncated", row
            assert row["status_code"] == 200
    assert gate.ask("/f/after").body == b"ok"


@pytest.mark.parametrize(("data", "body"), ANSWERS.values(), ids=ANSWERS)
def test_an_answer_that_is_closed_behind_its_last_byte_is_whole(gate: Gate, data: bytes, body: bytes) -> None:
    answer = gate.ask("/f/closed", cut(data, len(data)))
    assert (answer.status, answer.body, answer.is_whole) == (200, body, True)
    assert gate.row(answer)["error_message"] is None


def test_every_byte_before_the_cut_reaches_the_client(gate: Gate) -> None:
    data, _ = ANSWERS["chunked"]
    size = data.index(b"second,") + len(b"second,")
    answer = gate.ask("/f/prefix", cut(data, size))
    assert (answer.body, answer.is_whole) == (b"first,second,", False)


def test_a_body_that_ends_with_its_connection_is_whole(gate: Gate) -> None:
    data = head("connection: close") + b"until the end"
    answer = gate.ask("/f/until", cut(data, len(data)))
    assert (answer.status, answer.body, answer.is_whole) == (200, b"until the end", True)
    assert gate.row(answer)["error_message"] is None


def test_a_body_that_ends_with_its_connection_is_broken_by_a_reset(gate: Gate) -> None:
    data = head("connection: close") + b"until the end"
    answer = gate.ask("/f/until-reset", cut(data, len(data), reset=True))
    assert (answer.status, answer.is_whole) == (200, False)
    assert gate.row(answer)["error_message"] == "upstream_truncated"


def test_http_1_0_chunks_that_break_off_never_end_cleanly(gate: Gate) -> None:
    # RFC 9112 section 6.1: Transfer-Encoding in HTTP/1.0 is faulty framing, and the connection ends with it.
    data = chunked(*PIECES).replace(b"HTTP/1.1", b"HTTP/1.0")
    for size in range(data.index(b"\r\n\r\n") + 4, len(data)):
        answer = gate.ask(f"/f/old/{size}", cut(data, size))
        assert answer.status == 502 or not answer.is_whole, (size, answer)


def test_other_clients_notice_nothing_of_a_broken_answer(gate: Gate) -> None:
    other = gate.connect()
    assert other.ask(gate.request("/f/other")).body == b"ok"
    data, _ = ANSWERS["chunked"]
    assert not gate.ask("/f/broken", cut(data, len(data) - 5)).is_whole
    assert other.ask(gate.request("/f/other")).body == b"ok"
