"""The parts of quickstart: each is made once, kept when it is there, and reused when it runs."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from fastgate_cli.commands.quickstart_parts import (
    KEY_FILE,
    ensure_configuration,
    ensure_key,
    ensure_route,
    find_gateway,
    find_mock,
    find_model,
    needs_certificates,
    read_upstream,
    wait_for_gateway,
)
from fastgate_cli.context import Invocation
from proxy.errors import ConflictError, FastGateError, InvalidInputError
from proxy.mock.openai import MODEL_ID
from proxy.store.key_changes import rotate_key
from proxy.store.keys import list_keys, set_keys_active
from proxy.store.routes import NewRoute, add_route, list_routes

Answer = Callable[[str, str], Any]
StartServer = Callable[[Answer], str]
MODELS = {"data": [{"id": "qwen3:8b"}, {"id": "other"}]}
REFUSAL = {"error": {"code": "invalid_api_key", "request_id": "req_1"}}


@pytest.fixture
def invocation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Invocation:
    """A run in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return ensure_configuration(Invocation(None, {"HOME": str(tmp_path / "home")}))


@pytest.fixture
def start_server() -> Iterator[StartServer]:
    """Serve JSON that a function makes from path and credential; anything else it returns is sent as text."""
    servers: list[ThreadingHTTPServer] = []

    def start(answer: Answer) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                made = answer(self.path, self.headers.get("Authorization", ""))
                body = made.encode() if isinstance(made, str) else json.dumps(made).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=servers[-1].serve_forever, args=(0.01,), daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    "text", ["http://127.0.0.1:11434", "http://127.0.0.1:11434/", "http://127.0.0.1:11434/v1/"]
)
def test_an_upstream_is_an_address_however_it_is_spelled(text: str) -> None:
    assert read_upstream(text) == "http://127.0.0.1:11434"


@pytest.mark.parametrize("text", ["http://127.0.0.1:11434/api", "ftp://x", "localhost:11434", ""])
def test_an_upstream_that_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        read_upstream(text)
    assert refused.value.hint


def test_the_configuration_is_written_once_for_its_owner_alone(
    invocation: Invocation, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "fastgate.yaml"
    assert invocation.settings.source == path
    assert path.stat().st_mode & 0o777 == 0o600
    capsys.readouterr()
    assert ensure_configuration(invocation) is invocation
    assert capsys.readouterr().err == ""


def test_the_key_is_made_once_and_its_secret_is_never_printed(
    invocation: Invocation, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = ensure_key(invocation)
    told = capsys.readouterr().err
    place = tmp_path / "data" / KEY_FILE
    assert secret not in told
    assert f"its secret is in data/{KEY_FILE}" in told
    assert place.read_text() == secret + "\n"
    assert place.stat().st_mode & 0o777 == 0o600
    assert ensure_key(invocation) == secret
    assert capsys.readouterr().err == ""


def test_a_key_that_no_longer_works_is_followed_by_a_new_one(invocation: Invocation) -> None:
    first = ensure_key(invocation)
    with invocation.writing() as database:
        set_keys_active(database, False, everything=True, now=invocation.now)
    second = ensure_key(invocation)
    assert second != first
    assert ensure_key(invocation) == second
    with invocation.reading() as database:
        assert sorted(row["status"] for row in list_keys(database, now=invocation.now)) == [
            "active",
            "disabled",
        ]


def test_a_key_that_was_rotated_by_hand_is_followed_by_a_new_one(invocation: Invocation) -> None:
    first = ensure_key(invocation)
    with invocation.writing() as database:
        [row] = list_keys(database, now=invocation.now)
        rotate_key(database, row["key_id"], key_prefix="fg_", grace=timedelta(days=1), now=invocation.now)
    # The old secret still works, but not for long enough to be relied on.
    assert ensure_key(invocation) != first


def test_a_key_file_that_cannot_be_read_says_what_to_do(invocation: Invocation, tmp_path: Path) -> None:
    (tmp_path / "data" / KEY_FILE).mkdir(parents=True)
    with pytest.raises(FastGateError) as refused:
        ensure_key(invocation)
    assert "delete it" in refused.value.hint


def test_the_route_follows_the_backend_and_others_are_left_alone(
    invocation: Invocation, capsys: pytest.CaptureFixture[str]
) -> None:
    with invocation.writing() as database:
        add_route(
            database,
            NewRoute(match_path="/mine/*", target_host="127.0.0.1:1", route_name="mine"),
            invocation.now,
        )
    ensure_route(invocation, "http://127.0.0.1:9001")
    ensure_route(invocation, "http://127.0.0.1:9002")
    capsys.readouterr()
    ensure_route(invocation, "http://127.0.0.1:9002")
    assert capsys.readouterr().err == ""
    with invocation.reading() as database:
        hosts = {row["route_name"]: row["target_host"] for row in list_routes(database)}
    assert hosts == {"mine": "127.0.0.1:1", "quickstart": "127.0.0.1:9002"}


def test_the_first_model_is_found_and_nothing_where_there_is_none(start_server: StartServer) -> None:
    url = start_server(lambda path, _: MODELS if path == "/v1/models" else "what?")
    assert find_model(url) == "qwen3:8b"
    answers: list[Any] = [{"data": []}, [], "no JSON", {"data": None}, None]
    useless = start_server(lambda *_: answers.pop())
    while answers:
        assert find_model(useless) is None
    assert find_model("http://127.0.0.1:1") is None


def test_a_mock_and_a_gateway_are_told_from_other_servers(start_server: StartServer) -> None:
    mock = start_server(lambda *_: {"data": [{"id": MODEL_ID}]})
    gateway = start_server(lambda *_: {"status": "healthy", "version": "1", "journal_lag_ms": 0})
    other = start_server(lambda *_: {"status": "healthy"})
    assert [find_mock(url) for url in (mock, gateway, other)] == [True, False, False]
    assert [find_gateway(url) for url in (mock, gateway, other)] == [False, True, False]


def test_a_gateway_that_runs_is_waited_for_until_it_knows_the_key(start_server: StartServer) -> None:
    asked: list[str] = []

    def answer(_: str, credential: str) -> Any:
        asked.append(credential)
        return MODELS if len(asked) == 3 else REFUSAL

    backend = start_server(lambda *_: MODELS)
    wait_for_gateway(start_server(answer), backend, "fg_secret")
    assert asked == ["Bearer fg_secret"] * 3


def test_a_gateway_that_goes_on_refusing_the_key_is_somebody_elses(
    start_server: StartServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fastgate_cli.commands.quickstart_parts.GATEWAY_WAIT_SECONDS", 0.2)
    backend, gateway = start_server(lambda *_: MODELS), start_server(lambda *_: REFUSAL)
    with pytest.raises(ConflictError) as refused:
        wait_for_gateway(gateway, backend, "fg_secret")
    assert "--port" in refused.value.hint
    assert "fg_secret" not in str(refused.value)
    # A backend that refuses keys by itself, in the same words, is not the gateway.
    refusing = start_server(lambda *_: {"error": {"code": "invalid_api_key"}})
    wait_for_gateway(refusing, backend, "fg_secret")


def test_certificates_are_checked_wherever_there_may_be_any() -> None:
    assert not needs_certificates("http://a", "http://b")
    assert needs_certificates("http://a", "https://b")
    assert needs_certificates("HTTPS://a")
