"""Lines of a shell, as far as the tests of the documents understand them: which commands they call, how."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

# `gw` is what docs/operations.md calls the command when it is run as the service's user.
PROGRAMS = ("fastgate", "gw")
_HERE_DOCUMENT = re.compile(r"<<-?'?(\w+)'?.*?^\1$", re.DOTALL | re.MULTILINE)
_SUBSTITUTION = re.compile(r"\$\((.*)\)", re.DOTALL)
_OPERATORS = set("();<>|&")


def find_calls(script: str) -> Iterator[list[str]]:
    """Yield the arguments of each call of the program in a script, also of those in `$(...)`."""
    for line in _join_lines(_HERE_DOCUMENT.sub("", script)):
        words = _split(line)
        yield from _find_in_words(words)
        for word in words:
            if inner := _SUBSTITUTION.search(word):
                yield from find_calls(inner[1])


def _join_lines(script: str) -> Iterator[str]:
    """Yield logical lines: continued ones joined, and those within one pair of quotes."""
    pending = ""
    for line in script.replace("\\\n", " ").splitlines():
        pending += line
        try:
            _split(pending)
        except ValueError:  # a quote that is not closed yet
            pending += "\n"
            continue
        yield pending
        pending = ""
    assert not pending.strip(), f"a quote is not closed: {pending!r}"


def _split(line: str) -> list[str]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    return list(lexer)


def _find_in_words(words: list[str]) -> Iterator[list[str]]:
    command: list[str] = []
    is_target = False  # of a redirection
    for word in [*words, ";"]:
        if not word or set(word) - _OPERATORS:
            if not is_target:
                command.append(word)
            is_target = False
        elif set(word) & set("<>"):
            if command and command[-1].isdigit():
                command.pop()  # the number of what is redirected
            is_target = True
        else:
            yield from _find_call(command)
            command = []


def _find_call(command: list[str]) -> Iterator[list[str]]:
    # The last of that name: before it there may be a user's, a container's, or what runs it.
    places = [place for place, word in enumerate(command) if word.rpartition("/")[2] in PROGRAMS]
    if places:
        yield command[places[-1] + 1 :]
