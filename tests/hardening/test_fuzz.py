"""Requests out of a grammar: gateway, backend and audit row agree on what was asked, or it is refused.

The suite's run is short and always the same. A longer one, of other requests each time:
`FASTGATE_FUZZ_EXAMPLES=20000 pytest tests/hardening/test_fuzz.py --timeout 3600`. A wire that once failed is
kept here as an `@example`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings

from tests.e2e.processes import Fastgate
from tests.hardening.arrivals import Arrival
from tests.hardening.client import ClosedError, RawClient
from tests.hardening.gate import Gate, run_gate, wait_for
from tests.hardening.wires import fill, good_requests, wire

EXAMPLES = int(os.environ.get("FASTGATE_FUZZ_EXAMPLES", "0"))
BOUNDED = hypothesis_settings(
    max_examples=EXAMPLES or 300,
    derandomize=not EXAMPLES,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
LAST = b"GET /t/last HTTP/1.1\r\nhost: gate.test\r\nconnection: close\r\nauthorization: Bearer KEY\r\n\r\n"
PREFIX = "/_own/of/the/gateway"
CREDENTIALS = {b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key"}
HOP_BY_HOP = {b"connection", b"te", b"trailer", b"upgrade", b"keep-alive", b"proxy-connection", b"expect"}
# What was refused before it was a request took no time, and has no row.
_ID = re.compile(rb"\r\nx-request-id: (req_[0-9a-z]+)\r\nserver-timing: gateway;dur=(?!0\.000,)")


# The gateway's own pages have no rows: they are where no wire leads.
SETTINGS = f"""
app: {{system_prefix: {PREFIX}}}
proxy: {{client_timeout: 0.3, max_body_size: 1000B}}
"""


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    with run_gate(Fastgate(tmp_path_factory.mktemp("gate")), SETTINGS) as gate:
        gate.prefix = PREFIX
        yield gate


class Run:
    """What was sent, by number, and what came back."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self.wires: list[bytes] = []
        self.answered: dict[str, bytes] = {}

    def send(self, template: bytes) -> None:
        """Send a wire, and a last request that has the connection closed; read to its end."""
        sent = fill(template + LAST, self.gate.key, len(self.wires))
        self.wires.append(sent)
        client = RawClient(self.gate.port)
        with suppress(ClosedError):
            client.send_all_taken(sent)
            for found in _ID.findall(client.read_rest()):
                assert found.decode() not in self.answered, "an answer came twice"
                self.answered[found.decode()] = sent
        client.close()

    def check(self) -> None:
        """Check rows, answers and arrivals against each other."""
        gate, arrivals = self.gate, {each.request_id: each for each in self.gate.backend.arrivals}
        assert len(arrivals) == len(gate.backend.arrivals)
        gate.backend.wait_until(lambda: gate.backend.busy == 0)
        wait_for(lambda: gate.metric("fastgate_requests_in_flight"), lambda count: count == 0)
        expected = {*arrivals, *self.answered}
        wait_for(
            lambda: expected - {row["request_id"] for row in gate.rows("1")}, lambda missing: not missing
        )
        rows = gate.rows("1")
        told = {row["request_id"]: row for row in rows}
        assert len(told) == len(rows)
        for request_id, arrival in arrivals.items():
            self.check_forwarded(told[request_id], arrival)
        for request_id in told.keys() - arrivals.keys():
            sent = self.answered.get(request_id)
            assert told[request_id]["error_message"], sent
            assert told[request_id]["response_size"] or sent is None, sent

    def check_forwarded(self, row: dict[str, Any], arrival: Arrival) -> None:
        """Check that a row and a request that reached the backend are the same."""
        sent = self.answered.get(row["request_id"])
        names = {name for name, _ in arrival.headers}
        assert not names & (CREDENTIALS | HOP_BY_HOP), sent
        assert row["method"].encode() == arrival.method, sent
        assert row["target_url"].encode() == self.gate.backend.url.encode() + arrival.target, sent
        assert arrival.target.partition(b"?")[0] == row["path"].encode(), sent
        assert arrival.is_whole or row["error_message"], sent
        if row["error_message"] is None:
            assert row["request_size"] == len(arrival.body), sent


@pytest.fixture(scope="module")
def run(gate: Gate) -> Run:
    return Run(gate)


def test_whatever_is_sent_everyone_agrees_on_it(run: Run) -> None:
    @BOUNDED
    @given(wire())
    @example(b"GET /t/NUMBER HTTP/1.1\r\nhost: gate.test\r\nauthorization: Bearer KEY\r\n\r\n")
    def send(template: bytes) -> None:
        run.send(template)
        assert run.gate.running.process.poll() is None
        assert not run.gate.backend.faults

    send()
    run.check()
    run.gate.check_serves()


def test_well_formed_requests_arrive_as_they_were_meant(run: Run) -> None:
    @BOUNDED
    @given(good_requests())
    def send(requests: list[tuple[bytes, bytes, bytes, bytes]]) -> None:
        before, number = len(run.gate.backend.arrivals), len(run.wires)
        run.send(b"".join(written for *_, written in requests))
        *seen, last = run.gate.backend.arrivals[before:]
        assert last.target == b"/t/last"
        wanted = [
            (method, fill(target, "", number), fill(body, run.gate.key, number))
            for method, target, body, _ in requests
        ]
        assert [(each.method, each.target, bytes(each.body)) for each in seen] == wanted

    send()
    run.check()
