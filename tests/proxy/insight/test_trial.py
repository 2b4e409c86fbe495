"""A route put to the test against real backends: the gateway's own request, and what is told of its fate."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from http.client import HTTPConnection
from pathlib import Path
from queue import Queue
from typing import Any

import pytest
import trustme

from proxy.insight import trial as trial_module
from proxy.insight.preparation import STAGES, Rehearsal, Stage
from proxy.insight.trial import Trial, run_trial
from proxy.policy.model import RequestHead
from proxy.runtime.app import Worker
from proxy.runtime.server import GatewaySite, run_sites
from proxy.settings import (
    AuditSettings,
    DatabaseSettings,
    ProxySettings,
    RateLimitingSettings,
    Settings,
)
from proxy.store.database import open_database
from proxy.store.keys import create_key
from proxy.store.routes import NewRoute, add_route, list_routes
from tests.hardening.answers import answer, chunk, chunked_head, cut, head, plain
from tests.hardening.faults import Call, FaultBackend

READ_PIECE_BYTES_MAX = 64 * 1024
SECRET = "sk-very-secret-value-9876"


@pytest.fixture
def backend() -> Iterator[FaultBackend]:
    made = FaultBackend()
    yield made
    made.close()


@pytest.fixture
def deaf() -> Iterator[str]:
    """A listener whose queue is full."""
    with ExitStack() as opened:
        listener = opened.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            waiting = opened.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def host_of(backend: FaultBackend) -> str:
    return f"127.0.0.1:{backend.port}"


def ask(
    method: str = "GET", path: str = "/v1/x", body: bytes = b"", headers: Sequence[tuple[str, str]] = ()
) -> RequestHead:
    pairs = [("host", "gateway.test"), ("authorization", "Bearer stand-in"), *headers]
    pairs += [("content-length", str(len(body)))] if body else []
    raw_path, _, query = path.encode().partition(b"?")
    encoded = [(name.encode(), value.encode()) for name, value in pairs]
    return RequestHead(method, raw_path, query, encoded, peer="127.0.0.1")


def rehearse(
    folder: Path, *routes: NewRoute, environ: dict[str, str] | None = None, **proxy: Any
) -> Rehearsal:
    """Return the rehearsal of the first of these routes."""
    with open_database(folder / "routes.db", create=True) as database:
        rows = [add_route(database, route, datetime.now(UTC)) for route in routes]
        settings = replace(Settings(), proxy=ProxySettings(**proxy))
        return Rehearsal(rows[0], list_routes(database), settings, environ or {}, folder)


def run(rehearsal: Rehearsal, *heads: RequestHead, body: bytes = b"", seconds: float | None = 20) -> Trial:
    told: list[Stage] = []
    trial = asyncio.run(
        run_trial(rehearsal, heads or (ask(),), body, timeout_seconds=seconds, tell=told.append)
    )
    assert told == trial.stages
    assert [stage.name for stage in trial.stages] == list(STAGES)
    return trial


def ask_gateway(
    folder: Path, route: NewRoute, method: str, path: str, headers: dict[str, str], body: bytes
) -> int:
    """Return with what status a gateway that has only this route answers a request with a key."""
    folder.mkdir()
    with open_database(folder / "fastgate.db", create=True) as database:
        _, secret = create_key(database, key_prefix="fg_", now=datetime.now(UTC))
        add_route(database, route, datetime.now(UTC))
    settings = Settings(
        database=DatabaseSettings(url=f"sqlite:///{folder / 'fastgate.db'}"),
        rate_limiting=replace(RateLimitingSettings(), file=folder / "limits"),
        audit=replace(AuditSettings(), directory=folder / "journal"),
    )
    listener = socket.create_server(("127.0.0.1", 0))
    stops: Queue[Callable[[], object]] = Queue()
    site = GatewaySite(Worker(settings), listener)
    serving = threading.Thread(target=lambda: run_sites([site], 1.0, on_ready=stops.put))
    serving.start()
    stop = stops.get(timeout=10)
    client = HTTPConnection("127.0.0.1", listener.getsockname()[1], timeout=10)
    client.putrequest(method, path, skip_accept_encoding=True)
    for name, value in {**headers, "authorization": f"Bearer {secret}"}.items():
        client.putheader(name, value)
    if body:
        client.putheader("content-length", str(len(body)))
    client.endheaders(body or None)
    status = client.getresponse().status
    client.close()
    stop()
    serving.join(10)
    return status


def failed_at(trial: Trial) -> tuple[str, str, str]:
    """Return the stage that failed, what was wrong and what to do; those before it passed, no other ran."""
    assert not trial.success
    assert trial.failure is not None
    place = STAGES.index(trial.failure.name)
    assert [stage.ok for stage in trial.stages] == [True] * place + [False] + [None] * (4 - place)
    assert trial.failure.hint
    return trial.failure.name, trial.failure.detail, trial.failure.hint


def request_of(call: Call) -> tuple[bytes, list[tuple[bytes, bytes]], bytes]:
    """Return what a backend got, without what differs from request to request."""
    varying = (b"x-request-id", b"x-forwarded-host", b"connection")
    return call.target, sorted(pair for pair in call.headers if pair[0] not in varying), call.body


@pytest.mark.parametrize(
    ("route", "method", "path", "body"),
    [
        (NewRoute("/v1/*", "", route_id="rt_t"), "GET", "/v1/a%20b?x=1&x=2", b""),
        (NewRoute("/v1/*", "", route_id="rt_t"), "POST", "/v1/chat", b'{"a": 1.0}'),
        (
            NewRoute(
                "/v1/*",
                "",
                route_id="rt_t",
                target_path="/base",
                strip_path_prefix=True,
                add_headers={"Authorization": "Bearer ${env:FASTGATE_TEST_TOKEN}", "X-Team": "a"},
                remove_headers=["x-gone", "via"],
                add_body_fields={"seed": 7, "options.n": [1]},
                match_body_schema={"required": ["model"]},
            ),
            "POST",
            "/v1/chat?q",
            b'{"model" : "m", "seed":1}',
        ),
        (NewRoute("/u/{id}", "", route_id="rt_t", target_path="/user/{id}/x"), "DELETE", "/u/7", b""),
    ],
)
def test_what_is_sent_is_byte_for_byte_what_the_gateway_sends(
    backend: FaultBackend,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    route: NewRoute,
    method: str,
    path: str,
    body: bytes,
) -> None:
    monkeypatch.setenv("FASTGATE_TEST_TOKEN", SECRET)
    route = replace(route, target_host=host_of(backend))
    given = [("content-type", "application/json"), ("x-gone", "1"), ("x-kept", "2")]
    given.append(("x-source-path", "stripped by the configuration"))
    assert ask_gateway(tmp_path / "gateway", route, method, path, dict(given), body) == 200
    rehearsal = rehearse(tmp_path, route, environ=dict(os.environ))
    trial = run(rehearsal, ask(method, path, body, given), body=body)
    assert trial.success, trial
    through_gateway, from_here = map(request_of, backend.calls)
    assert from_here == through_gateway


def test_every_stage_of_a_sound_route_is_passed_and_timed(backend: FaultBackend, tmp_path: Path) -> None:
    backend.play("/v1/x", answer(plain(b'{"a": 1}', headers=["content-type: application/json; charset=x"])))
    trial = run(rehearse(tmp_path, NewRoute("/v1/*", host_of(backend))), ask(path="/v1/x?token=hush&a=1"))
    assert trial.success
    assert (trial.matched, trial.status_code, trial.preview) == (True, 200, '{"a": 1}')
    assert trial.target_url == f"{backend.url}/v1/x?token=[redacted]&a=1"
    assert trial.ttfb_ms is not None
    assert trial.response_time_ms is not None
    assert 0 < trial.ttfb_ms <= trial.response_time_ms
    config, match, transform, connect, response = (stage.detail for stage in trial.stages)
    assert config == "active"
    assert match == "GET /v1/x?token=[redacted]&a=1 reaches this route"
    assert transform.splitlines()[0] == f"GET {trial.target_url}"
    assert transform.splitlines()[-1] == "no body"
    assert connect.startswith(f"{host_of(backend)} in ")
    assert response.startswith("200 application/json, first byte after ")
    (call,) = backend.calls
    assert call.target == b"/v1/x?token=hush&a=1"
    assert not call.header(b"authorization")  # the stand-in for a key goes nowhere


@pytest.mark.parametrize("data", [head(status="204 No Content"), plain(b"", status="302 Found")])
def test_a_redirect_and_an_empty_answer_are_answers(
    backend: FaultBackend, tmp_path: Path, data: bytes
) -> None:
    backend.play("/v1/x", answer(data))
    trial = run(rehearse(tmp_path, NewRoute("/v1/*", host_of(backend))))
    assert (trial.success, trial.preview) == (True, "")
    assert "no body" in trial.stages[-1].detail
    assert len(backend.calls) == 1


def test_a_redirect_is_shown_as_a_client_would_get_it(backend: FaultBackend, tmp_path: Path) -> None:
    location = f"location: {backend.url}/base/x?token={SECRET}&a=1"
    backend.play("/base/x/", answer(plain(b"", status="307 Elsewhere", headers=[location])))
    route = NewRoute("/v1/*", host_of(backend), target_path="/base", strip_path_prefix=True)
    trial = run(rehearse(tmp_path, route), ask(path="/v1/x/"))
    assert trial.success
    led_to = "http://gateway.test/v1/x?token=[redacted]&a=1"
    assert trial.stages[-1].detail.endswith(f", a client is led to {led_to}")


def test_what_the_gateway_answers_itself_is_sent_to_nobody(backend: FaultBackend, tmp_path: Path) -> None:
    asked = ask("OPTIONS", headers=[("max-forwards", "0")])
    name, detail, _ = failed_at(run(rehearse(tmp_path, NewRoute("/v1/*", host_of(backend))), asked))
    assert (name, detail) == ("match", "OPTIONS /v1/x is answered by the gateway itself")
    assert not backend.calls


@pytest.mark.parametrize(
    ("status", "remedy"),
    [("401 No", "--set-header"), ("404 No", "--path"), ("405 No", "--method"), ("503 No", "backend's log")],
)
def test_a_status_of_400_and_above_is_a_failure_with_something_to_do(
    backend: FaultBackend, tmp_path: Path, status: str, remedy: str
) -> None:
    backend.play("/v1/x", answer(plain(b"no", status=status)))
    trial = run(rehearse(tmp_path, NewRoute("/v1/*", host_of(backend))))
    name, detail, hint = failed_at(trial)
    assert (name, trial.status_code, trial.preview) == ("response", int(status[:3]), "no")
    assert detail.startswith(f"the backend answered {status[:3]}")
    assert remedy in hint


def test_a_backend_that_refuses_fails_at_connect(refusing: str, tmp_path: Path) -> None:
    trial = run(rehearse(tmp_path, NewRoute("/v1/*", refusing, route_id="rt_t")))
    name, detail, hint = failed_at(trial)
    assert (name, detail) == ("connect", f"http://{refusing}: nothing listens there")
    assert "fastgate routes update rt_t --to" in hint
    assert (trial.status_code, trial.ttfb_ms, trial.response_time_ms) == (None, None, None)
    assert trial.target_url == f"http://{refusing}/v1/x"


@pytest.mark.parametrize(("connect_timeout", "seconds"), [(0.1, 20), (20, 0.1)])
def test_a_backend_that_accepts_nothing_fails_at_connect(
    deaf: str, tmp_path: Path, connect_timeout: float, seconds: float
) -> None:
    rehearsal = rehearse(tmp_path, NewRoute("/v1/*", deaf), connect_timeout=connect_timeout)
    name, detail, _ = failed_at(run(rehearsal, seconds=seconds))
    assert name == "connect"
    assert detail.startswith(f"http://{deaf}: ")


@pytest.mark.parametrize("http_version", ["1.1", "2"])
def test_a_certificate_of_nobody_fails_at_connect(tmp_path: Path, http_version: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    secure = FaultBackend(context)
    try:
        route = NewRoute("/v1/*", host_of(secure), target_protocol="https", http_version=http_version)
        name, detail, hint = failed_at(run(rehearse(tmp_path, route)))
    finally:
        secure.close()
    assert name == "connect"
    assert "certificate is not trusted" in detail
    assert "--tls-ca FILE" in hint
    assert not secure.calls


def test_the_authorities_of_the_route_are_trusted_and_the_tls_is_told(tmp_path: Path) -> None:
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    secure = FaultBackend(context)
    try:
        route = NewRoute("/v1/*", host_of(secure), target_protocol="https", tls_ca=str(tmp_path / "ca.pem"))
        trial = run(rehearse(tmp_path, route))
    finally:
        secure.close()
    assert trial.success, trial
    assert trial.stages[0].detail == f"active, authorities in {tmp_path / 'ca.pem'}"
    assert trial.stages[3].detail.endswith(", TLSv1.3")


def test_plain_http_where_tls_is_expected_fails_at_connect(backend: FaultBackend, tmp_path: Path) -> None:
    route = NewRoute("/v1/*", host_of(backend), target_protocol="https")
    # The backend waits for the end of a head that never comes; it is the client that gives up, or the TLS.
    name, _, _ = failed_at(run(rehearse(tmp_path, route, connect_timeout=0.3)))
    assert name == "connect"


@pytest.mark.parametrize(
    ("timeout", "seconds", "words"), [(1, 20, "it was silent"), (20, 0.3, "within 0.3 s")]
)
def test_a_backend_that_says_nothing_fails_at_the_response(
    backend: FaultBackend, tmp_path: Path, timeout: int, seconds: float, words: str
) -> None:
    backend.play("/v1/x", answer(b""))
    name, detail, _ = failed_at(
        run(rehearse(tmp_path, NewRoute("/v1/*", host_of(backend), timeout=timeout)), seconds=seconds)
    )
    assert name == "response"
    assert detail.startswith("no answer")
    assert words in detail


def test_the_time_for_the_whole_holds_here_too(backend: FaultBackend, tmp_path: Path) -> None:
    backend.play("/v1/x", answer(b""))
    route = NewRoute("/v1/*", host_of(backend), total_timeout=1)
    name, _, hint = failed_at(run(rehearse(tmp_path, route)))
    assert name == "response"
    assert "--total-timeout" in hint


@pytest.mark.parametrize("reset", [True, False])
def test_an_answer_that_breaks_off_is_told_with_its_status(
    backend: FaultBackend, tmp_path: Path, reset: bool
) -> None:
    whole = plain(b"0123456789")
    backend.play("/v1/x", cut(whole, len(whole) - 5, reset=reset))
    trial = run(rehearse(tmp_path, NewRoute("/v1/*", host_of(backend))))
    name, detail, _ = failed_at(trial)
    assert (name, trial.status_code) == ("response", 200)
    assert "broke off after" in detail


@pytest.mark.parametrize(
    "data", [b"SSH-2.0-none\r\n\r\n", head("content-length: 2", status="999 Odd") + b"ok"]
)
def test_what_is_no_http_answer_fails_at_the_response(
    backend: FaultBackend, tmp_path: Path, data: bytes
) -> None:
    backend.play("/v1/x", answer(data))
    trial = run(rehearse(tmp_path, NewRoute("/v1/*", host_of(backend))))
    assert failed_at(trial)[0] == "response"
    assert trial.status_code is None


def stream_without_end(backend: FaultBackend, data: bytes) -> None:
    async def play(call: Call) -> None:
        await call.send(chunked_head("content-type: text/event-stream"))
        while True:
            await call.send(chunk(data))
            if len(data) < 1000:
                await call.connection.wait_closed()
                return

    backend.play("/v1/x", play)


def test_of_a_stream_without_end_the_beginning_is_read(backend: FaultBackend, tmp_path: Path) -> None:
    stream_without_end(backend, b"data: {}\n\n" * 1000)
    trial = run(rehearse(tmp_path, NewRoute("/v1/*", host_of(backend))))
    assert trial.success, trial
    read = re.fullmatch(r".*, (\d+) bytes in .* ms; the rest was not read", trial.stages[-1].detail)
    assert read is not None
    assert 0 <= int(read[1]) - trial_module.READ_BYTES_MAX < READ_PIECE_BYTES_MAX
    assert trial.preview.startswith("data: {}\n\n")


def test_a_stream_that_goes_on_slowly_has_come_through(
    backend: FaultBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream_without_end(backend, b"data: 1\n\n")
    rehearsal = rehearse(tmp_path, NewRoute("/v1/*", host_of(backend)))
    by_timeout = run(rehearsal, seconds=0.5)
    monkeypatch.setattr(trial_module, "READ_SECONDS_MAX", 0.1)
    by_bound = run(rehearsal)
    for trial in (by_timeout, by_bound):
        assert (trial.success, trial.preview) == (True, "data: 1\n\n")
        assert trial.stages[-1].detail.endswith("the rest was not read")


def test_another_backend_is_tried_where_the_gateway_would(
    backend: FaultBackend, refusing: str, tmp_path: Path
) -> None:
    route = NewRoute("/v1/*", refusing, targets=[backend.url])
    trial = run(rehearse(tmp_path, route))
    assert trial.success
    assert trial.target_url == f"{backend.url}/v1/x"
    assert trial.stages[3].detail.endswith(f"{backend.url} after 2 tries")
    assert len(backend.calls) == 1
    only = NewRoute("/v1/*", refusing, targets=[f"http://{refusing}"])
    (tmp_path / "two").mkdir()
    name, detail, _ = failed_at(run(rehearse(tmp_path / "two", only)))
    assert name == "connect"
    assert detail.startswith(f"none of 2 backends, http://{refusing} first, answers: ")


def test_the_egress_proxy_is_the_way(backend: FaultBackend, tmp_path: Path, refusing: str) -> None:
    rehearsal = rehearse(
        tmp_path, NewRoute("/v1/*", "far.test"), egress_proxy=f"http://u:{SECRET}@{host_of(backend)}"
    )
    trial = run(rehearsal)
    assert trial.success, trial
    (call,) = backend.calls
    assert call.target == b"http://far.test/v1/x"
    assert "through the egress proxy" in trial.stages[3].detail
    assert SECRET not in repr(trial) + repr(rehearsal)
    (tmp_path / "two").mkdir()
    name, _, _ = failed_at(
        run(rehearse(tmp_path / "two", NewRoute("/v1/*", "far.test"), egress_proxy=f"http://{refusing}"))
    )
    assert name == "connect"


def test_no_secret_is_told_even_if_the_backend_says_it_back(backend: FaultBackend, tmp_path: Path) -> None:
    async def echo(call: Call) -> None:
        await call.read_body()
        await call.send(plain(call.head + call.body, headers=[f"content-type: {SECRET}"]))

    backend.play("/v1/x", echo)
    route = NewRoute(
        "/v1/*",
        host_of(backend),
        add_headers={"Authorization": "Bearer ${env:TOKEN}", "X-Own": "${file:token}"},
        add_body_fields={"api_key": SECRET + "-3"},
    )
    (tmp_path / "token").write_text(SECRET + "-2\n")
    rehearsal = rehearse(tmp_path, route, environ={"TOKEN": SECRET})
    body = b"{}"
    asked = ask("POST", body=body, headers=[("cookie", SECRET + "-4")])
    trial = run(rehearsal, asked, body=body)
    assert trial.success
    shown = repr(trial) + trial.preview + "".join(stage.detail for stage in trial.stages)
    assert "x-own: [redacted]" in shown
    assert SECRET not in shown + repr(rehearsal)
    assert SECRET.encode() in backend.calls[0].head
