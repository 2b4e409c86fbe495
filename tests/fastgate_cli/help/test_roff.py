r"""Text becomes roff in which nothing acts but what is meant to, and which reads as the text did."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastgate_cli.help.roff import Roff, escape

REQUESTS = {"TH", "SH", "SS", "PP", "TP", "br", "sp", "RS", "RE", "nf", "fi"}
TRICKY = (
    ".dot first",
    "'quote first",
    "a\n.b\n'c",
    "back\\slash \\n \\fB",
    "--option-name",
    'say "so" `now` ^ ~',
    "…and 名前 •",
    "\x1b[31m\x00",
    "...",
    "\\",
)
TEXT = st.text(st.sampled_from(".'\\-\"`^~ \nab…\x1b\t"), max_size=30)


def unescape(text: str) -> str:
    """Return what a reader sees of an escaped text."""
    named = {"\\e": "\\", "\\-": "-", "\\(aq": "'", "\\(ga": "`", "\\(ha": "^", "\\(ti": "~", "\\(dq": '"'}

    def read(match: re.Match[str]) -> str:
        if match[1]:
            return chr(int(match[1], 16))
        return named.get(match[0], "")

    return re.sub(r"\\\[u([0-9A-F]{4,6})\]|\\\(..|\\.", read, text)


@given(TEXT)
def test_an_escaped_text_acts_nowhere_and_reads_the_same(text: str) -> None:
    escaped = escape(text)
    assert escaped.isascii()
    assert not re.search(r"(?m)^[.']", escaped)
    assert not re.search(r"(?<!\\)-|[\"`^~]", escaped)
    assert unescape(escaped) == re.sub(r"[\x00-\x08\x0b-\x1f\x7f]", "", text)


@given(TEXT, TEXT)
def test_every_line_of_a_page_is_text_or_a_request_of_ours(first: str, second: str) -> None:
    roff = Roff()
    roff.title(first, 1, second, first)
    roff.section(first)
    roff.subsection(second)
    roff.paragraph(first)
    roff.heading(second)
    roff.entry(first, second)
    roff.option(first, second)
    roff.verbatim(first.split("\n"))
    for line in roff.text().split("\n"):
        assert not line.startswith("'")
        if line.startswith("."):
            assert line[1:].split(" ")[0] in REQUESTS


def test_a_page_is_made_of_what_man_knows() -> None:
    roff = Roff()
    roff.title("PROGRAM", 1, "program 1.0", "User Commands")
    roff.section("NAME")
    roff.paragraph("program - does\n things")
    roff.paragraph("More.")
    roff.option("-o, --out FILE", "Where to.")
    roff.entry("/v1/*", "one\ntwo")
    roff.verbatim(["a  b", "", ".c"])
    assert roff.text().splitlines() == [
        '.TH "PROGRAM" "1" "" "program 1.0" "User Commands"',
        '.SH "NAME"',
        "program \\- does things",
        ".PP",
        "More.",
        ".TP",
        "\\fB\\-o,\\fR \\fB\\-\\-out\\fR \\fIFILE\\fR",
        "Where to.",
        ".TP",
        "\\fB/v1/*\\fR",
        "one",
        ".br",
        "two",
        ".sp",
        ".RS 4",
        ".nf",
        "a  b",
        "\\&",
        "\\&.c",
        ".fi",
        ".RE",
    ]


@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not installed")
def test_groff_shows_the_text_as_it_was() -> None:
    roff = Roff()
    roff.title("X", 1, "", "")
    roff.section("X")
    for text in TRICKY:
        roff.verbatim(text.split("\n"))
    done = subprocess.run(
        ["groff", "-man", "-Tutf8", "-ww", "-P-cbou"],
        input=roff.text(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    shown = [line.strip() for line in done.stdout.splitlines()]
    for text in TRICKY:
        for line in text.split("\n"):
            assert re.sub(r"[\x00-\x1f]", "", line) in shown


@settings(max_examples=10)
@given(st.lists(TEXT.filter(str.strip), min_size=1, max_size=10))
@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not installed")
def test_groff_has_no_complaints(texts: list[str]) -> None:
    roff = Roff()
    roff.title(texts[0], 1, texts[0], texts[0])
    roff.section(texts[0])
    for text in texts:
        roff.paragraph(text)
        roff.entry(text, text)
        roff.verbatim(text.split("\n"))
    done = subprocess.run(
        ["groff", "-man", "-Tutf8", "-ww", "-z"],
        input=roff.text(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
