"""The manual has everything that help has, in the form of a manual page."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest
from typer.core import TyperOption

from fastgate_cli.groups import split_help
from fastgate_cli.help.manual import build_manual, walk_commands
from fastgate_cli.help.roff import escape
from fastgate_cli.help.topics import TOPICS
from fastgate_cli.main import FastGateGroup
from proxy import __version__
from tests.fastgate_cli.examples import build_root, every_command

SECTIONS = (
    *("NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "COMMANDS", "TOPICS"),
    *("ENVIRONMENT", "EXIT STATUS", "FILES", "SEE ALSO"),
)


@pytest.fixture(scope="module")
def manual() -> str:
    """The manual, as roff."""
    return build_manual(build_root())


def section_of(manual: str, name: str) -> str:
    return manual.partition(f'\n.SH "{name}"\n')[2].partition("\n.SH ")[0]


def test_it_has_the_sections_of_a_manual_in_order(manual: str) -> None:
    assert manual.startswith(f'.TH "FASTGATE" "1" "" "fastgate {__version__}" "User Commands"\n')
    assert tuple(re.findall(r'(?m)^\.SH "(.*)"$', manual)) == SECTIONS
    assert section_of(manual, "NAME").startswith("fastgate \\- API keys, routes and")


def test_every_command_is_in_it_with_its_options_and_examples(manual: str) -> None:
    parts = dict(re.findall(r'(?ms)^\.SS "(.*?)"\n(.*?)(?=^\.S[SH] |\Z)', manual))
    commands = every_command()[1:]
    assert len(commands) > 50
    for ctx in commands:
        part = parts[escape(ctx.command_path)]
        for param in ctx.command.get_params(ctx):
            for name in (*param.opts, *param.secondary_opts) if isinstance(param, TyperOption) else ():
                assert re.search(rf"\\fB{re.escape(escape(name))},?\\fR", part), (ctx.command_path, name)
            assert escape(param.help.split()[0]) in part
        for line in split_help(ctx.command)[1]:
            assert f"\n{escape(line)}\n" in part, line


def test_the_options_of_the_program_and_its_commands_are_all_there(manual: str) -> None:
    for name in ("-c", "--config", "--version", "--install-completion", "--help"):
        assert escape(name) in section_of(manual, "OPTIONS")
    assert {
        ctx.info_name for ctx in walk_commands(build_root()) if ctx.parent and not ctx.parent.parent
    } == set(FastGateGroup.places)


def test_every_topic_is_in_it(manual: str) -> None:
    for name, topic in TOPICS.items():
        own = {"environment": "ENVIRONMENT", "exit-codes": "EXIT STATUS"}.get(name)
        part = section_of(manual, own or "TOPICS")
        assert own or f'.SS "{escape(name)}"' in part
        for line in topic.build_page().examples:
            assert f"\n{escape(line)}\n" in part
    assert "FASTGATE_APP_PORT" in section_of(manual, "ENVIRONMENT")
    assert "/etc/fastgate/fastgate.yaml" in section_of(manual, "FILES")
    assert "\\fB130\\fR" in section_of(manual, "EXIT STATUS")


def test_no_line_acts_by_accident(manual: str) -> None:
    requests = {line.split()[0] for line in manual.splitlines() if line.startswith((".", "'"))}
    assert requests == {".TH", ".SH", ".SS", ".PP", ".TP", ".br", ".sp", ".RS", ".RE", ".nf", ".fi"}
    assert manual.isascii()
    assert not re.search(r"(?m)^[^.\n].*(?<!\\)-", manual), "a hyphen that is not one to copy"


@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not installed")
def test_it_renders_without_warnings(manual: str) -> None:
    render = ["groff", "-man", "-Tutf8", "-ww", "-P-cbou"]
    done = subprocess.run(render, input=manual, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    shown = " ".join(done.stdout.split())
    assert "fastgate routes add --match '/v1/*' --to http://127.0.0.1:8000" in shown
    assert "--set-header 'Authorization: Bearer ${env:OPENAI_API_KEY}'" in shown


@pytest.mark.skipif(shutil.which("man") is None, reason="man is not installed")
def test_man_shows_it(manual: str) -> None:
    env = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "MANWIDTH": "80", "MAN_KEEP_FORMATTING": ""}
    done = subprocess.run(
        ["man", "--warnings", "-l", "-"], input=manual, capture_output=True, text=True, env=env, check=True
    )
    assert done.stderr == ""
    assert done.stdout.startswith("FASTGATE(1)")
