"""Every command there is explains itself in the same way: it is walked, not listed."""

from __future__ import annotations

import re
from collections import defaultdict
from itertools import combinations
from typing import Any

import pytest
from typer.core import TyperOption

from fastgate_cli.groups import ExampleGroup, split_help
from tests.fastgate_cli.examples import every_command, find_calls, parse_call

COLUMNS = 80
COMMANDS = every_command()
# Long options that stand for different things, and so take different values: what each is written as.
DIFFERENT = {
    "--header": {"K=V", "'K: V'"},  # a header that a request must have; one that it has
    "--path": {"P", "GLOB"},  # the path of one request; those of many
    "--to": {"URL", "NAME"},  # a backend; a migration
    "--only": {"KIND", "A,B"},
    "--key": {"ID", "KEY_OR_ID"},  # of rows there is only the id
    "--before": {"OTHER", "ID"},  # a route; a request
    "--after": {"OTHER", "ID"},
}
# What a route asks for, and whether all of them are written: the contract has both.
SIMILAR = {("--header", "--headers")}
# A limit in lists, a dry run in what writes, as the contract has it.
SHARED_SHORT = {"-n": {"--dry-run", "--limit"}}


def options_of(ctx: Any) -> list[TyperOption]:
    return [param for param in ctx.command.get_params(ctx) if isinstance(param, TyperOption)]


def long_names(option: TyperOption) -> list[str]:
    return [name for name in (*option.opts, *option.secondary_opts) if name.startswith("--")]


def path_of(ctx: Any) -> str:
    return str(ctx.command_path)


@pytest.mark.parametrize("ctx", COMMANDS, ids=path_of)
def test_help_opens_with_examples_and_fits_80_columns(ctx: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(COLUMNS))
    page = ctx.command.get_help(ctx)
    assert page.startswith("Examples:\n  ")
    assert [line for line in page.splitlines() if len(line) > COLUMNS] == []
    assert f"Usage: {ctx.command_path}" in page
    assert "..." not in page.partition("Commands:\n")[2], "a summary is cut"


@pytest.mark.parametrize("ctx", COMMANDS, ids=path_of)
def test_examples_call_the_command_and_parse(ctx: Any) -> None:
    calls = list(find_calls(split_help(ctx.command)[1]))
    words = ctx.command_path.split()[1:]
    assert any(
        call[place : place + len(words)] == words for call in calls for place in range(len(call) + 1)
    ), f"no example of {ctx.command_path}"
    for call in calls:
        parse_call(call)


@pytest.mark.parametrize("ctx", COMMANDS, ids=path_of)
def test_everything_that_can_be_given_is_explained(ctx: Any) -> None:
    for param in ctx.command.get_params(ctx):
        assert param.help, param.name
        if isinstance(param, TyperOption) and not param.is_flag:
            assert param.metavar or param.type_descriptor.is_choice, param.name
    if not isinstance(ctx.command, ExampleGroup):
        description, _ = split_help(ctx.command)
        assert re.match(r"[A-Z].*[.]", description, re.DOTALL), description


def test_an_option_is_spelled_the_same_everywhere() -> None:
    shorts, longs, metavars = defaultdict(set), defaultdict(set), defaultdict(set)
    for ctx in COMMANDS:
        for option in options_of(ctx):
            names = long_names(option)
            assert names, f"{ctx.command_path} has an option without a long name"
            short = frozenset(name for name in option.opts if not name.startswith("--"))
            for name in names:
                shorts[name].add(short)
                if option.metavar:
                    metavars[name].add(option.metavar)
            for letter in short:
                longs[letter].add(names[0])
    assert {name: found for name, found in shorts.items() if len(found) > 1} == {}
    assert {letter: found for letter, found in longs.items() if len(found) > 1} == SHARED_SHORT
    assert {name: found for name, found in metavars.items() if len(found) > 1} == DIFFERENT


def test_no_two_options_differ_only_in_how_they_are_written() -> None:
    known = sorted({name for ctx in COMMANDS for option in options_of(ctx) for name in long_names(option)})
    for first, second in combinations(known, 2):
        bare = [name.replace("-", "").replace("_", "").lower() for name in (first, second)]
        assert bare[0] != bare[1]
        assert f"{bare[0]}s" != bare[1] or (first, second) in SIMILAR, f"{first} and {second}"


def test_global_options_belong_to_the_program_alone() -> None:
    root, *others = COMMANDS
    ours = {name for option in options_of(root) for name in option.opts} - {"-h", "--help"}
    for ctx in others:
        assert not ours & {name for option in options_of(ctx) for name in option.opts}, ctx.command_path


@pytest.mark.parametrize(
    "line",
    [
        "fastgate keys lst",
        "fastgate keys show",
        "fastgate logs list --nosuch",
        "cat x | fastgate routes add --match '/v1/*'",
        'echo "$(fastgate db paht)"',
        "A=b fastgate keys list extra > file",
    ],
)
def test_an_example_that_is_wrong_would_be_found(line: str) -> None:
    calls = list(find_calls([line]))
    assert len(calls) == 1
    with pytest.raises(Exception, match=r"."):
        parse_call(calls[0])


def test_calls_are_found_wherever_a_shell_would_run_them() -> None:
    lines = [
        "KEY=$(fastgate keys create --source ci)    # fastgate nothing",
        "sqlite3 \"$(fastgate db path)\" 'SELECT 1'",
        "fastgate logs list \\",
        "    --path '/v1/*' 2>&1 | jq '.[] | .path'",
        "fastgate.yaml is no call; X=1 fastgate serve && fastgate stop",
    ]
    assert list(find_calls(lines)) == [
        ["keys", "create", "--source", "ci"],
        ["db", "path"],
        ["logs", "list", "--path", "/v1/*"],
        ["serve"],
        ["stop"],
    ]
