"""A filter is typed as the options of `fastgate logs`, and what is wrong with it is told in a line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastgate_cli.context import Invocation
from fastgate_cli.dashboard.filters import parse_filter
from proxy.errors import InvalidInputError
from proxy.store.log_filter import LogFilter


@pytest.fixture(scope="module")
def invocation(tmp_path_factory: pytest.TempPathFactory) -> Invocation:
    folder = tmp_path_factory.mktemp("filters")
    file = Path(folder) / "fastgate.yaml"
    file.write_text("app: {port: 1}\n")
    return Invocation(file, {"HOME": str(folder)})


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", LogFilter()),
        ("   ", LogFilter()),
        ("--status 5xx --source ci", LogFilter(status=("5xx",), sources=("ci",))),
        ("--status=404 --status 500-599", LogFilter(status=("404", "500-599"))),
        ("--path '/v1/*' --method post", LogFilter(path_glob="/v1/*", methods=("post",))),
        ("--grep 'time out'", LogFilter(grep="time out")),
        ("--no-stream --errors", LogFilter(stream=False, errors=True)),
        ("--min-ms 100 --ip ::1", LogFilter(min_ms=100, ip="::1")),
        ("--key key_1 --route mock", LogFilter(keys=("key_1",), routes=("mock",))),
    ],
)
def test_the_options_of_logs_are_understood(text: str, wanted: LogFilter, invocation: Invocation) -> None:
    assert parse_filter(text, invocation) == wanted


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("--status 9xx", "'9xx' is not a status"),
        ("--ip nowhere", "is not an IP address"),
        ("--nosuch x", "no such option: --nosuch"),
        ("--status", "requires an argument"),
        ("--min-ms many", "'many' is not a whole number"),
        ("ci", "a filter is made of options"),
        ("--status 5xx ci", "unexpected extra argument"),
        ("--source 'ci", "no closing quotation"),
        ("--since 1h", "the keys 1 to 5 choose the time"),
        ("--help", "no such option"),
        ("-n 5", "no such option"),
        ("--json", "no such option"),
    ],
)
def test_what_cannot_be_meant_is_told_in_one_line(
    text: str, complaint: str, invocation: Invocation, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_filter(text, invocation)
    assert complaint in caught.value.message
    assert "\n" not in caught.value.message
    assert capsys.readouterr() == ("", "")


@given(text=st.text(max_size=60))
def test_any_text_is_a_filter_or_an_error_of_ours(text: str, invocation: Invocation) -> None:
    try:
        parse_filter(text, invocation)
    except InvalidInputError as error:
        assert error.message  # noqa: PT017
