"""Filters of a command that counts: the options of `fastgate logs`, and the time that they are about."""

from __future__ import annotations

import inspect
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.models import CommandInfo

from fastgate_cli.commands import log_filters
from fastgate_cli.commands.metric_filters import find_times, takes_filters
from fastgate_cli.context import Invocation
from fastgate_cli.groups import build_command
from proxy.errors import InvalidInputError
from proxy.store.log_filter import LogFilter

given: dict[str, Any] = {}


def count(ctx: typer.Context, kind: str, wanted: LogFilter, limit: int = 3) -> None:
    """Count."""
    given.update(kind=kind, wanted=wanted, limit=limit, context=ctx)


def run(tmp_path: Path, since: str | None, *arguments: str) -> Invocation:
    """Run `count` with the filters, and return its invocation."""
    (tmp_path / "fastgate.yaml").write_text("")
    invocation = Invocation(tmp_path / "fastgate.yaml", {"HOME": str(tmp_path)})
    command = build_command(CommandInfo("count", callback=takes_filters(since=since)(count)))
    given.clear()
    with command.make_context("count", [*arguments], obj=invocation) as context:
        command.invoke(context)
    return invocation


def test_a_command_gets_what_the_options_mean(tmp_path: Path) -> None:
    run(tmp_path, "1h", "paths", "--key", "a", "--key", "b", "--path", "/v1/*", "--errors", "--min-ms", "5")
    wanted = given["wanted"]
    assert (wanted.keys, wanted.path_glob, wanted.errors, wanted.min_ms) == (("a", "b"), "/v1/*", True, 5)
    assert (given["kind"], given["limit"]) == ("paths", 3)


def test_every_filter_of_logs_is_there() -> None:
    names = {name for name in inspect.signature(log_filters.build_filter).parameters if name != "invocation"}
    with_times, without = (
        set(inspect.signature(takes_filters(since=one)(count)).parameters) for one in ("1h", None)
    )
    assert with_times == {"ctx", "kind", "limit", *names}
    assert without == with_times - {"since", "until"}


def test_a_time_ends_now_unless_it_is_told_otherwise(tmp_path: Path) -> None:
    invocation = run(tmp_path, "1h", "paths")
    now = invocation.now
    assert find_times(given["wanted"], invocation) == (now - timedelta(hours=1), now)
    invocation = run(tmp_path, "1h", "paths", "--since", "3h", "--until", "2h")
    assert find_times(given["wanted"], invocation) == tuple(
        invocation.now - timedelta(hours=hours) for hours in (3, 2)
    )


@pytest.mark.parametrize("since", ["0s", "2100-01-01"])
def test_a_time_that_has_not_begun_is_refused(tmp_path: Path, since: str) -> None:
    invocation = run(tmp_path, "1h", "paths", "--since", since)
    with pytest.raises(InvalidInputError, match="not before now"):
        find_times(given["wanted"], invocation)


def test_a_command_with_times_of_its_own_has_no_since(tmp_path: Path) -> None:
    run(tmp_path, None, "paths", "--source", "ci")
    assert given["wanted"] == LogFilter(sources=("ci",))
    with pytest.raises(Exception, match="No such option: --since"):
        run(tmp_path, None, "paths", "--since", "1h")
