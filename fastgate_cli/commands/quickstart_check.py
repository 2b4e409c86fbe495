"""`quickstart --check`: one plain and one streamed request through the gateway, held against the backend.

From the mock both have to come back byte for byte. A real model answers the same question differently each
time: then status and content type have to agree.
"""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import httpx

from fastgate_cli.columns import Column
from fastgate_cli.commands.log_columns import COLUMNS
from fastgate_cli.commands.quickstart_parts import find_model, needs_certificates
from fastgate_cli.context import Invocation
from fastgate_cli.output import OutputOptions, print_note, print_rows
from proxy.errors import NotFoundError, UpstreamError
from proxy.store.logs import get_log

QUESTION = "What does a gateway do?"
ROW_WAIT_SECONDS = 10.0
ANSWER_WAIT_SECONDS = 120.0
# What a table shows of the two requests. Who asked and for which path is known.
SHOWN = ("request_time", "path", "outcome", "ttfb", "response_time_ms", "response_size", "stream_chunks")
_POLL_SECONDS = 0.1
_NAME_WIDTH = 10


@dataclass(frozen=True, slots=True)
class Report:
    """What one request came to: the answer's text, its audit row, and every difference that was found."""

    name: str
    answer: str
    row: dict[str, Any] | None
    differences: Sequence[str]


def run_check(
    invocation: Invocation, urls: tuple[str, str], key: str, *, is_deterministic: bool
) -> list[Report]:
    """Ask the gateway and the backend (`urls`) the same, plain and streamed, and read the rows of it."""
    verify = needs_certificates(*urls)
    with httpx.Client(timeout=ANSWER_WAIT_SECONDS, trust_env=False, verify=verify) as client:
        model = find_model(urls[1])
        if model is None:
            hint = "--upstream takes the address of an OpenAI-compatible server that has a model"
            raise UpstreamError(f"{urls[1]} lists no models", hint=hint)
        reports = []
        for streamed in (False, True):
            question = {"model": model, "messages": [{"role": "user", "content": QUESTION}]}
            asked, direct = (_ask(client, url, key, {**question, "stream": streamed}) for url in urls)
            row = _wait_for_row(invocation, asked.headers.get("x-request-id", ""))
            differences = [*_compare(asked, direct, is_deterministic), *_compare_row(row, asked)]
            answer = read_answer(asked.text, streamed)
            reports.append(Report("streamed" if streamed else "plain", answer, row, differences))
        return reports


def report_check(reports: Sequence[Report], options: OutputOptions) -> bool:
    """Print the answers, the audit rows and every difference; return whether there was none."""
    print_note("")
    for report in reports:
        _print_entry(report.name, report.answer)
    print_note("")
    print_rows([report.row for report in reports if report.row], select_columns(), options)
    print_note("")
    for report in reports:
        for difference in report.differences:
            _print_entry(report.name, difference)
    agrees = not any(report.differences for report in reports)
    print_note(
        "the gateway answers as the backend does" if agrees else "the gateway differs from the backend"
    )
    return agrees


def select_columns() -> list[Column]:
    """Return the columns of the audit trail, all of them in data, and in a table only what matters here."""
    shown = {column.name: column for column in COLUMNS if column.name in SHOWN}
    others = [column for column in COLUMNS if column.name not in SHOWN and column.shown != "display"]
    front, *rest = others
    return [
        replace(front, shown="wide"),
        *(replace(column, shown="always") if column.shown == "wide" else column for column in shown.values()),
        *(replace(column, shown="wide" if column.shown == "always" else column.shown) for column in rest),
    ]


def _print_entry(name: str, text: str) -> None:
    if not sys.stderr.isatty():
        return print_note(f"{name:{_NAME_WIDTH}}{text}")
    lines = textwrap.wrap(text, shutil.get_terminal_size().columns - _NAME_WIDTH) or [""]
    for number, line in enumerate(lines):
        print_note(f"{'' if number else name:{_NAME_WIDTH}}{line}")
    return None


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
        ("reason", row["error_message"], None),
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
