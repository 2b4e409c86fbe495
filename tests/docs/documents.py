"""The documents as data: their blocks with what the tests are told about them, tables, links, headings.

What a test is told stands in comments right above a block, which no reader sees:

- `<!-- not run: WHY -->`: only its `fastgate` lines are parsed;
- `<!-- exits N: WHY -->`: it is run, and has to end with that code;
- `<!-- prepare: COMMANDS -->`: run before it, for what a reader would have by then.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[2]
_COMMENT = re.compile(r"<!--\s*(not run|prepare|exits (\d+)):(.*?)-->", re.DOTALL)
_NOT_A_SLUG = re.compile(r"[^\w\- ]")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block; `not_run` says why it is not run, empty if it is."""

    place: str  # docs/keys.md:12
    language: str
    text: str
    not_run: str = ""
    exit_code: int = 0
    preparation: str = ""


@dataclass(frozen=True)
class Document:
    """One document, read when it is looked at."""

    path: Path

    @property
    def name(self) -> str:
        return str(self.path.relative_to(ROOT))

    @cached_property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def blocks(self) -> list[Block]:
        return list(self._find_blocks())

    @cached_property
    def code_spans(self) -> list[str]:
        """The text of every `span`, in paragraphs and tables alike."""
        return [child.content for child in self._children() if child.type == "code_inline"]

    @cached_property
    def links(self) -> list[str]:
        """Where every link and picture leads."""
        targets = (child.attrGet("href") or child.attrGet("src") for child in self._children())
        return [str(target) for target in targets if target]

    @cached_property
    def anchors(self) -> set[str]:
        """The fragments that its headings have."""
        return {
            make_anchor(heading.content)
            for before, heading in zip(self._tokens, self._tokens[1:], strict=False)
            if before.type == "heading_open"
        }

    def find_rows(self, *header: str) -> list[list[list[str]]]:
        """Return the rows of the table with this header: of each cell the texts of its code spans."""
        for rows in self._find_tables():
            if [_plain(cell) for cell in rows[0]] == list(header):
                return [[_spans(cell) for cell in row] for row in rows[1:]]
        raise AssertionError(f"{self.name} has no table with the header {header}")

    @cached_property
    def _tokens(self) -> list[Token]:
        return MarkdownIt("commonmark").enable("table").parse(self.text)

    def _children(self) -> Iterator[Token]:
        for token in self._tokens:
            yield from token.children or ()

    def _find_blocks(self) -> Iterator[Block]:
        comments = ""
        for token in self._tokens:
            if token.type == "html_block":
                comments += token.content
                continue
            if token.type == "fence":
                assert token.map is not None
                yield _build_block(f"{self.name}:{token.map[0] + 1}", token, comments)
            comments = ""

    def _find_tables(self) -> Iterator[list[list[Token]]]:
        rows: list[list[Token]] = []
        for token in self._tokens:
            if token.type == "table_open":
                rows = []
            elif token.type == "tr_open":
                rows.append([])
            elif token.type == "inline" and rows:
                rows[-1].append(token)
            elif token.type == "table_close":
                yield rows
                rows = []


def list_documents() -> list[Document]:
    """Return the README and everything in docs/."""
    return [Document(path) for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))]


def make_anchor(heading: str) -> str:
    """Return the fragment of a heading, as GitHub makes it."""
    plain = heading.replace("`", "").lower()
    return _NOT_A_SLUG.sub("", plain).replace(" ", "-")


def _build_block(place: str, token: Token, comments: str) -> Block:
    block = {"not_run": "", "preparation": "", "exit_code": 0}
    for kind, code, text in _COMMENT.findall(comments):
        if kind == "prepare":
            block["preparation"] = text.strip()
        elif kind == "not run":
            block["not_run"] = text.strip()
            assert text.strip(), f"{place} does not say why it is not run"
        else:
            block["exit_code"] = int(code)
    left = _COMMENT.sub("", comments)
    assert not left.strip(), f"{place}: the tests do not understand {left!r}"
    return Block(place, token.info.strip(), token.content, **block)  # type: ignore[arg-type]


def _plain(cell: Token) -> str:
    return "".join(child.content for child in cell.children or ())


def _spans(cell: Token) -> list[str]:
    return [child.content for child in cell.children or () if child.type == "code_inline"]
