"""Bodies in chunks of one byte, in both directions (issue 11 a): what one read has brought goes on together.

Others are not delayed because each read costs one call and one write, not one for each chunk; a clock would
say less.
"""

from __future__ import annotations

import pytest

from tests.hardening.arrivals import Arrival
from tests.hardening.gate import Gate

pytestmark = pytest.mark.usefixtures("serving")
BODY = bytes(range(256)) * 200
TINY = b"".join(b"1\r\n%c\r\n" % byte for byte in BODY) + b"0\r\n\r\n"
FRAMING_BYTES_MAX = len(BODY) // 10  # where each byte has a chunk of its own, it is five times the body


def test_an_upload_in_tiny_chunks_goes_on_in_large_ones(gate: Gate) -> None:
    path = gate.new_path()
    response = gate.ask(gate.head(path, "transfer-encoding: chunked", method="POST") + TINY)
    assert response.body == path.encode()
    arrival = gate.seen_of(path)
    assert bytes(arrival.body) == BODY
    assert len(arrival.link.received) - len(arrival.head) < len(BODY) + FRAMING_BYTES_MAX


def test_an_answer_in_tiny_chunks_goes_on_in_large_ones(gate: Gate) -> None:
    async def play(arrival: Arrival) -> None:
        await arrival.read_body()
        await arrival.link.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + TINY)

    client = gate.connect()
    client.send(gate.head(gate.new_path(play)))
    client.read_head()
    framed = client.read_until_end_of_chunks()
    assert len(framed) < len(BODY) + FRAMING_BYTES_MAX
