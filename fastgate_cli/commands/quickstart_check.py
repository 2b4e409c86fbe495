"""`quickstart --check`: one plain and one streamed request through the gateway, held against the backend.

From the mock both have to come back byte for byte. A real model answers the same question differently each
time: then status and content type have to agree.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from fastgate_cli.commands.quickstart_parts import find_model
from fastgate_cli.context import Invocation
from proxy.errors import NotFoundError, UpstreamError
from proxy.store.logs import get_log

QUESTION = "What does a gateway do?"
ROW_WAIT_SECONDS = 10.0
ANSWER_WAIT_SECONDS = 120.0
_POLL_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Report:
    """What one request came to: the answer's text, its audit row, and every difference that was found."""

    name: str
    answer: str
    row: dict[str, Any] | None
    differences: Sequence[str]


def run_check(
    invocation: Invocation, gateway_url: str, upstream_url: str, key: str, *, is_deterministic: bool
) -> list[Report]:
    """Ask the gateway and the backend the same, plain and streamed, and read the rows of it."""
    with httpx.Client(timeout=ANSWER_WAIT_SECONDS, trust_env=False) as client:
        model = find_model(upstream_url)
        if model is None:
            hint = "--upstream takes the address of an OpenAI-compatible server that has a model"
            raise UpstreamError(f"{upstream_url} lists no models", hint=hint)
        return [
            _check_one(
                invocation, client, (gateway_url, upstream_url), key, model, streamed, is_deterministic
            )
            for streamed in (False, True)
        ]


def _check_one(
    invocation: Invocation,
    client: httpx.Client,
    urls: tuple[str, str],
    key: str,
    model: str,
    streamed: bool,
    is_deterministic: bool,
) -> Report:
    body = {"model": model, "messages": [{"role": "user", "content": QUESTION}], "stream": streamed}
    asked, direct = (_ask(client, url, key, body) for url in urls)
    row = _wait_for_row(invocation, asked.headers.get("x-request-id", ""))
    differences = [*_compare(asked, direct, is_deterministic), *_compare_row(row, asked)]
    return Report("streamed" if streamed else "plain", read_answer(asked.text, streamed), row, differences)


def _ask(client: httpx.Client, url: str, key: str, body: dict[str, Any]) -> httpx.Response:
    headers = {"Authorization": f"Bearer {key}"}
    try:
        return client.post(f"{url}/v1/chat/completions", json=body, headers=headers)
    except httpx.HTTPError as error:
        raise UpstreamError(f"{url} did not answer: {error}", hint="is it still running?") from error


def _compare(asked: httpx.Response, direct: httpx.Response, is_deterministic: bool) -> list[str]:
    differences = [
        f"{name}: {via} through the gateway, {straight} from the backend"
        for name, via, straight in (
            ("status", asked.status_code, direct.status_code),
            ("content-type", asked.headers.get("content-type"), direct.headers.get("content-type")),
        )
        if via != straight
    ]
    if asked.status_code != 200:
        differences.append(f"status: {asked.status_code}: {asked.text[:200]}")
    if is_deterministic and asked.content != direct.content:
        differences.append(
            f"body: {len(asked.content)} bytes differ from the backend's {len(direct.content)}"
        )
    return differences


def _compare_row(row: dict[str, Any] | None, asked: httpx.Response) -> list[str]:
    if row is None:
        return ["the audit trail has no row of it"]
    # Bytes as they came: httpx would have decompressed a body that came compressed.
    facts = (
        ("status", row["status_code"], asked.status_code),
        ("size", row["response_size"], asked.num_bytes_downloaded),
    )
    return [f"{name}: the audit row says {noted}, it was {was}" for name, noted, was in facts if noted != was]


def _wait_for_row(invocation: Invocation, request_id: str) -> dict[str, Any] | None:
    deadline = time.monotonic() + ROW_WAIT_SECONDS
    while time.monotonic() < deadline:
        try:
            with invocation.reading() as database:
                row = get_log(database, request_id)
            if row["response_time"] is not None:
                return row
        except NotFoundError:
            pass
        time.sleep(_POLL_SECONDS)
    return None


def read_answer(text: str, streamed: bool) -> str:
    """Return what the model said, from a response or from the events of a stream; raw text if unreadable."""
    try:
        if not streamed:
            return str(json.loads(text)["choices"][0]["message"]["content"])
        lines = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: {")]
        deltas = [choice["delta"] for line in lines for choice in json.loads(line)["choices"]]
        return "".join(delta.get("content") or "" for delta in deltas)
    except (ValueError, LookupError, TypeError, AttributeError):
        return text[:200]
