"""Issue 11, letters h, i, o: what a row keeps of headers, secrets in other spellings, texts that deceive."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable
from urllib.parse import quote

import pytest

from tests.hardening.arrivals import Arrival
from tests.hardening.gate import Gate

pytestmark = pytest.mark.usefixtures("serving")

PRESENTED = "pass/word+of=a-client"
LITERAL = "sk-Literal/of+the=route"
REFUSED_BYTES_MAX = 2048
BYTES_MAX = 8192
SPELLINGS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "slashes escaped": lambda secret: secret.replace("/", "\\/"),
    "percent-encoded": lambda secret: quote(secret, safe=""),
    "in URLs of lower case": lambda secret: quote(secret, safe="").replace("%2F", "%2f"),
    "escaped as JSON may": lambda secret: "".join(f"\\u{ord(one):04x}" for one in secret),
    "base64": lambda secret: b64encode(secret.encode()).decode(),
    "base64 behind a user": lambda secret: b64encode(f"user:{secret}".encode()).decode(),
    "base64 behind another user": lambda secret: b64encode(f"users:{secret}".encode()).decode(),
}


@pytest.fixture(scope="module")
def settings() -> str:
    return "audit: {include_body: true}"


@pytest.mark.parametrize("spell", SPELLINGS.values(), ids=SPELLINGS)
@pytest.mark.parametrize("secret", [PRESENTED, LITERAL])
def test_a_secret_that_is_answered_is_masked_however_it_is_spelled(
    gate: Gate, secret: str, spell: Callable[[str], str]
) -> None:
    gate.fastgate("routes", "update", gate.route_id, "--set-header", f"X-Api-Key: {LITERAL}")
    gate.wait_for_revision()
    spelled = spell(secret)
    body = f'{{"echo": "{spelled}"}}'.encode()

    async def play(arrival: Arrival) -> None:
        await arrival.read_body()
        head = b"HTTP/1.1 200 OK\r\nx-echo: %b\r\ncontent-length: %d\r\n\r\n"
        await arrival.link.send(head % (spelled.encode(), len(body)) + body)

    path = gate.new_path(play)
    response = gate.ask(gate.head(f"{path}?a=1;token={PRESENTED}", f"cookie: session={PRESENTED}"))
    assert response.body == body
    row = gate.row(response)
    for column in ("target_url", "request_headers", "response_headers", "response_body"):
        assert secret not in row[column]
        # Of base64 the other's bits are left: a user's name.
        assert spelled[8:-4] not in row[column]
        assert json.dumps(spelled)[9:-5] not in row[column]
    assert row["target_url"].endswith("?a=1;token=[redacted]")


def test_a_token_of_the_page_that_a_request_came_from_is_masked(gate: Gate) -> None:
    page = "https://ann:canary-user-1@app.test/p?b=2;token=canary-token-2&c=3"
    row = gate.row(gate.ask(gate.head(gate.new_path(), f"referer: {page}")))
    assert ["referer", "https://[redacted]@app.test/p?b=2;token=[redacted]&c=3"] in json.loads(
        row["request_headers"]
    )


def test_a_refused_request_keeps_few_of_its_headers_and_any_other_no_more_than_is_set(gate: Gate) -> None:
    junk = "x-junk: " + "\xff" * 15_000
    head = f"GET {gate.new_path()} HTTP/1.1\r\nhost: gate.test\r\n{junk}\r\naccept: */*\r\n\r\n"
    response = gate.ask(head.encode("latin-1"))
    assert response.status == 401
    refused = gate.row(response)["request_headers"]
    assert len(refused.encode()) <= REFUSED_BYTES_MAX
    assert [name for name, _ in json.loads(refused)] == ["host", "x-junk", "accept"]
    served = gate.row(gate.ask(gate.head(gate.new_path(), junk)))["request_headers"]
    assert len(served.encode()) <= BYTES_MAX


def test_an_agent_that_would_turn_its_line_round_is_spelled_out(gate: Gate) -> None:
    agent = "curl\u202e\u2066/8\u200b".encode().decode("latin-1")
    row = gate.row(gate.ask(gate.head(gate.new_path(), f"user-agent: {agent}")))
    assert row["user_agent"] == "curl\u202e\u2066/8\u200b"
    for command in (("logs", "show", row["id"]), ("logs", "list", "-o", "wide"), ("logs", "list", "--json")):
        shown = gate.fastgate(*command).stdout
        assert not any(letter in shown for letter in "\u202e\u2066\u200b")
    assert (
        json.loads(gate.fastgate("logs", "show", row["id"], "--json").stdout)["user_agent"]
        == row["user_agent"]
    )
