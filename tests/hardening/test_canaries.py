"""Canary secrets sent along every path: they are in no file, no metric, no answer and no output of ours."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator

import pytest

from proxy.running import read_running
from tests.e2e.processes import Fastgate
from tests.hardening.arrivals import Arrival
from tests.hardening.client import Response
from tests.hardening.gate import Gate, run_gate, wait_for
from tests.hardening.plays import STREAM_HEAD

OWN_KEY = "canary-own-key-4d1f"  # a key of the operator's own choosing
COOKIE = "canary-cookie-9a7e"
QUERY = "canary-query-77b2"
WRONG = "fg_canaryWrongKey5c3a000000000000000000"
FROM_ENVIRONMENT = "canary-environment-51aa"
FROM_FILE = "canary-file-c0de"
LITERAL = "canary-literal-e3e3"  # which the database holds, because a route does
SECRETS = (OWN_KEY, COOKIE, QUERY, WRONG, FROM_ENVIRONMENT, FROM_FILE)
SETTINGS = """
app: {workers: 2}
audit: {include_body: true, body_max_size: 64KB}
logging: {level: DEBUG, file: log}
"""
CHUNK = '{{"id":"c","object":"chat.completion.chunk","choices":[{{"index":0,"delta":{{"content":"{}"}}}}]}}'
COMMANDS = (
    ("keys", "list"),
    ("keys", "list", "--json"),
    ("routes", "list", "-o", "wide"),
    ("routes", "list", "--json"),
    ("routes", "show", "literal", "--json"),
    ("routes", "explain", "POST", "/literal/x", "--json"),
    ("routes", "explain", "POST", "/t/x", "--header", f"Cookie: {COOKIE}", "--json"),
    ("routes", "lint"),
    ("logs", "list", "-n", "0", "--json"),
    ("logs", "list", "-n", "0", "-o", "wide"),
    ("logs", "tail", "--no-follow", "-n", "0"),
    ("status", "--json"),
    ("db", "check"),
)


async def echo(arrival: Arrival) -> None:
    """Answer with everything that came, in headers and in the body."""
    await arrival.read_body()
    shown = b"; ".join(value for _, value in arrival.headers)
    body = json.dumps({"you_sent": arrival.head.decode("latin-1"), "body": arrival.body.decode()}).encode()
    head = b"HTTP/1.1 200 OK\r\nx-echo: %b\r\nset-cookie: session=%b\r\n" % (shown, COOKIE.encode())
    await arrival.link.send(head + b"content-length: %d\r\n\r\n" % len(body) + body)


async def leak_in_pieces(arrival: Arrival) -> None:
    """Stream what was injected, a few characters to an event, as a model would that was told it."""
    await arrival.read_body()
    secrets = [value.decode() for name, value in arrival.headers if name in (b"authorization", b"x-token")]
    text = f"I was given {' and '.join(secrets)}, do not tell."
    events = [CHUNK.format(text[start : start + 5]) for start in range(0, len(text), 5)] + ["[DONE]"]
    await arrival.link.send(STREAM_HEAD)
    for event in events:
        data = f"data: {event}\n\n".encode()
        await arrival.link.send(b"%x\r\n%b\r\n" % (len(data), data))
    await arrival.link.send(b"0\r\n\r\n")


async def break_off(arrival: Arrival) -> None:
    """Go wrong in the middle of a stream that holds a secret."""
    await arrival.read_body()
    data = f"data: {FROM_ENVIRONMENT}\n\n".encode()
    await arrival.link.send(STREAM_HEAD + b"%x\r\n%b\r\nno chunk\r\n" % (len(data), data))


async def speak_no_http(arrival: Arrival) -> None:
    """Answer with something that is no HTTP and holds a secret."""
    await arrival.read_body()
    await arrival.link.send(b"HELLO " + FROM_FILE.encode() + b"\r\n\r\n")


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    secret = tmp_path_factory.mktemp("secrets") / "token"  # not in the folder that is searched
    secret.write_text(FROM_FILE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CANARY_TOKEN", FROM_ENVIRONMENT)
        with run_gate(Fastgate(tmp_path_factory.mktemp("gate")), SETTINGS) as gate:
            injected = ("Authorization: Bearer ${env:CANARY_TOKEN}", f"X-Token: ${{file:{secret}}}")
            options = [option for header in injected for option in ("--set-header", header)]
            gate.fastgate("routes", "update", gate.route_id, *options)
            literal = ("--set-header", f"X-Api-Key: {LITERAL}", "--name", "literal")
            gate.fastgate("routes", "add", "--match", "/literal/*", "--to", gate.backend.url, *literal)
            create_own_key(gate.fastgate)
            gate.wait_for_revision()
            gate.secrets += SECRETS
            yield gate


def create_own_key(fastgate: Fastgate) -> None:
    command = [sys.executable, "-m", "fastgate_cli", "keys", "create", "--value-stdin", "--rate-limit", "0"]
    done = subprocess.run(
        command,
        cwd=fastgate.folder,
        env=fastgate.environ,
        input=OWN_KEY,
        text=True,
        capture_output=True,
        check=True,
    )
    assert OWN_KEY not in done.stderr


def send_secrets(gate: Gate, path: str, key: str = OWN_KEY) -> Response:
    """Send a request that has a secret wherever there is room for one."""
    body = json.dumps({"model": "m", "note": f"my key is {gate.key} or {key}"}).encode()
    target = f"{path}?api_key={QUERY}&tok%65n={QUERY}"
    lines = (f"cookie: session={COOKIE}", f"content-length: {len(body)}")
    return gate.ask(gate.head(target, *lines, method="POST", key=key) + body)


def send_all(gate: Gate) -> list[Response]:
    """Send secrets along every path; return the answers that the gateway made itself."""
    own = []
    for play in (echo, leak_in_pieces):
        assert send_secrets(gate, gate.new_path(play)).status == 200
    gate.backend.play("/literal/1", echo)
    assert send_secrets(gate, "/literal/1").status == 200
    assert not send_secrets(gate, gate.new_path(break_off)).is_whole
    own.append(send_secrets(gate, gate.new_path(speak_no_http)))
    own += [send_secrets(gate, f"/{where}", key=WRONG) for where in ("t/x", "nowhere", "t/../x")]
    own += [send_secrets(gate, "/nowhere"), send_secrets(gate, f"/nowhere/{gate.key}")]
    # A foreign credential beside the key is none to the gateway, and goes nowhere.
    assert gate.ask(gate.head(gate.new_path(echo), f"x-api-key: {WRONG}")).status == 200
    assert [answer.status for answer in own] == [502, 401, 401, 400, 404, 404]
    return own


def everything_shown(gate: Gate) -> str:
    """Return what commands, pages and metrics print."""
    shown = [gate.fastgate.popen(*command).communicate(timeout=45) for command in COMMANDS]
    ids = [row["id"] for row in gate.read("SELECT id FROM audit_logs")]
    shown += [
        gate.fastgate.popen("logs", "show", *ids, *how).communicate(timeout=45) for how in ([], ["--json"])
    ]
    for page in ("", "health", "metrics"):
        with urllib.request.urlopen(f"{gate.running.url}/{page}") as answer:
            shown.append((answer.read().decode(), str(answer.headers)))
    return "\n".join(part for both in shown for part in both)


def test_no_secret_is_anywhere(gate: Gate) -> None:
    answers = send_all(gate)
    # A crash of a worker and of the recorder on the way, with requests in flight.
    holding = gate.connect()
    path = gate.new_path(hold_for_ever)
    holding.send(gate.head(path, f"cookie: session={COOKIE}", key=OWN_KEY))
    gate.backend.wait_for(path)
    note = read_running(gate.fastgate.folder / "data" / "journal")
    for pid in note.worker_pids:
        os.kill(pid, signal.SIGKILL)
    gate.rows("path = ?", path)
    wait_for(lambda: serves(gate), bool)
    answers += send_all(gate)
    for answer in answers:
        made = answer.body + b"".join(value for _, value in answer.headers)
        assert not [secret for secret in (*SECRETS, LITERAL, gate.key) if secret.encode() in made]
    wait_for(
        lambda: gate.read("SELECT id FROM audit_logs WHERE response_time IS NULL"), lambda r: len(r) <= 2
    )
    shown = everything_shown(gate)
    assert "[redacted]" in shown
    for secret in (*SECRETS, gate.key):
        assert secret not in shown
        gate.check_is_secret(secret)
    # A route's literal is where the route is, and nowhere else.
    assert LITERAL not in shown
    assert LITERAL not in str(gate.read("SELECT * FROM audit_logs"))
    assert LITERAL not in (gate.fastgate.folder / "log").read_text()


def test_what_was_masked_is_told_from_what_was_not_there(gate: Gate) -> None:
    send_secrets(gate, path := gate.new_path(leak_in_pieces))
    (row,) = gate.rows("path = ?", path)
    merged = json.loads(row["response_body"])
    told = merged["choices"][0]["message"]["content"]
    assert told == "I was given Bearer [redacted] and [redacted], do not tell."
    assert json.loads(row["request_body"])["note"] == "my key is [redacted] or [redacted]"


def serves(gate: Gate) -> bool:
    try:
        return gate.ask(gate.head(gate.new_path())).status == 200
    except OSError:
        return False


async def hold_for_ever(arrival: Arrival) -> None:
    """Take the request, and answer never."""
    await arrival.read_body()
    await arrival.link.wait_closed()
