r"""How bash, zsh and fish ask for completions and are answered, as the scripts that Typer installs expect it.

Pure. Candidates come from the database, where clients have a say in some of them, and zsh evaluates what it
is answered: nothing may get out of its quotes, and what cannot be spelled safely is left out.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from fastgate_cli.columns import INVISIBLE

DESCRIPTION_LENGTH_MAX = 60
# bash breaks words at these too, and keeps what is before the last of them as it is typed.
_BREAKS = frozenset(":=")
_QUOTES = ("'", '"')
_UNPRINTABLE = re.compile(f"[\x00-\x1f{INVISIBLE}]")
_NOT_PLAIN = re.compile(r"[^\w@%+=:,./-]")
_IN_DOUBLE_QUOTES = re.compile(r'["$`\\]')


@dataclass(frozen=True, slots=True)
class Line:
    """What has been typed: the words before the cursor's, without the program's name, and that one.

    The shell keeps the first `kept` characters of `incomplete` and replaces the rest. `quote` is the
    quotation mark that stands open.
    """

    words: Sequence[str]
    incomplete: str
    kept: int = 0
    quote: str = ""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A whole word that could stand at the cursor, and what it is."""

    word: str
    description: str = ""


@dataclass(frozen=True, slots=True)
class Shell:
    """How one shell is understood and answered. Without candidates it may be told to complete files."""

    read: Callable[[Mapping[str, str]], Line]
    write: Callable[[Iterable[Candidate], Line], str]
    files: str = ""


def read_bash(environ: Mapping[str, str]) -> Line:
    """Return what bash tells: its words line by line, quotes and all, broken where it breaks them."""
    text, cursor = environ["COMP_WORDS"], int(environ["COMP_CWORD"])
    pieces = [*text.split("\n" if "\n" in text else " "), ""][1 : cursor + 1]
    last = pieces[-1] if pieces else ""
    *words, incomplete = [_unquote(word) for word in _join_broken(pieces)] or [""]
    replaced = "" if _is_break(last) else _unquote(last)
    return Line(words, incomplete, len(incomplete) - len(replaced), last[:1] if last[:1] in _QUOTES else "")


def write_bash(candidates: Iterable[Candidate], line: Line) -> str:
    """Return a candidate a line, spelled as it has to stand behind what bash keeps."""
    if line.quote:
        rest = [one.word[line.kept :] for one in candidates if line.quote not in one.word]
    else:
        rest = [_NOT_PLAIN.sub(r"\\\g<0>", one.word[line.kept :]) for one in candidates]
    return "\n".join(word for word in rest if not _UNPRINTABLE.search(word))


def read_typed(environ: Mapping[str, str]) -> Line:
    """Return what zsh and fish tell: the line up to the cursor."""
    typed = environ["_TYPER_COMPLETE_ARGS"]
    words = _split(typed)[1:]
    if not words or typed[-1:].isspace():
        return Line(words, "")
    return Line(words[:-1], words[-1])


def write_zsh(candidates: Iterable[Candidate], line: Line) -> str:  # noqa: ARG001
    """Return the command that zsh evaluates, which then evaluates the list in it once more."""
    pairs = []
    for one in candidates:
        # What blanks break is joined again by one blank; a backslash would be read once too often.
        if (
            one.word == " ".join(one.word.split())
            and "\\" not in one.word
            and not _UNPRINTABLE.search(one.word)
        ):
            description = _shorten(one.description)
            pairs.append(_quote_zsh(one.word) + (f":{_quote_zsh(description)}" if description else ""))
    listed = " ".join(pairs).replace("'", "'\\''")
    return f"_arguments '*: :(({listed}))'" if pairs else ""


def write_fish(candidates: Iterable[Candidate], line: Line) -> str:  # noqa: ARG001
    """Return a candidate a line, behind a tab what it is."""
    return "\n".join(
        "\t".join(filter(None, (one.word, _shorten(one.description))))
        for one in candidates
        if not _UNPRINTABLE.search(one.word)
    )


SHELLS: Mapping[str, Shell] = MappingProxyType(
    {
        "bash": Shell(read_bash, write_bash),  # which completes files by itself
        "zsh": Shell(read_typed, write_zsh, files="_files"),
        "fish": Shell(read_typed, write_fish),
    }
)


def _join_broken(pieces: Iterable[str]) -> Iterator[str]:
    """Yield words as they were typed, `--key=x`, from the pieces that bash made of them."""
    word, is_open = "", False
    for piece in pieces:
        if piece and (is_open or (_is_break(piece) and word)):
            word += piece
        else:
            if word:
                yield word
            word = piece
        is_open = _is_break(piece)
    yield word


def _is_break(piece: str) -> bool:
    return bool(piece) and _BREAKS.issuperset(piece)


def _unquote(piece: str) -> str:
    return " ".join(_split(piece))


def _split(text: str) -> list[str]:
    """Return the words of a line that may end within quotes."""
    lexer = shlex.shlex(text, posix=True)
    lexer.whitespace_split, lexer.commenters = True, ""
    words: list[str] = []
    try:
        words += lexer
    except ValueError:
        words.append(lexer.token)
    return words


def _quote_zsh(text: str) -> str:
    # A colon ends the word, but for a backslash that survives the quotation marks.
    return '"' + _IN_DOUBLE_QUOTES.sub(r"\\\g<0>", text).replace(":", r"\\:") + '"'


def _shorten(text: str) -> str:
    line = " ".join(_UNPRINTABLE.sub(" ", text).split())
    return line if len(line) <= DESCRIPTION_LENGTH_MAX else line[: DESCRIPTION_LENGTH_MAX - 1] + "…"
