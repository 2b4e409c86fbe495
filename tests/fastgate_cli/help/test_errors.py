"""Every error that the gateway can answer is on the page, with its status, and none that it cannot."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path

from fastgate_cli.help.errors import BODY, ERRORS, build_page
from proxy import errors
from proxy.gateway.replies import Reply, build_error, write_refusal
from proxy.http1 import faults

ROOT = Path(__file__).parents[3]
# A client that has begun to read an answer can be told nothing any more.
NEVER_ANSWERED = {"upstream_truncated"}


def find_replies() -> Iterator[tuple[int, str]]:
    """Yield status and code of everything that answers a request, from the sources."""
    for path in (ROOT / "proxy/policy/decide.py", *(ROOT / "proxy/gateway").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("Refuse", "Reply"):
                yield from read_pair(node.args)
            elif isinstance(node, ast.Tuple):
                yield from read_pair(node.elts)
    for fault in vars(faults).values():
        if isinstance(fault, faults.Fault):
            body = write_refusal(fault).partition(b"\r\n\r\n")[2]
            yield fault.status, json.loads(body)["error"]["code"]
    for kind in vars(errors).values():
        if isinstance(kind, type) and issubclass(kind, errors.UpstreamError | errors.JournalError):
            yield kind.status, kind.code


def read_pair(nodes: list[ast.expr]) -> Iterator[tuple[int, str]]:
    values = [node.value for node in nodes if isinstance(node, ast.Constant)]
    if len(values) >= 2 and isinstance(values[0], int) and isinstance(values[1], str):
        yield values[0], values[1]


def test_the_page_has_all_that_is_answered_and_nothing_else() -> None:
    answered = {(status, code) for status, code in find_replies() if code not in NEVER_ANSWERED}
    assert len(answered) > 10
    assert {(status, error.code) for error in ERRORS for status in error.statuses} == answered


def test_the_codes_of_the_contract_are_among_them() -> None:
    promised = {
        *("missing_api_key", "invalid_api_key", "permission_denied", "no_route", "rate_limited"),
        *("bad_request", "body_too_large", "upstream_unreachable", "upstream_invalid"),
        *("upstream_timeout", "overloaded"),
    }
    assert promised <= {error.code for error in ERRORS}


def test_the_body_is_the_one_that_is_sent() -> None:
    shown = json.loads("".join(BODY))
    error = shown["error"]
    assert json.loads(build_error(Reply(404, error["code"], error["message"]), error["request_id"])) == shown
    assert '"no_route", "no route matches this request"' in (ROOT / "proxy/policy/decide.py").read_text()


def test_the_page_shows_every_code() -> None:
    rows = dict(row for block in build_page().blocks for row in getattr(block, "rows", ()))
    assert list(rows) == [error.code for error in ERRORS]
    assert rows["no_route"].startswith("404. ")
