"""Row 39, the route's side: what is tried again, how often, with what, and how long in all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import pytest

from tests.hardening.answers import answer, chunk, chunked_head, cut, in_turn, plain, stick
from tests.hardening.backend_fixtures import Gate, run_gate
from tests.hardening.faults import Call, Play

BUSY = answer(plain(b"busy", status="503 Service Unavailable", headers=["retry-after: 0"]))
DONE = answer(plain(b"done"))
GONE = cut(b"", 0)
BODY = b'{"number": 1.0, "big": 123456789012345678901234567890}'
MakePath = Callable[..., str]


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    with run_gate(tmp_path_factory.mktemp("gate"), proxy="max_retries: 3") as served:
        yield served


@pytest.fixture(scope="module")
def make_path(gate: Gate) -> MakePath:
    """Return a maker of paths of their own; the first of some options adds the route for them."""
    routes: dict[tuple[str, ...], str] = {}
    paths = iter(range(1000))

    def make(*options: str) -> str:
        if options not in routes:
            gate.add_route(f"/r{len(routes)}/*", *options, "--to", gate.backend.url)
            routes[options] = f"/r{len(routes)}"
        return f"{routes[options]}/{next(paths)}"

    return make


def count_calls(gate: Gate, path: str) -> int:
    return len(gate.backend.calls_of(path))


def test_a_status_that_the_route_names_is_tried_again_also_for_a_post(
    gate: Gate, make_path: MakePath
) -> None:
    path = make_path("--retries", "2", "--retry-on", "503")
    done = gate.ask(path, in_turn(BUSY, BUSY, DONE), method="POST", body=BODY)
    assert (done.status, done.body) == (200, b"done")
    assert [call.body for call in gate.backend.calls_of(path)] == [BODY] * 3
    row = gate.row(done)
    assert (row["status_code"], row["error_message"]) == (200, None)


def test_the_last_answer_is_passed_on_when_the_tries_are_used_up(gate: Gate, make_path: MakePath) -> None:
    path = make_path("--retries", "2", "--retry-on", "503")
    busy = gate.ask(path, BUSY, method="POST", body=BODY)
    assert (busy.status, busy.body, busy.header(b"retry-after")) == (503, b"busy", [b"0"])
    assert count_calls(gate, path) == 3


def test_a_class_of_statuses_can_be_named(gate: Gate, make_path: MakePath) -> None:
    path = make_path("--retries", "2", "--retry-on", "429", "--retry-on", "5xx")
    slow = answer(plain(b"slow", status="429 Too Many Requests", headers=["retry-after: 0"]))
    assert gate.ask(path, in_turn(slow, BUSY, DONE), method="POST", body=BODY).body == b"done"


def test_a_status_that_the_route_does_not_name_is_passed_on_at_once(gate: Gate, make_path: MakePath) -> None:
    for options in (("--retries", "2"), ("--retries", "2", "--retry-on", "429")):
        for method in ("GET", "POST"):
            path = make_path(*options)
            busy = gate.ask(path, in_turn(BUSY, DONE), method=method, body=BODY if method == "POST" else None)
            assert (busy.status, busy.body) == (503, b"busy")
            assert count_calls(gate, path) == 1


def test_a_post_that_may_have_arrived_is_not_sent_again_whatever_the_retries(
    gate: Gate, make_path: MakePath
) -> None:
    path = make_path("--retries", "2")
    for script in (GONE, cut(b"", 0, reset=True), cut(plain(), 12)):
        before = count_calls(gate, path)
        assert gate.ask(path, script, method="POST", body=BODY).status == 502
        assert count_calls(gate, path) == before + 1


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD", "OPTIONS"])
def test_an_idempotent_request_without_an_answer_is_sent_again(
    gate: Gate, make_path: MakePath, method: str
) -> None:
    path = make_path("--retries", "2")
    body = BODY if method == "PUT" else None
    assert gate.ask(path, in_turn(GONE, DONE), method=method, body=body).status == 200
    assert [call.body for call in gate.backend.calls_of(path)] == [body or b""] * 2


def test_nothing_is_sent_again_once_a_byte_went_to_the_client(gate: Gate, make_path: MakePath) -> None:
    path = make_path("--retries", "2", "--retry-on", "5xx")
    data = chunked_head() + chunk(b"begun")
    broken = gate.ask(path, in_turn(cut(data, len(data)), DONE))
    assert (broken.status, broken.body, broken.is_whole) == (200, b"begun", False)
    assert count_calls(gate, path) == 1


def test_a_long_body_that_has_been_read_is_not_sent_again(gate: Gate, make_path: MakePath) -> None:
    path = make_path("--retries", "2", "--retry-on", "503")
    body = bytes(1024 * 1024)
    gate.backend.play(path, in_turn(BUSY, DONE))
    client = gate.connect()
    framed = gate.request(path, method="POST", headers=["transfer-encoding: chunked"])
    answered = client.ask(framed + chunk(body) + chunk(b""))
    # Either it was kept and comes again to the byte, or it was not and the answer is passed on.
    calls = gate.backend.calls_of(path)
    assert answered.status == (200 if len(calls) == 2 else 503)
    assert {call.body for call in calls} == {body}


def test_a_total_time_out_before_the_head_is_a_504(gate: Gate, make_path: MakePath) -> None:
    late = gate.ask(make_path("--total-timeout", "1", "--timeout", "30"), stick())
    assert (late.status, late.error_code) == (504, "upstream_timeout")
    assert gate.row(late)["error_message"] == "upstream_timeout"


def test_a_total_time_out_within_a_stream_breaks_it_off(gate: Gate, make_path: MakePath) -> None:
    async def play(call: Call) -> None:
        await call.send(chunked_head() + chunk(b"more"))
        await call.connection.wait_closed()

    path = make_path("--total-timeout", "1", "--timeout", "30")
    late = gate.ask(path, play)
    assert (late.status, late.body, late.is_whole) == (200, b"more", False)
    assert gate.row(late)["error_message"] == "upstream_timeout"


def test_a_total_time_out_ends_the_tries(gate: Gate, make_path: MakePath) -> None:
    path = make_path("--total-timeout", "1", "--timeout", "30", "--retries", "3", "--retry-on", "5xx")
    busy: Play = answer(plain(b"busy", status="503 Service Unavailable", headers=["retry-after: 3600"]))
    assert gate.ask(path, busy).status in (503, 504)
    assert gate.rows_of(path, 1)[0]["status_code"] in (503, 504)


@pytest.mark.parametrize("on_abort", ["cancel", "drain"])
def test_what_a_client_leaves_is_cancelled_or_drained_as_the_route_says(
    gate: Gate, make_path: MakePath, on_abort: str
) -> None:
    path = make_path("--on-client-abort", on_abort)
    steps = gate.backend.steps()

    async def play(call: Call) -> None:
        await call.send(chunked_head() + chunk(b"first"))
        if on_abort == "cancel":
            return await call.connection.wait_closed()
        await steps.wait()
        for _ in range(10):
            await asyncio.sleep(0.1)  # time for the gateway to see that the client has left
            await call.send(chunk(b"."))
        return await call.send(chunk(b""))

    gate.backend.play(path, play)
    client = gate.connect()
    client.send(gate.request(path))
    client.read_head()
    assert client.read_chunk() == b"first"
    client.close()
    if on_abort == "cancel":
        assert gate.backend.calls_of(path)[0].connection.wait_ended() in ("fin", "reset")
    steps.confirm()
    (row,) = gate.rows_of(path, 1)
    assert row["error_message"] == "client_abort"
    assert row["response_size"] == len(b"first") + (10 if on_abort == "drain" else 0)
