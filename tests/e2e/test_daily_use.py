"""The four commands of daily use, exactly as written, and what happens around them."""

from __future__ import annotations

import json
import re
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from queue import Empty, Queue
from typing import IO, Any

import httpx
import pytest

from proxy.ids import from_uuid
from tests.e2e.processes import Fastgate, Stack

WAIT_SECONDS = 20
BODY = {"model": "mock", "messages": [{"role": "user", "content": "hi"}]}


def ask(url: str, key: str, **more: object) -> httpx.Response:
    headers = {"Authorization": f"Bearer {key}"}
    return httpx.post(f"{url}/v1/chat/completions", json={**BODY, **more}, headers=headers, timeout=20)


def test_the_four_commands_work_as_written(make_fastgate: Callable[[], Fastgate]) -> None:
    fastgate = make_fastgate()
    mock = fastgate.start("mock", "--port", "0")
    key = fastgate("keys", "create").stdout.strip()
    fastgate("routes", "add", "--match", "/v1/*", "--to", mock.url)
    (fastgate.folder / "fastgate.yaml").write_text(
        "app: {port: 0}\ndatabase: {url: 'sqlite:///.local/share/fastgate/fastgate.db'}\n"
    )
    gateway = fastgate.start("serve")
    tail = fastgate.popen("logs", "tail")
    assert tail.stdout
    header = tail.stdout.readline()
    assert header.startswith("id\t")
    assert ask(gateway.url, key).status_code == 200
    # A request that is caught between its beginning and its end is told twice.
    line = dict.fromkeys(header.split(), "")
    while not line["status_code"]:
        printed = tail.stdout.readline().rstrip("\n").split("\t")
        line = dict(zip(header.rstrip("\n").split("\t"), printed, strict=True))
    assert line["path"] == "/v1/chat/completions"
    assert line["status_code"] == "200"
    tail.send_signal(signal.SIGINT)
    assert tail.wait(10) == 130
    assert tail.stderr
    assert "Traceback" not in tail.stderr.read()
    assert gateway.stop() == 0


def test_a_key_that_is_changed_counts_without_a_restart(stack: Stack) -> None:
    created = stack.fastgate.json("keys", "create", "--source", "toggled")
    key, key_id = created["key"], created["key_id"]
    wait_for_status(stack.gateway.url, key, 200)
    stack.fastgate("keys", "disable", key_id)
    wait_for_status(stack.gateway.url, key, 401)
    stack.fastgate("keys", "enable", key_id)
    wait_for_status(stack.gateway.url, key, 200)
    stack.fastgate("keys", "delete", key_id, "-y")
    wait_for_status(stack.gateway.url, key, 401)


def test_a_new_route_counts_without_a_restart(stack: Stack) -> None:
    url = f"{stack.gateway.url}/extra/echo"
    headers = {"X-API-Key": stack.key}
    assert httpx.get(url, headers=headers).status_code == 404
    stack.fastgate(
        *("routes", "add", "--match", "/extra/*", "--to", stack.mock.url, "--strip-prefix"),
        *("--set-header", "X-Team: blue", "--name", "extra"),
    )
    started = time.monotonic()
    while (response := httpx.get(url, headers=headers)).status_code == 404:
        assert time.monotonic() - started < WAIT_SECONDS
    sent = dict(response.json()["headers"])
    assert sent["x-team"] == "blue"
    assert from_uuid(sent["x-request-id"]) == response.headers["x-request-id"].removeprefix("req_")
    assert not {"x-api-key", "authorization"} & sent.keys()
    stack.fastgate("routes", "delete", "extra", "-y")


def test_a_stream_arrives_as_it_is_sent(make_fastgate: Callable[[], Fastgate]) -> None:
    fastgate = make_fastgate()
    mock = fastgate.start("mock", "--port", "0", "--tps", "8")
    key = fastgate("keys", "create").stdout.strip()
    fastgate("routes", "add", "--match", "/v1/*", "--to", mock.url)
    gateway = fastgate.start("serve", "--port", "0")
    arrivals = []
    in_flight: list[dict[str, Any]] = []
    with httpx.stream(
        "POST",
        f"{gateway.url}/v1/chat/completions",
        json={**BODY, "stream": True},
        headers={"Authorization": f"Bearer {key}"},
        timeout=20,
    ) as response:
        for _ in response.iter_raw():
            arrivals.append(time.monotonic())
            if len(arrivals) == 6:
                # The recorder writes within 0.2 s; the stream goes on for two more.
                while not in_flight:
                    in_flight = fastgate.json("logs", "list")
    # Held back anywhere, the first six would have come together.
    assert arrivals[5] - arrivals[0] > 0.3
    assert [row["status_code"] for row in in_flight] == [None]
    assert in_flight[0]["response_time"] is None
    assert in_flight[0]["error_message"] is None
    assert fastgate.wait_for_row()["status_code"] == 200


def test_the_tail_tells_of_a_stream_when_it_begins_and_when_it_ends(
    make_fastgate: Callable[[], Fastgate],
) -> None:
    fastgate = make_fastgate()
    mock = fastgate.start("mock", "--port", "0", "--tps", "15")
    key = fastgate("keys", "create").stdout.strip()
    fastgate("routes", "add", "--match", "/v1/*", "--to", mock.url)
    gateway = fastgate.start("serve", "--port", "0")
    tail = fastgate.popen("logs", "tail", "--json")
    lines: Queue[str] = Queue()
    assert tail.stdout
    threading.Thread(target=put_all, args=(tail.stdout, lines), daemon=True).start()
    # The tail has started once it shows a first request.
    seen: list[str] = []
    while not seen:
        ask(gateway.url, "fg_unknown")
        try:
            seen.append(lines.get(timeout=1))
        except Empty:
            continue
    ask(gateway.url, key, stream=True)
    statuses: list[object] = []
    while statuses[-1:] != [200]:
        row = json.loads(lines.get(timeout=10))
        if row["api_key"]:
            statuses.append(row["status_code"])
    assert statuses == [None, 200]
    tail.kill()


def test_a_port_in_use_names_what_to_do(make_fastgate: Callable[[], Fastgate]) -> None:
    fastgate = make_fastgate()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        refused = fastgate("serve", "--port", str(taken.getsockname()[1]), code=2)
    assert re.fullmatch(r"error: port \d+ on 127.0.0.1 is in use\nhint: .*--port.*\n", refused.stderr)


def test_a_second_gateway_on_the_same_journal_is_refused(stack: Stack) -> None:
    refused = stack.fastgate("serve", "--port", "0", code=2)
    assert refused.stderr.splitlines()[-2].startswith("error: another gateway is running")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("routes", "show", "nosuch"), 3),
        (("keys", "show", "key_nosuch"), 3),
        (("logs", "show", "log_nosuch"), 3),
        (("routes", "add", "--match", "/v1/*", "--to", "htp:/nowhere"), 2),
        (("routes", "add", "--match", "v1", "--to", "http://127.0.0.1:1"), 2),
        (("logs", "list", "--status", "9xx"), 2),
        (("logs", "list", "--since", "yesterdayish"), 2),
        (("serve", "--port", "70000"), 2),
        (("serve", "--host", "256.1.1.1"), 2),
        (("mock", "--tps", "-1"), 2),
        (("quickstart", "--upstream", "ftp://x"), 2),
        (("-c", "absent.yaml", "serve"), 2),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_bad_input_gets_one_clear_line_and_its_exit_code(
    stack: Stack, tmp_path: Path, arguments: tuple[str, ...], code: int
) -> None:
    refused = stack.fastgate(*arguments, code=code)
    assert refused.stdout == ""
    errors = [line for line in refused.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_database_that_is_none_is_refused_and_left_alone(make_fastgate: Callable[[], Fastgate]) -> None:
    fastgate = make_fastgate()
    file = fastgate.folder / "notes.db"
    file.write_bytes(b"these are my notes, and no database\n" * 100)
    before = file.read_bytes()
    (fastgate.folder / "fastgate.yaml").write_text("database: {url: 'sqlite:///notes.db'}\n")
    for arguments in (("keys", "list"), ("keys", "create"), ("serve", "--port", "0"), ("db", "status")):
        refused = fastgate(*arguments, code=4)
        assert refused.stderr.startswith("error: "), refused.stderr
    assert file.read_bytes() == before


def put_all(source: IO[str], lines: Queue[str]) -> None:
    for line in source:
        lines.put(line)


def wait_for_status(url: str, key: str, status: int) -> None:
    """Return once the gateway answers with a status. How soon that is, is the snapshot's test."""
    started = time.monotonic()
    while ask(url, key).status_code != status:
        assert time.monotonic() - started < WAIT_SECONDS
