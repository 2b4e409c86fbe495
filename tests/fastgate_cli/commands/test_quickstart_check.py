"""What `quickstart --check` finds: an answer that differs in any way, or a row that says otherwise."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from fastgate_cli.commands.log_columns import COLUMNS
from fastgate_cli.commands.quickstart_check import (
    SHOWN,
    Report,
    read_answer,
    report_check,
    run_check,
    select_columns,
)
from fastgate_cli.context import Invocation
from fastgate_cli.output import OutputOptions, pick_columns
from proxy.audit.events import AuditEvent, Begin, End
from proxy.clock import now_us
from proxy.errors import UpstreamError
from proxy.ids import new_ulid
from tests.proxy.store.rows import record_events

Answer = tuple[int, str, bytes]
StartServer = Callable[..., str]
PLAIN: Answer = (
    200,
    "application/json",
    b'{"choices": [{"message": {"role": "assistant", "content": "Hello."}}]}',
)
STREAM: Answer = (
    200,
    "text/event-stream",
    b'data: {"choices":[{"delta":{"role":"assistant"}}]}\n\n'
    b'data: {"choices":[{"delta":{"content":"Hel"}}]}\n\n'
    b'data: {"choices":[{"delta":{"content":"lo."}}]}\n\n'
    b'data: {"choices":[],"usage":{"total_tokens":2}}\n\n'
    b"data: [DONE]\n\n",
)


@pytest.fixture
def invocation(tmp_path: Path) -> Invocation:
    """A run with a database."""
    path = tmp_path / "fastgate.yaml"
    path.write_text("database: {url: 'sqlite:///fastgate.db'}\n")
    invocation = Invocation(path, {"HOME": str(tmp_path)})
    with invocation.writing():
        return invocation


@pytest.fixture
def start_server(invocation: Invocation) -> Iterator[StartServer]:
    """Serve two answers; with a `noted` status and size, and then as a gateway does, with an audit row."""
    servers: list[ThreadingHTTPServer] = []

    def start(
        plain: Answer = PLAIN,
        stream: Answer = STREAM,
        *,
        noted: Callable[[Answer], dict[str, Any]] | None = None,
        model: str = "demo",
    ) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                models = [{"id": model}] if model else []
                self.reply((200, "application/json", json.dumps({"data": models}).encode()))

            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                assert asked["model"] == model
                self.reply(stream if asked["stream"] else plain, is_chat=True)

            def reply(self, answer: Answer, *, is_chat: bool = False) -> None:
                status, kind, body = answer
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                if noted and is_chat:
                    self.send_header("X-Request-Id", record(invocation, noted(answer)))
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


def record(invocation: Invocation, facts: dict[str, Any]) -> str:
    began_us = now_us()
    ulid = new_ulid(began_us)
    events: list[AuditEvent] = [
        Begin(ulid, 1, began_us, "POST", "/v1/chat/completions", "127.0.0.1"),
        End(ulid, began_us, 5_000, **facts),
    ]
    with invocation.writing() as database:
        record_events(database, events)
    return f"req_{ulid}"


def note_truly(answer: Answer) -> dict[str, Any]:
    return {"status": answer[0], "response_size": len(answer[2])}


def differences(
    invocation: Invocation, gateway: str, backend: str, *, is_mock: bool = True
) -> list[list[str]]:
    reports = run_check(invocation, (gateway, backend), "fg_key", is_deterministic=is_mock)
    assert [report.name for report in reports] == ["plain", "streamed"]
    return [list(report.differences) for report in reports]


def test_equal_answers_with_true_rows_differ_in_nothing(
    invocation: Invocation, start_server: StartServer
) -> None:
    urls = start_server(noted=note_truly), start_server()
    reports = run_check(invocation, urls, "fg_key", is_deterministic=True)
    assert [report.differences for report in reports] == [[], []]
    assert [report.answer for report in reports] == ["Hello.", "Hello."]
    assert [report.row["response_size"] for report in reports if report.row] == [
        len(PLAIN[2]),
        len(STREAM[2]),
    ]


def test_every_byte_counts_where_the_backend_is_deterministic(
    invocation: Invocation, start_server: StartServer
) -> None:
    changed = (*STREAM[:2], STREAM[2].replace(b"lo.", b"lo!"))
    urls = start_server(stream=changed, noted=note_truly), start_server()
    [plain, streamed] = differences(invocation, *urls)
    assert plain == []
    assert [difference.split(":")[0] for difference in streamed] == ["body"]
    # A real model never says the same twice.
    assert differences(invocation, *urls, is_mock=False) == [[], []]


@pytest.mark.parametrize("is_mock", [True, False])
def test_status_and_type_have_to_agree_whatever_the_backend(
    invocation: Invocation, start_server: StartServer, is_mock: bool
) -> None:
    failing = (502, "text/plain", b"no backend")
    urls = start_server(failing, noted=note_truly), start_server()
    plain, streamed = differences(invocation, *urls, is_mock=is_mock)
    assert {difference.split(":")[0] for difference in plain} >= {"status", "content-type"}
    assert any("no backend" in difference for difference in plain)
    assert streamed == []


@pytest.mark.parametrize(
    ("fact", "named"),
    [({"status": 201}, "status"), ({"response_size": 1}, "size"), ({"error": "client_abort"}, "reason")],
)
def test_a_row_that_says_otherwise_is_a_difference(
    invocation: Invocation, start_server: StartServer, fact: dict[str, Any], named: str
) -> None:
    gateway = start_server(noted=lambda answer: {**note_truly(answer), **fact})
    for found in differences(invocation, gateway, start_server()):
        assert [difference.split(":")[0] for difference in found] == [named]


def test_a_row_that_never_comes_is_a_difference(
    invocation: Invocation, start_server: StartServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fastgate_cli.commands.quickstart_check.ROW_WAIT_SECONDS", 0.05)
    found = differences(invocation, start_server(), start_server())
    assert found == [["the audit trail has no row of it"]] * 2


def test_a_backend_without_models_or_that_is_gone_is_an_error(
    invocation: Invocation, start_server: StartServer
) -> None:
    gateway = start_server(noted=note_truly)
    for backend in (start_server(model=""), "http://127.0.0.1:1"):
        with pytest.raises(UpstreamError, match="lists no models"):
            run_check(invocation, (gateway, backend), "fg_key", is_deterministic=False)
    with pytest.raises(UpstreamError, match="did not answer"):
        run_check(invocation, ("http://127.0.0.1:1", gateway), "fg_key", is_deterministic=False)


def test_an_answer_is_read_from_a_response_and_from_events() -> None:
    assert read_answer(PLAIN[2].decode(), streamed=False) == "Hello."
    assert read_answer(STREAM[2].decode(), streamed=True) == "Hello."


@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize("text", ["<html>", "[]", '{"choices": []}', 'data: {"choices": [1]}', "data: {"])
def test_an_answer_that_cannot_be_read_is_shown_as_it_is(text: str, streamed: bool) -> None:
    assert read_answer(text, streamed) in (text, "")


def test_data_has_all_fields_and_a_table_the_few_that_matter() -> None:
    data = OutputOptions("json")
    names = [column.name for column in pick_columns(select_columns(), data)]
    assert sorted(names) == sorted(column.name for column in pick_columns(COLUMNS, data))
    assert names[0] == "id"
    assert [column.name for column in pick_columns(select_columns(), OutputOptions("table"))] == list(SHOWN)


def test_every_difference_is_told_and_decides(capsys: pytest.CaptureFixture[str]) -> None:
    agreeing = Report("plain", "Hello.", None, [])
    assert report_check([agreeing], OutputOptions("json"))
    printed = capsys.readouterr()
    assert json.loads(printed.out) == []
    assert [line for line in printed.err.splitlines() if line] == [
        "plain     Hello.",
        "the gateway answers as the backend does",
    ]
    differing = Report("streamed", "Hello.", None, ["size: the audit row says 1, it was 2"])
    assert not report_check([agreeing, differing], OutputOptions("json"))
    assert capsys.readouterr().err.splitlines()[-2:] == [
        "streamed  size: the audit row says 1, it was 2",
        "the gateway differs from the backend",
    ]
