"""What shells tell is understood, and what they are answered means the same to them, whatever it holds."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastgate_cli.shells import (
    DESCRIPTION_LENGTH_MAX,
    Candidate,
    Line,
    read_bash,
    read_typed,
    write_bash,
    write_fish,
    write_zsh,
)

PLAIN = Line((), "")
NASTY = (
    "plain-name_1.x",
    "with blank",
    "it's",
    '"quoted"',
    "$(touch pwned)",
    "`touch pwned`",
    "a;touch pwned",
    "a\\$(touch pwned)",
    "\\",
    "name:with:colons",
    "k=v",
    "*",
    "~root",
    "#comment",
    "!history",
    "(paren)",
    "名前",
    "-dash",
    "two  blanks",
    " edge ",
    "line\nbreak",
    "tab\there",
    "\x1b[31mred",
)
# What zsh evaluates twice is spelled with quotation marks that bash reads alike; globbing it does not do.
ZSH_STANDIN = """
set -f
_arguments() { action=${1#'*: :'}; eval "ws=( ${action:2:${#action}-4} )"; printf '%s\\0' "${ws[@]}"; }
eval $(cat answer)
"""


def words_of_bash(answer: str, folder: Path) -> list[str]:
    """Return the words that lines stand for once they are on a command line of bash."""
    program = "\n".join(f"printf '%s\\0' {line}" for line in answer.splitlines())
    return run_bash(program, folder)


def run_bash(program: str, folder: Path) -> list[str]:
    bash = ("bash", "--norc", "--noprofile", "-c", program)
    done = subprocess.run(bash, capture_output=True, text=True, check=True, cwd=folder)
    assert (done.stderr, (folder / "pwned").exists()) == ("", False)
    return done.stdout.split("\0")[:-1]


@pytest.mark.parametrize(
    ("pieces", "cursor", "line"),
    [
        (["fastgate", ""], 1, Line([], "")),
        (["fastgate", "ro"], 1, Line([], "ro")),
        (["fastgate", "keys", "show", "key_"], 3, Line(["keys", "show"], "key_")),
        (["fastgate", "keys", "show", "key_"], 2, Line(["keys"], "show")),
        (["fastgate", "keys", "list", ""], 3, Line(["keys", "list"], "")),
        (["fastgate", "x", "'my ro"], 2, Line(["x"], "my ro", 0, "'")),
        (["fastgate", "x", '"my ro'], 2, Line(["x"], "my ro", 0, '"')),
        (["fastgate", "x", "my\\ ro"], 2, Line(["x"], "my ro")),
        (["fastgate", "'a b'", "c"], 2, Line(["a b"], "c")),
        (["fastgate", "x", "--key", "=", "key_0"], 4, Line(["x"], "--key=key_0", 6)),
        (["fastgate", "x", "--key", "="], 3, Line(["x"], "--key=", 6)),
        (["fastgate", "x", "--key", "=", "a", ":", "b"], 6, Line(["x"], "--key=a:b", 8)),
        (["fastgate", "x", "--key", "=", "'a b"], 4, Line(["x"], "--key=a b", 6, "'")),
        (["fastgate", "x", "route", ":"], 3, Line(["x"], "route:", 6)),
        (["fastgate", "x", "k", "=", ""], 4, Line(["x", "k="], "")),
        (["fastgate", "-c", "~/f", "keys"], 3, Line(["-c", "~/f"], "keys")),
    ],
)
def test_bash_tells_words_in_pieces(pieces: list[str], cursor: int, line: Line) -> None:
    assert read_bash({"COMP_WORDS": "\n".join(pieces), "COMP_CWORD": str(cursor)}) == line


def test_words_may_also_come_in_one_line() -> None:
    told = {"COMP_WORDS": "fastgate routes show back", "COMP_CWORD": "3"}
    assert read_bash(told) == Line(["routes", "show"], "back")
    assert read_bash({"COMP_WORDS": "fastgate", "COMP_CWORD": "1"}) == Line([], "")


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        ("fastgate", Line([], "")),
        ("fastgate ", Line([], "")),
        ("fastgate ro", Line([], "ro")),
        ("fastgate keys show ", Line(["keys", "show"], "")),
        ("fastgate -c 'a b' keys show key_", Line(["-c", "a b", "keys", "show"], "key_")),
        ("fastgate routes show 'my ro", Line(["routes", "show"], "my ro")),
        ("fastgate logs list --key=k", Line(["logs", "list"], "--key=k")),
    ],
)
def test_zsh_and_fish_tell_the_line_up_to_the_cursor(typed: str, line: Line) -> None:
    assert read_typed({"_TYPER_COMPLETE_ARGS": typed}) == line


def test_bash_gets_each_word_as_it_has_to_be_written(tmp_path: Path) -> None:
    answer = write_bash([Candidate(word) for word in NASTY], PLAIN)
    assert words_of_bash(answer, tmp_path) == [word for word in NASTY if word.isprintable()]


@pytest.mark.parametrize("quote", ["'", '"'])
def test_within_quotes_bash_gets_what_stands_in_them(quote: str) -> None:
    words = [Candidate("my route"), Candidate(f"a{quote}b")]
    assert write_bash(words, Line((), "my", 0, quote)) == "my route"


def test_bash_gets_only_what_it_will_replace() -> None:
    assert write_bash([Candidate("--key=key_1")], Line((), "--key=k", 6)) == "key_1"


def test_zsh_evaluates_nothing_but_words(tmp_path: Path) -> None:
    candidates = [Candidate(word, f"about {word}") for word in NASTY]
    words = run_zsh_standin(candidates, tmp_path)
    offered = [
        word for word in NASTY if word.isprintable() and "\\" not in word and word.split() == word.split(" ")
    ]
    assert [split_described(word) for word in words] == [(word, f"about {word}") for word in offered]


SPECIAL = "\\\"'$`:; ()"
TEXT = st.text(st.characters(codec="utf-8") | st.sampled_from(SPECIAL), max_size=12)


@settings(max_examples=40)
@given(pairs=st.lists(st.tuples(TEXT.filter(bool), TEXT), max_size=8))
def test_no_word_and_no_description_gets_out_of_its_quotes(
    tmp_path_factory: pytest.TempPathFactory, pairs: list[tuple[str, str]]
) -> None:
    words = run_zsh_standin(
        [Candidate(word, description) for word, description in pairs], tmp_path_factory.mktemp("zsh")
    )
    found = [split_described(word) for word in words]
    assert all(word in dict(pairs) for word, _ in found)
    assert [word for word, _ in pairs if word.isalnum()] == [word for word, _ in found if word.isalnum()]


def run_zsh_standin(candidates: Sequence[Candidate], folder: Path) -> list[str]:
    (folder / "answer").write_text(write_zsh(candidates, PLAIN))
    return run_bash(ZSH_STANDIN, folder)


def split_described(text: str) -> tuple[str, str]:
    """Return word and description as zsh takes them apart, at the first colon without a backslash."""
    word, _, description = text.replace("\\:", "\0").partition(":")
    return word.replace("\0", ":"), description.replace("\0", ":")


def test_zsh_that_has_nothing_to_choose_from_is_told_nothing() -> None:
    assert write_zsh([], PLAIN) == ""
    assert write_zsh([Candidate("a\\b")], PLAIN) == ""


def test_fish_gets_words_and_descriptions() -> None:
    long = "x" * 100
    candidates = [Candidate("a b", "one\n two"), Candidate("c"), Candidate("d\ne"), Candidate("f", long)]
    lines = write_fish(candidates, PLAIN).split("\n")
    assert lines[:2] == ["a b\tone two", "c"]
    assert lines[2].startswith("f\txxx")
    assert len(lines[2]) == len("f\t") + DESCRIPTION_LENGTH_MAX


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
def test_zsh_itself_reads_the_words(tmp_path: Path) -> None:
    (tmp_path / "answer").write_text(write_zsh([Candidate(word) for word in NASTY], PLAIN))
    program = ZSH_STANDIN.replace("set -f\n", "").replace("${action:2:${#action}-4}", "${action[3,-3]}")
    done = subprocess.run(["zsh", "-f", "-c", program], capture_output=True, cwd=tmp_path, check=True)
    words = [split_described(word)[0] for word in done.stdout.decode().split("\0")[:-1]]
    assert words[:5] == ["plain-name_1.x", "with blank", "it's", '"quoted"', "$(touch pwned)"]
    assert not (tmp_path / "pwned").exists()
