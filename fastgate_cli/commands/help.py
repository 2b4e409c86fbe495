"""`fastgate help`: the topics, the help of any command, and the whole manual."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fastgate_cli.groups import split_help, write_examples
from fastgate_cli.help.page import Block, Page, Rows, Text
from fastgate_cli.help.topics import TOPICS
from fastgate_cli.options import Completions, pick_completions
from fastgate_cli.pager import find_pager, print_paged
from proxy.errors import InvalidInputError

if TYPE_CHECKING:
    from typer._click import Context


# A word for what is printed without one, since many programs list their topics by it.
ALL_TOPICS = "topics"


def complete_help(ctx: typer.Context, incomplete: str) -> Completions:
    """Return the topics and commands that begin as typed, and below a group its commands."""
    words = ctx.params.get("words") or ()
    found = list(_list_words(ctx.find_root())) if not words else []
    if words and words[0] not in (*TOPICS, ALL_TOPICS):
        above = _find_context(ctx.find_root(), words)
        if hasattr(above.command, "list_summaries"):
            found = list(above.command.list_summaries())
    return pick_completions(found, incomplete)


def show_help(
    ctx: typer.Context,
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TOPIC|COMMAND...]",
            help="What to explain; 'topics', or nothing, lists the topics.",
            autocompletion=complete_help,
        ),
    ] = None,
    man: Annotated[bool, typer.Option("--man", help="Print the whole manual, for man(1).")] = False,
) -> None:
    """Explain a topic, or a command as its -h does.

    Examples:
      fastgate help patterns
      fastgate help keys create
      fastgate help --man | man -l -
      fastgate help --man > ~/.local/share/man/man1/fastgate.1
    """
    root = ctx.find_root()
    if man and words:
        raise InvalidInputError("the manual is one for everything", hint="leave out --man, or the words")
    if man:
        from fastgate_cli.help.manual import build_manual

        text = build_manual(root)
    elif not words or words == [ALL_TOPICS]:
        text = _format_page(ctx, Page(split_help(ctx.command)[1], _list_topics()))
    elif words[0] in TOPICS or words[0] == ALL_TOPICS:
        text = _format_page(ctx, _build_topic(words))
    else:
        above = _find_context(root, words)
        text = above.command.get_help(above)
    print_paged(text.rstrip("\n") + "\n", find_pager())


def _list_topics() -> list[Block]:
    return [
        Rows([(name, topic.summary) for name, topic in TOPICS.items()], "Topics"),
        Text("'fastgate -h' lists the commands, and -h after any command explains it."),
    ]


def _format_page(ctx: typer.Context, page: Page) -> str:
    from fastgate_cli.help.text import format_blocks

    formatter = ctx.make_formatter()
    write_examples(formatter, page.examples)
    formatter.write(format_blocks(page, formatter.width))
    return formatter.getvalue()


def _build_topic(words: Sequence[str]) -> Page:
    if words[0] == ALL_TOPICS:
        raise InvalidInputError(
            f"{ALL_TOPICS!r} lists all topics, and takes no {words[1]!r}",
            hint=f"write 'fastgate help {words[1]}'",
        )
    if len(words) > 1:
        raise InvalidInputError(
            f"{words[0]!r} is a topic, and has no {words[1]!r}", hint=f"write 'fastgate help {words[0]}'"
        )
    return TOPICS[words[0]].build_page()


def _find_context(root: Context, words: Sequence[str]) -> Context:
    """Return the context of the command that the words name, as if it were called; nothing is parsed."""
    here = root
    for place, word in enumerate(words):
        group: Any = here.command
        if not hasattr(group, "list_commands"):
            raise InvalidInputError(
                f"{here.command_path!r} has no command {word!r}", hint=f"'{here.command_path} -h' explains it"
            )
        if place == 0 and word not in group.list_commands(here):
            raise _refuse_word(root, word)
        name, command, _ = group.resolve_command(here, [word])
        here = typer.Context(command, info_name=name, parent=here)
    return here


def _refuse_word(root: Context, word: str) -> InvalidInputError:
    similar = get_close_matches(word, [name for name, _ in _list_words(root)], n=3)
    question = f"did you mean {' or '.join(similar)}? " if similar else ""
    return InvalidInputError(
        f"there is no topic and no command {word!r}", hint=f"{question}'fastgate help' lists the topics"
    )


def _list_words(root: Context) -> Iterator[tuple[str, str]]:
    yield from ((name, topic.summary) for name, topic in TOPICS.items())
    yield ALL_TOPICS, "All topics, each with what it explains."
    group: Any = root.command
    yield from group.list_summaries()
