"""A request as a curl command: a shell reads back what was sent, and what is not known is said."""

from __future__ import annotations

import os
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fastgate_cli.commands.log_curl import BODY_BYTES_MAX, build_curl
from tests.proxy.store.rows import NOW

ADDRESS = "http://127.0.0.1:8514"
KEY = "fg_a'b\"c $d"
# Puts the words that it is given on stdout, each ended by NUL.
CURL = "#!/bin/sh\nprintf '%s\\0' \"$@\"\n"


@pytest.fixture(scope="module")
def shells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a `curl` that tells its arguments."""
    folder = tmp_path_factory.mktemp("bin")
    (folder / "curl").write_text(CURL)
    (folder / "curl").chmod(0o700)
    return folder


def make_row(**columns: Any) -> dict[str, Any]:
    row = {
        "id": "log_1",
        "method": "POST",
        "path": "/v1/chat",
        "target_url": "http://10.0.0.1:8000/v1/chat",
        "api_key": "key_1",
        "is_stream": False,
        "request_headers": [["authorization", "Bearer [redacted]"], ["content-type", "application/json"]],
        "request_body": '{"a": 1}',
        "request_size": 8,
        "response_time": NOW,
        "error_message": None,
    }
    return {**row, **columns}


def parse(shells: Path, text: str) -> list[str]:
    """Return the arguments that a shell makes of a command."""
    environ = {"PATH": f"{shells}:/usr/bin:/bin", "FASTGATE_KEY": KEY, "LC_ALL": "C.UTF-8"}
    printed = subprocess.run(["sh"], input=os.fsencode(text), env=environ, capture_output=True, check=True)
    assert printed.stderr == b""
    return [os.fsdecode(word) for word in printed.stdout.split(b"\0")[:-1]]


def test_the_command_is_short_where_curl_does_the_rest_itself(shells: Path) -> None:
    command = build_curl(make_row(), ADDRESS)
    assert command.text.splitlines() == [
        "curl http://127.0.0.1:8514/v1/chat \\",
        '  -H "authorization: Bearer $FASTGATE_KEY" \\',
        "  -H 'content-type: application/json' \\",
        """  --data-raw '{"a": 1}'""",
    ]
    assert command.remarks == ()
    assert f"authorization: Bearer {KEY}" in parse(shells, command.text)


def test_headers_that_curl_or_the_gateway_states_are_left_out(shells: Path) -> None:
    headers = [
        *(["host", "x"], ["content-length", "8"], ["user-agent", "u"], ["accept", "*/*"], ["te", "trailers"]),
        *(["x-forwarded-for", "::1"], ["connection", "close"], ["x-request-id", "r"]),
        *(
            ["accept-encoding", "gzip, br"],
            ["x-api-key", "[redacted]"],
            ["x-empty", ""],
            ["x-a", "café"],
        ),
        *(["content-type", "text/plain"], ["x-twice", "1"], ["x-twice", "2"]),
    ]
    words = parse(shells, build_curl(make_row(request_headers=headers), ADDRESS).text)
    assert words[1:-2] == [
        *("--compressed", "-H", f"x-api-key: {KEY}", "-H", "x-empty;", "-H", "x-a: café"),
        *("-H", "content-type: text/plain", "-H", "x-twice: 1", "-H", "x-twice: 2"),
    ]


def test_the_query_comes_from_where_it_was_sent_to(shells: Path) -> None:
    target = "http://10.0.0.1:8000/other?q=a%20b&x[]={1}&token=[redacted]"
    command = build_curl(make_row(target_url=target, path="/v1/../x\xe9"), ADDRESS)
    assert parse(shells, command.text)[:3] == [
        "-g",
        "--path-as-is",
        f"{ADDRESS}/v1/../x%E9?q=a%20b&x[]={{1}}&token=[redacted]",
    ]
    assert "masked" in command.remarks[0]
    refused = build_curl(make_row(target_url=None), ADDRESS)
    assert any("query" in remark for remark in refused.remarks)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"method": "GET", "request_body": None, "request_size": 0}, []),
        ({"method": "HEAD", "request_body": None, "request_size": 0}, ["--head"]),
        ({"method": "POST", "request_body": None, "request_size": 0}, ["-X", "POST"]),
        ({"method": "PUT"}, ["-X", "PUT"]),
        ({"method": "GET"}, ["-X", "GET"]),
        ({"is_stream": True}, ["-N"]),
    ],
)
def test_the_method_is_given_where_curl_would_choose_another(
    shells: Path, columns: dict[str, Any], words: list[str]
) -> None:
    parsed = parse(shells, build_curl(make_row(**columns), ADDRESS).text)
    assert parsed[: parsed.index(f"{ADDRESS}/v1/chat")] == words


@pytest.mark.parametrize(
    ("body", "size", "said"),
    [
        (None, 5, "not recorded"),
        ('{"a":[cut at 5 of 50 bytes]', 50, "a part"),
        ("[binary, 7 bytes]", 7, "binary"),
        ("\x1b[2J", 4, "first: fastgate logs show log_1 --json"),
        ("a\r\nb", 4, "first: fastgate logs show log_1 --json"),
        ("x" * (BODY_BYTES_MAX + 1), BODY_BYTES_MAX + 1, "too long"),
    ],
)
def test_a_body_that_is_not_known_or_cannot_be_pasted_is_a_placeholder(
    shells: Path, body: str | None, size: int, said: str
) -> None:
    command = build_curl(make_row(request_body=body, request_size=size), ADDRESS)
    assert parse(shells, command.text)[-2:] == ["--data-binary", "@BODY"]
    assert [said in remark for remark in command.remarks] == [True]


def test_a_request_in_flight_has_no_body_yet() -> None:
    row = make_row(request_body=None, request_size=None, response_time=None)
    command = build_curl(row, ADDRESS)
    assert "BODY" not in command.text
    assert "in flight" in command.remarks[0]


def test_masked_headers_are_named_and_left_out(shells: Path) -> None:
    headers = [["cookie", "[redacted]"], ["x-b", "has [redacted] in it"], ["x-c", "\x9b2J"]]
    command = build_curl(make_row(request_headers=headers), ADDRESS)
    assert "cookie, x-b, x-c" in command.remarks[0]
    words = parse(shells, command.text)
    # The request came with a key, so that it needs one; and curl is kept from stating a type.
    assert words[1:-2] == ["-H", f"Authorization: Bearer {KEY}", "-H", "Content-Type:"]


def test_without_recorded_headers_json_is_taken_for_json(shells: Path) -> None:
    command = build_curl(make_row(request_headers=None), ADDRESS)
    assert command.remarks == ("the headers were not recorded",)
    assert parse(shells, command.text)[1:-2] == [
        *("-H", f"Authorization: Bearer {KEY}", "-H", "Content-Type: application/json")
    ]


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("http://0.0.0.0:80", "http://127.0.0.1:80/v1/chat"),
        ("http://[::]:80", "http://[::1]:80/v1/chat"),
        ("http://10.1.2.3:80", "http://10.1.2.3:80/v1/chat"),
    ],
)
def test_a_gateway_that_listens_everywhere_is_asked_here(shells: Path, address: str, url: str) -> None:
    assert url in parse(shells, build_curl(make_row(), address).text)


def test_a_port_that_nobody_knows_is_told() -> None:
    assert "port" in build_curl(make_row(), "http://127.0.0.1:0").remarks[0]


TEXT = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp"]) | st.sampled_from("\n\t'\"$`\\!")
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="?"), max_size=40),
    st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=40),
    st.lists(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20), max_size=3),
    TEXT,
)
def test_a_shell_reads_back_what_was_sent(
    shells: Path, path: str, query: str, values: list[str], body: str
) -> None:
    headers = [[f"x-{number}", value] for number, value in enumerate(values)]
    row = make_row(
        path=f"/{path}",
        target_url=f"http://h/other?{query}",
        request_headers=headers,
        api_key=None,
        request_body=body or None,
        request_size=len(body.encode()),
    )
    words = parse(shells, build_curl(row, ADDRESS).text)
    assert f"{ADDRESS}/{path}?{query}" in words
    given_headers = [text for option, text in pairwise(words) if option == "-H"]
    expected = [f"{name}: {value}" if value.strip() else f"{name};" for name, value in headers]
    assert given_headers == expected + (["Content-Type:"] if body else [])
    assert words[-1] == body if body else "--data-raw" not in words
