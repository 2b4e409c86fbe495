"""What the filter options mean, before any database is asked."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import typer

from fastgate_cli.commands.log_filters import CountOption, build_filter, find_midnight, takes_filters
from fastgate_cli.context import Invocation
from fastgate_cli.groups import build_command
from proxy.errors import InvalidInputError
from proxy.store.log_filter import LogFilter

NOTHING: dict[str, Any] = {
    **dict.fromkeys(("since", "until", "key", "source", "route", "method", "path", "status")),
    **dict.fromkeys(("stream", "min_ms", "ip", "grep")),
    "errors": False,
}


@pytest.fixture
def invocation(tmp_path: Path) -> Invocation:
    """A run in a zone west of Greenwich, so that a day that began elsewhere would be noticed."""
    path = tmp_path / "fastgate.yaml"
    path.write_text("app: {timezone: '-03:30'}\n")
    return Invocation(path, {"HOME": str(tmp_path)})


def test_without_options_everything_is_wanted(invocation: Invocation) -> None:
    assert build_filter(invocation, **NOTHING) == LogFilter()


def test_every_option_has_its_place_in_the_filter(invocation: Invocation) -> None:
    given: dict[str, Any] = {
        "since": "2026-01-31T08:00:00Z",
        "until": "2026-01-31T09:00:00",
        "key": ["key_a", "key_b"],
        "source": ["ci"],
        "route": ["demo"],
        "method": ["get"],
        "path": "/v1/*",
        "status": ["4xx", "500-599"],
        "stream": False,
        "min_ms": 0,
        "errors": True,
        "ip": "::1",
        "grep": "timeout",
    }
    utc = timezone(timedelta(0))
    assert build_filter(invocation, **given) == LogFilter(
        since=datetime(2026, 1, 31, 8, tzinfo=utc),
        until=datetime(2026, 1, 31, 12, 30, tzinfo=utc),
        keys=("key_a", "key_b"),
        sources=("ci",),
        routes=("demo",),
        methods=("get",),
        path_glob="/v1/*",
        status=("4xx", "500-599"),
        stream=False,
        min_ms=0,
        errors=True,
        ip="::1",
        grep="timeout",
    )


def test_a_length_of_time_counts_back_from_now(invocation: Invocation) -> None:
    wanted = build_filter(invocation, **{**NOTHING, "since": "2h", "until": "90m"})
    assert wanted.since == invocation.now - timedelta(hours=2)
    assert wanted.until == invocation.now - timedelta(minutes=90)


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ({"since": "soonish"}, "'soonish' is not a time"),
        ({"until": "x"}, "'x' is not a time"),
        ({"since": "1h", "until": "2h"}, "--since is not before --until"),
        ({"since": "today", "until": "today"}, "--since is not before --until"),
    ],
)
def test_times_that_cannot_be_meant_are_refused_with_a_hint(
    invocation: Invocation, times: dict[str, str], message: str
) -> None:
    with pytest.raises(InvalidInputError) as refused:
        build_filter(invocation, **{**NOTHING, **times})
    assert refused.value.message == message
    assert refused.value.hint


def test_a_command_with_filters_gets_what_its_options_mean_and_its_own(invocation: Invocation) -> None:
    given: list[tuple[LogFilter, int]] = []

    @takes_filters
    def look(ctx: typer.Context, wanted: LogFilter, limit: CountOption = 7) -> None:
        given.append((wanted, limit))

    app = typer.Typer()
    app.command()(look)
    command = build_command(app.registered_commands[0])
    with command.make_context(
        "look", ["--key", "a", "--key", "b", "--errors", "-n", "3"], obj=invocation
    ) as ctx:
        command.invoke(ctx)
    with command.make_context("look", [], obj=invocation) as ctx:
        command.invoke(ctx)
    assert given == [(LogFilter(keys=("a", "b"), errors=True), 3), (LogFilter(), 7)]
    with pytest.raises(typer.TyperException):
        command.make_context("look", ["--wanted", "x"], obj=invocation)


def test_the_day_begins_in_the_configured_zone(invocation: Invocation) -> None:
    midnight = find_midnight(invocation)
    assert midnight.utcoffset() == -timedelta(hours=3, minutes=30)
    assert (midnight.hour, midnight.minute, midnight.second, midnight.microsecond) == (0, 0, 0, 0)
    assert timedelta(0) <= invocation.now - midnight < timedelta(days=1)
