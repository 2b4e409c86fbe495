"""The options about routes: the same ones in both commands, each explained."""

from __future__ import annotations

import inspect
import subprocess
from collections.abc import Callable
from dataclasses import fields

import pytest
import typer

from fastgate_cli.commands.route_options import RouteOptions, with_route_options

Cli = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.parametrize("command", ["add", "update"])
def test_every_option_is_in_the_help_of_both_commands(cli: Cli, command: str) -> None:
    page = cli("routes", command, "-h").stdout
    for field in fields(RouteOptions):
        assert f"--{field.name.replace('_', '-')}" in page


def test_options_reach_the_command_as_one_object_and_its_own_stay() -> None:
    seen: list[object] = []

    @with_route_options("match")
    def command(ctx: typer.Context, options: RouteOptions, extra: bool = False) -> None:
        """What it does."""
        seen.extend((ctx, options, extra))

    parameters = inspect.signature(command).parameters
    assert list(parameters) == ["ctx", *(field.name for field in fields(RouteOptions)), "extra"]
    assert parameters["match"].default is inspect.Parameter.empty
    assert parameters["to"].default is None
    given = {field.name: None for field in fields(RouteOptions)}
    command(ctx="context", **{**given, "match": "/v1/*"}, extra=True)
    assert seen == ["context", RouteOptions(match="/v1/*"), True]
    assert command.__doc__ == "What it does."


def test_options_that_a_new_route_needs_are_missed_by_name(cli: Cli) -> None:
    done = cli("routes", "add", "--to", "http://a")
    assert done.returncode == 2
    assert "--match" in done.stderr
