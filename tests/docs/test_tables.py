"""Tables that say what matches, where it goes and what is answered are held against the code that does it."""

from __future__ import annotations

import re

import pytest

from proxy.errors import UpstreamError, UpstreamInvalidError, UpstreamTimeoutError
from proxy.gateway import replies
from proxy.policy.bodies import Body
from proxy.policy.framing import find_fault
from proxy.policy.model import RequestHead, Route
from proxy.policy.patterns import compile_pattern
from proxy.policy.permissions import compile_permissions, is_body_permitted, is_permitted
from proxy.policy.targets import compile_target, parse_target
from tests.docs.commands import parse_line
from tests.docs.documents import ROOT, Document
from tests.docs.shell import find_calls

ROUTES, KEYS, HTTP, OLD = (
    Document(ROOT / "docs" / f"{name}.md") for name in ("routes", "keys", "http", "from-m-fastgate")
)
PATTERNS = ROUTES.find_rows("--match", "matches", "does not match")
TARGETS = ROUTES.find_rows("--match", "--to and its companions", "request", "is sent as")
# What M-FastGate 0.4 served besides what it forwarded: 19 of its admin API, 5 of its console, and its health.
OLD_ENDPOINTS = 25


def head_of(path: str, method: str = "GET") -> RequestHead:
    return RequestHead(method, path.encode(), b"", [(b"host", b"x")], "127.0.0.1")


@pytest.mark.parametrize(("patterns", "hits", "misses"), PATTERNS, ids=lambda cell: cell[0])
def test_patterns_match_as_the_table_says(patterns: list[str], hits: list[str], misses: list[str]) -> None:
    pattern = compile_pattern(patterns[0])
    assert hits
    assert misses
    assert all(pattern.match(path.encode()) for path in hits)
    assert not any(pattern.match(path.encode()) for path in misses)


@pytest.mark.parametrize(("patterns", "options", "requests", "urls"), TARGETS, ids=lambda cell: cell[0])
def test_requests_go_where_the_table_says(
    patterns: list[str], options: list[str], requests: list[str], urls: list[str]
) -> None:
    url, *flags = options[0].split()
    pattern, strips = compile_pattern(patterns[0]), flags == ["--strip-prefix"]
    target = parse_target(url, strip_prefix=strips, pattern=pattern)
    build = compile_target(target.path, strip_prefix=strips, pattern=pattern)
    path = requests[0].encode()
    match = pattern.match(path)
    assert match is not None
    assert target.origin + build(path, match).decode() == urls[0]


def test_permissions_allow_what_the_table_says() -> None:
    entries = [row[0][0] for row in KEYS.find_rows("entry", "allows")]
    assert entries == ["/v1/*", "POST /v1/chat/*", "route:chat", "*"]
    chat, other = (Route(f"rt_{name}", name, "/x", "gpu:8000") for name in ("chat", "other"))
    post, get = head_of("/v1/chat/completions", "POST"), head_of("/v1/models")
    allowed = {
        entry: [
            is_permitted(compile_permissions([entry]), head, route)
            for head, route in ((post, other), (get, other), (head_of("/x"), chat), (head_of("/x"), other))
        ]
        for entry in entries
    }
    assert allowed == {
        "/v1/*": [True, True, False, False],
        "POST /v1/chat/*": [True, False, False, False],
        "route:chat": [False, False, True, False],
        "*": [True, True, True, True],
    }
    narrowed = compile_permissions(["model:qwen*"])
    head = RequestHead("POST", b"/v1/x", b"", [(b"host", b"x"), (b"content-length", b"9")], "127.0.0.1")
    assert is_body_permitted(narrowed, Body(head, b'{"model": "qwen3"}'))
    assert not is_body_permitted(narrowed, Body(head, b'{"model": "gpt"}'))
    assert is_body_permitted(narrowed, Body(get))


def test_the_errors_are_those_that_the_gateway_makes() -> None:
    documented = {
        (int(status), code)
        for status, code in re.findall(r"^\| (\d{3}) \| `(\w+)` \|", HTTP.text, re.MULTILINE)
    }
    made = {
        value[:2]
        for value in vars(replies).values()
        if isinstance(value, tuple) and len(value) == 3 and isinstance(value[0], int)
    }
    made |= {reply[:2] for reply in replies.BODY_REPLIES.values()}
    made |= {(kind.status, kind.code) for kind in (UpstreamError, UpstreamInvalidError, UpstreamTimeoutError)}
    sources = (ROOT / "proxy/policy/decide.py", ROOT / "proxy/gateway/exchange.py")
    source = "".join(path.read_text() for path in sources)
    made |= {(int(status), code) for status, code in re.findall(r'Re(?:fuse|ply)\((\d+), "(\w+)"', source)}
    # Of one code several statuses: the table has them in the words of one row.
    assert documented == made - {(408, "bad_request")}
    assert "408, 414, 417, 431, 505" in HTTP.text


@pytest.mark.parametrize(
    "path",
    [
        "/a//b",
        "/a/../b",
        "/a/%2e%2e/b",
        "/a/./b",
        "/a\\b",
        "/a%2fb",
        "/a%5Cb",
        "/a%00",
        "/a%0a",
        "/a%0D",
        "/a%zz",
    ],
)
def test_paths_are_refused_that_the_document_names(path: str) -> None:
    fault = find_fault(head_of(path))
    assert fault is not None
    assert fault[0] == "bad_path"


def test_every_endpoint_of_the_predecessor_has_its_command() -> None:
    rows = re.findall(r"^\| `((?:GET|POST) \S+)` \| (.*) \|$", OLD.text, re.MULTILINE)
    current = dict(rows[:OLD_ENDPOINTS])
    assert len(current) == OLD_ENDPOINTS
    admin = [endpoint for endpoint in current if " /admin/" in endpoint and "/ui/" not in endpoint]
    assert len(admin) == 19
    without = [endpoint for endpoint, text in rows if "`fastgate " not in text]
    assert without == ["GET /admin/ui/static/{file_path}"]


def test_every_command_in_the_predecessors_tables_exists_and_its_options_parse() -> None:
    calls = [words for span in OLD.code_spans if span.startswith("fastgate ") for words in find_calls(span)]
    assert len(calls) > 70
    for words in calls:
        if words[:2] != ["config", "validate"]:
            parse_line(words)
    # Nothing of the console is without an answer.
    console = OLD.find_rows("in the console", "FastGate")
    assert len(console) > 25
    assert all(any(span.startswith("fastgate ") for span in row[1]) for row in console)
