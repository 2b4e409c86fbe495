"""The sheet of a request: everything is on it, in its place, at the width there is, and none of it acts."""

from __future__ import annotations

import json
import re
from datetime import timedelta, timezone
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fastgate_cli.commands.log_sheet import draw_sheet
from tests.proxy.store.rows import NOW

ZONE = timezone(timedelta(hours=8))
REPLY = {
    "model": "qwen3",
    "choices": [
        {
            "message": {
                "role": "assistant",
                "content": "Hello\nthere",
                "tool_calls": [{"function": {"name": "weather", "arguments": '{"city":"Rome"}'}}],
            },
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 1200, "completion_tokens": 4},
}
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def make_row(**columns: Any) -> dict[str, Any]:
    row = {
        "id": "log_1",
        "request_id": "req_1",
        "api_key": "key_1",
        "source_path": "ci",
        "method": "POST",
        "path": "/v1/chat",
        "target_url": "http://10.0.0.1:8000/v1/chat",
        "status_code": 200,
        "request_time": NOW,
        "first_response_time": NOW + timedelta(milliseconds=100),
        "response_time": NOW + timedelta(milliseconds=1000),
        "request_size": 8,
        "response_size": 6246,
        "user_agent": "openai/1.0",
        "ip_address": "::1",
        "is_stream": True,
        "stream_chunks": 25,
        "error_message": None,
        "request_headers": [["accept", "*/*"], ["x-tag", "one"], ["x-tag", "two"]],
        "request_body": '{"a": 1}',
        "response_headers": None,
        "response_body": json.dumps(REPLY),
        "route_id": "rt_1",
        "gateway_ms": 20.0,
    }
    return {**row, **columns}


@pytest.fixture(autouse=True)
def eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """A width, and no colour, as far as drawing is concerned."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")


def lines_of(row: dict[str, Any], **options: Any) -> list[str]:
    return draw_sheet(row, ZONE, now=NOW + timedelta(seconds=3), **options).splitlines()


def test_a_sheet_says_what_who_where_when_and_how_long() -> None:
    assert lines_of(make_row()) == [
        "POST /v1/chat  200  took 1.00s",
        "id      log_1  req_1",
        "when    2026-01-31T20:00:00.000000+08:00",
        "key     key_1, source ci",
        "client  ::1, openai/1.0",
        "route   rt_1",
        "target  http://10.0.0.1:8000/v1/chat",
        "size    request 8B, response 6.1K, a stream of 25 chunks",
        "",
        "█" + "░" * 6 + "▒" * 65,
        "█ gateway 20.0ms   ░ first byte 80.0ms   ▒ rest 900ms",
        "",
        "request headers",
        "  accept: */*",
        "  x-tag:  one",
        "  x-tag:  two",
        "",
        "request body",
        "  {",
        '    "a": 1',
        "  }",
        "",
        "response body  a reply of qwen3; --raw shows its JSON",
        "  assistant  stop",
        "    Hello",
        "    there",
        "    calls weather",
        "      {",
        '        "city": "Rome"',
        "      }",
        "  usage: prompt_tokens 1,200, completion_tokens 4",
    ]


def test_raw_shows_the_json_of_a_reply() -> None:
    lines = lines_of(make_row(), is_raw=True)
    start = lines.index("response body") + 1
    assert json.loads("\n".join(lines[start:])) == REPLY


def test_a_refusal_and_a_failure_have_their_reason() -> None:
    row = make_row(
        **dict.fromkeys(("api_key", "source_path", "target_url", "route_id", "first_response_time")),
        **dict.fromkeys(("request_headers", "request_body", "response_body", "user_agent")),
        status_code=401,
        error_message="missing_api_key",
        is_stream=False,
        gateway_ms=1000.0,
    )
    assert lines_of(row) == [
        "POST /v1/chat  401  took 1.00s",
        "id      log_1  req_1",
        "when    2026-01-31T20:00:00.000000+08:00",
        "reason  missing_api_key",
        "client  ::1",
        "size    request 8B, response 6.1K",
        "",
        "█" * 72,
        "█ gateway 1.00s   ░ wait 0.00ms",
    ]


def test_a_request_in_flight_says_for_how_long() -> None:
    ended = ("status_code", "response_time", "request_size", "response_size", "request_body", "response_body")
    lines = lines_of(make_row(**dict.fromkeys((*ended, "gateway_ms")), stream_chunks=0))
    assert lines[0] == "POST /v1/chat  in flight for 3.00s"
    assert "ttfb    100ms" in lines
    assert "size    a stream" in lines
    cut = lines_of(make_row(**dict.fromkeys(ended), error_message="interrupted"))
    assert cut[0] == "POST /v1/chat  cut"


@pytest.mark.parametrize("mark", ["cut at 9 of 50 bytes", "binary, 50 bytes"])
def test_a_body_that_is_not_all_there_says_so(mark: str) -> None:
    lines = lines_of(make_row(request_body=f'{{"a": "b[{mark}]'))
    start = lines.index(f"request body  {mark}")
    assert lines[start + 1] == '  {"a": "b'


def test_a_stream_that_was_cut_and_its_errors_are_told() -> None:
    reply = {**REPLY, "stream_incomplete": True, "stream_errors": [{"error": "no memory"}]}
    lines = lines_of(make_row(response_body=json.dumps(reply)))
    assert lines[-2:] == ['  error in the stream: {"error": "no memory"}', "  this is not all of the stream"]


def test_long_lines_fold_below_where_they_began() -> None:
    words = " ".join(["word"] * 40)
    lines = lines_of(make_row(request_body=json.dumps({"a": {"text": words, "solid": "x" * 150}})))
    assert max(map(len, lines)) <= 80
    (start,) = [number for number, line in enumerate(lines) if '"text"' in line]
    assert lines[start + 1].startswith("      word")
    assert "".join(line.strip() for line in lines).count("x" * 150) == 1


def test_long_bodies_are_bounded_where_that_is_asked_for() -> None:
    row = make_row(request_body=json.dumps(list(range(500))), response_body="line\n" * 99)
    lines = lines_of(row, lines_max=10)
    assert lines.count("  line") == 10
    assert "  … 492 more lines: logs show log_1 -o wide" in lines
    assert lines[-1].startswith("  … 90 more lines")
    assert "  499" in [line[2:] for line in lines_of(row)]


def test_in_a_pipe_no_line_is_folded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS")
    assert "  " + "word " * 200 + "end" in lines_of(make_row(request_body="word " * 200 + "end"))


def test_colour_is_used_where_it_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = "\n".join(lines_of(make_row()))
    assert "\x1b" not in plain
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    coloured = "\n".join(lines_of(make_row()))
    assert coloured.count("\x1b[") > 20
    assert COLOUR.sub("", coloured) == plain


NASTY = st.text(
    st.characters(codec="utf-8") | st.sampled_from("\x1b\x9b\r\n\t[]/\\\u202e\u2028"), max_size=60
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from(sorted(make_row())), NASTY), NASTY, NASTY)
def test_nothing_that_was_recorded_acts_on_a_terminal(columns: dict[str, str], name: str, body: str) -> None:
    kept = {key: text for key, text in columns.items() if isinstance(make_row()[key], str)}
    row = make_row(**{**kept, "request_headers": [[name, body], body, None], "response_body": body})
    sheet = draw_sheet(row, ZONE, now=NOW)
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]", sheet)
    reply = {"choices": [{"message": {"role": name, "content": body}, "finish_reason": name}], "model": name}
    sheet = draw_sheet(make_row(response_body=json.dumps(reply)), ZONE, now=NOW)
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]", sheet)
