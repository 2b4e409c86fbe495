"""The whole manual as one page for man(1), made from the same sources as the help of commands and topics."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import typer

from fastgate_cli.groups import ExampleGroup, split_help
from fastgate_cli.help.environment import list_files
from fastgate_cli.help.page import Block, Lines, Page, Text
from fastgate_cli.help.roff import Roff
from fastgate_cli.help.topics import TOPICS
from proxy import __version__

if TYPE_CHECKING:
    from typer._click import Context

_SECTION = 1
_MANUAL = "User Commands"
_EXAMPLES = "Examples:"
_SEE_ALSO = "curl(1), jq(1), sqlite3(1), systemd.service(5)"
# Topics that have a section of their own, where readers of manuals look for them.
_SECTIONS = {"environment": "ENVIRONMENT", "exit-codes": "EXIT STATUS"}


def build_manual(root: Context) -> str:
    """Return the manual of the program whose context it is, as roff."""
    roff, name = Roff(), str(root.info_name)
    description, examples = split_help(root.command)
    roff.title(name.upper(), _SECTION, f"{name} {__version__}", _MANUAL)
    roff.section("NAME")
    roff.paragraph(f"{name} - {description.rstrip('.')}")
    roff.section("SYNOPSIS")
    roff.heading(f"{name} [OPTIONS] COMMAND [ARGUMENTS]")
    roff.section("DESCRIPTION")
    roff.paragraph(description)
    roff.verbatim(examples)
    roff.section("OPTIONS")
    _write_params(roff, root)
    _write_commands(roff, root)
    _write_topics(roff)
    roff.section("SEE ALSO")
    roff.paragraph(_SEE_ALSO)
    return roff.text()


def walk_commands(ctx: Context) -> Iterator[Context]:
    """Yield the context of a command and of all below it, in the order in which help lists them."""
    yield ctx
    command = ctx.command
    if isinstance(command, ExampleGroup):
        for name, _ in command.list_summaries():
            below = command.get_command(ctx, name)
            yield from walk_commands(typer.Context(below, info_name=name, parent=ctx))


def _write_commands(roff: Roff, root: Context) -> None:
    roff.section("COMMANDS")
    for ctx in walk_commands(root):
        if ctx is root:
            continue
        description, examples = split_help(ctx.command)
        roff.subsection(ctx.command_path)
        for paragraph in description.split("\n\n"):
            roff.paragraph(paragraph)
        roff.heading(" ".join([ctx.command_path, *ctx.command.collect_usage_pieces(ctx)]))
        _write_params(roff, ctx)
        roff.heading(_EXAMPLES)
        roff.verbatim(examples)


def _write_params(roff: Roff, ctx: Context) -> None:
    for param in ctx.command.get_params(ctx):
        if (record := param.get_help_record(ctx)) is not None:
            roff.option(*record)


def _write_topics(roff: Roff) -> None:
    roff.section("TOPICS")
    for name, topic in TOPICS.items():
        if name not in _SECTIONS:
            roff.subsection(name)
            roff.paragraph(topic.summary)
            _write_page(roff, topic.build_page())
    for name, title in _SECTIONS.items():
        roff.section(title)
        _write_page(roff, TOPICS[name].build_page())
    roff.section("FILES")
    for path, meaning in list_files():
        roff.entry(path, meaning)


def _write_page(roff: Roff, page: Page) -> None:
    roff.heading(_EXAMPLES)
    roff.verbatim(page.examples)
    for block in page.blocks:
        _write_block(roff, block)


def _write_block(roff: Roff, block: Block) -> None:
    if isinstance(block, Text):
        return roff.paragraph(block.text)
    if block.title:
        roff.heading(f"{block.title}:")
    if isinstance(block, Lines):
        return roff.verbatim(block.lines)
    for term, meaning in block.rows:
        roff.entry(term, meaning)
    return None
