"""Streams as applications meet them: the OpenAI SDK on one that breaks off, and five hundred at once."""

from __future__ import annotations

import asyncio
import hashlib
import json
import resource
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest

from tests.hardening.answers import EVENT_STREAM, answer, chunk, chunked_head, cut
from tests.hardening.backend_fixtures import Gate, run_gate
from tests.hardening.faults import BOUND_SECONDS, Call

STREAMS = 500
EVENTS = 40
OPEN_FILES = 4096  # both ends of every stream are this process's
WORDS = ("one", "two", "three")
BROKEN_OFF = (httpx.RemoteProtocolError, httpx.ReadError, openai.APIError)
MESSAGES: Any = [{"role": "user", "content": "count"}]
COMPLETIONS = "/f/chat/completions"


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    soft, hard = limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(OPEN_FILES, hard)), hard))
    with run_gate(tmp_path_factory.mktemp("gate")) as served:
        yield served
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def build_event(content: str | None, finish: str | None = None) -> bytes:
    """Return a chunk of a chat completion, as an event."""
    chunk_of_chat = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "mock",
        "choices": [
            {
                "index": 0,
                "delta": {"role": "assistant", "content": content} if content else {},
                "finish_reason": finish,
            }
        ],
    }
    return b"data: " + json.dumps(chunk_of_chat).encode() + b"\n\n"


def build_stream() -> list[bytes]:
    return [*map(build_event, WORDS), build_event(None, "stop"), b"data: [DONE]\n\n"]


def sdk(gate: Gate) -> openai.OpenAI:
    return openai.OpenAI(
        base_url=f"{gate.running.url}/f", api_key=gate.key, max_retries=0, timeout=BOUND_SECONDS
    )


def send_events(gate: Gate, *, bytes_less: int = 0, breaks_off: bool) -> None:
    """Have the backend send a stream without its last bytes, and end it or break it off."""
    body = b"".join(build_stream())
    data = chunked_head(*EVENT_STREAM) + chunk(body[: len(body) - bytes_less])
    gate.backend.play(COMPLETIONS, cut(data, len(data)) if breaks_off else answer(data + chunk(b"")))


def test_the_sdk_reads_a_whole_stream(gate: Gate) -> None:
    send_events(gate, breaks_off=False)
    with sdk(gate).chat.completions.stream(model="mock", messages=MESSAGES) as stream:
        assert stream.get_final_completion().choices[0].message.content == "".join(WORDS)


@pytest.mark.parametrize("bytes_less", [14, 20, 200, 400], ids=lambda number: f"{number}-bytes-less")
def test_the_sdk_raises_on_a_stream_that_breaks_off(gate: Gate, bytes_less: int) -> None:
    send_events(gate, bytes_less=bytes_less, breaks_off=True)
    received: list[object] = []
    stream = sdk(gate).chat.completions.create(model="mock", messages=MESSAGES, stream=True)
    with pytest.raises(BROKEN_OFF):
        received.extend(stream)
    assert received, "what came before the break was lost"
    before = len(gate.backend.calls_of(COMPLETIONS))
    with (
        pytest.raises(BROKEN_OFF),
        sdk(gate).chat.completions.stream(model="mock", messages=MESSAGES) as helped,
    ):
        helped.get_final_completion()
    assert len(gate.backend.calls_of(COMPLETIONS)) == before + 1


def write_event(stream: int, number: int) -> bytes:
    """Return an event that no other stream has, of a length of its own."""
    digest = hashlib.sha256(b"%d:%d" % (stream, number)).hexdigest().encode()
    return b"data: %d %d %b\n\n" % (stream, number, digest * (1 + digest[0] % 7))


def hash_stream(stream: int) -> bytes:
    return hashlib.sha256(b"".join(write_event(stream, number) for number in range(EVENTS))).digest()


async def fetch_stream(gate: Gate, stream: int) -> bytes:
    """Ask for a stream and return the hash of its body; raises if it does not end as it should."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gate.port)
    writer.write(gate.request(f"/f/many?stream={stream}", method="POST", body=b"{}"))
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
    body = hashlib.sha256()
    while size := int(await reader.readline(), 16):
        body.update(await reader.readexactly(size))
        assert await reader.readexactly(2) == b"\r\n"
    assert await reader.readexactly(2) == b"\r\n"
    writer.close()
    return body.digest()


def test_of_five_hundred_streams_at_once_no_byte_goes_astray(gate: Gate) -> None:
    all_are_open = asyncio.Event()

    async def play(call: Call) -> None:
        await call.read_body()
        stream = int(call.target.rpartition(b"=")[2])
        if len(gate.backend.calls_of("/f/many")) == STREAMS:
            all_are_open.set()
        await call.send(chunked_head(*EVENT_STREAM) + chunk(write_event(stream, 0)))
        await all_are_open.wait()
        for number in range(1, EVENTS):
            await call.send(chunk(write_event(stream, number)))
            await asyncio.sleep(0)  # every other stream has its turn between two events
        await call.send(chunk(b""))

    async def fetch_all() -> list[bytes]:
        return await asyncio.gather(*(fetch_stream(gate, stream) for stream in range(STREAMS)))

    gate.backend.play("/f/many", play)
    assert asyncio.run(fetch_all()) == [hash_stream(stream) for stream in range(STREAMS)]
    rows = gate.rows_of("/f/many", STREAMS)
    assert {row["error_message"] for row in rows} == {None}
    sent = sum(len(write_event(stream, number)) for stream in range(STREAMS) for number in range(EVENTS))
    assert sum(row["response_size"] for row in rows) == sent
