"""A mock, served as `fastgate mock` serves it, in a thread; it must never have to log an error."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import httpx
import pytest
import uvloop

from proxy.mock.app import create_mock
from proxy.runtime.server import AppSite


class _Recorder(logging.Handler):
    """What one thread logs: others, of other tests, may log what they like."""

    def __init__(self, thread: threading.Thread) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []
        self._thread = thread

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread.ident:
            self.messages.append(self.format(record))


@contextmanager
def _run_mock(ttfb_ms: float, tokens_per_second: float) -> Iterator[str]:
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    loop = uvloop.new_event_loop()
    stop = asyncio.Event()
    site = AppSite(create_mock(ttfb_ms=ttfb_ms, tokens_per_second=tokens_per_second), listener)

    def run() -> None:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(site.serve(stop, 0.2))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()

    thread = threading.Thread(target=run)
    recorder = _Recorder(thread)
    logging.getLogger().addHandler(recorder)
    thread.start()
    try:
        yield url
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        logging.getLogger().removeHandler(recorder)
    assert not thread.is_alive()
    assert recorder.messages == []


@pytest.fixture(scope="session")
def mock_url() -> Iterator[str]:
    """The base URL of a mock that answers as fast as it can."""
    with _run_mock(0, 0) as url:
        yield url


@pytest.fixture(scope="session")
def http(mock_url: str) -> Iterator[httpx.Client]:
    """A raw client of that mock; one for all tests, because making one costs more than most of them."""
    with httpx.Client(base_url=mock_url, trust_env=False) as client:
        yield client


@pytest.fixture
def start_mock() -> Iterator[Callable[[float, float], str]]:
    """Start a mock with a time to first byte (ms) and tokens per second; return its base URL."""
    with ExitStack() as running:
        yield lambda ttfb_ms, tokens_per_second: running.enter_context(_run_mock(ttfb_ms, tokens_per_second))
