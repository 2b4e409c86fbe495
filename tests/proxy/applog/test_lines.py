"""Lines of the log: handed over in pieces and put together again, and how they read."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from datetime import timedelta, timezone
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.applog.lines import (
    LINE_BYTES_MAX,
    RAW_LOGGER,
    TEXT_CHARACTERS_MAX,
    Line,
    LineReader,
    format_json,
    format_text,
    pack_line,
    read_record,
)

ZONE = timezone(timedelta(hours=8))
NOW = 0.5


def record(message: str, *arguments: object, error: Exception | None = None) -> logging.LogRecord:
    failed = (type(error), error, error.__traceback__) if error is not None else None
    made = logging.LogRecord("proxy.x", logging.WARNING, "x.py", 1, message, arguments, failed)
    made.created = NOW
    return made


def failure() -> ValueError:
    try:
        password = "hunter2-in-a-local"
        raise ValueError(len(password))
    except ValueError as error:
        return error


def read(pieces: Iterable[bytes]) -> list[Line]:
    reader = LineReader(lambda: NOW)
    return [*(line for piece in pieces for line in reader.feed(piece)), *reader.finish()]


def raw(text: str) -> Line:
    return Line(NOW, "ERROR", RAW_LOGGER, text)


def test_as_text_it_has_time_level_and_message() -> None:
    assert format_text(read_record(record("%d keys", 3)), "", ZONE) == (
        "1970-01-01T08:00:00.500+08:00 WARNING 3 keys\n"
    )


def test_it_names_its_process_if_there_are_several() -> None:
    line = read_record(record("x"))
    assert format_text(line, "worker-2", ZONE).endswith(" WARNING worker-2 x\n")
    assert json.loads(format_json(line, "recorder", ZONE))["process"] == "recorder"
    assert "process" not in json.loads(format_json(line, "", ZONE))


def test_as_json_it_is_one_object_with_its_traceback_inside() -> None:
    text = format_json(read_record(record("bad\n%s", "thing", error=failure())), "", ZONE)
    assert text.index("\n") == len(text) - 1
    parsed = json.loads(text)
    assert parsed["time"] == "1970-01-01T08:00:00.500+08:00"
    assert (parsed["level"], parsed["logger"], parsed["message"]) == ("WARNING", "proxy.x", "bad\nthing")
    assert parsed["traceback"].endswith("ValueError: 18")


def test_one_whose_arguments_do_not_fit_says_where_and_not_what_they_are() -> None:
    assert read_record(record("%d keys", "three")).message == (
        "x.py:1: cannot be told: TypeError: %d format: a real number is required, not str"
    )


def test_a_traceback_follows_its_message_and_shows_no_local() -> None:
    head, *traceback = format_text(read_record(record("failed", error=failure())), "", ZONE).splitlines()
    assert head.endswith(" failed")
    assert traceback[0].startswith("Traceback ")
    assert traceback[-1] == "ValueError: 18"
    assert "hunter2-in-a-local" not in "".join(traceback).replace('password = "hunter2-in-a-local"', "")


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
LINES = st.builds(Line, st.floats(0, 1e9), st.sampled_from(["INFO", "ERROR"]), TEXTS, TEXTS, TEXTS)
# What a crash writes; a mark in it would begin a line.
RAW_TEXTS = st.text(st.characters(codec="ascii", categories=["L", "P", "Zs"]), min_size=1, max_size=40)


@settings(max_examples=200)
@given(st.lists(st.one_of(LINES, RAW_TEXTS), max_size=8), st.data())
def test_in_whatever_pieces_it_comes_it_is_what_was_handed_over(
    given_lines: list[Line | str], data: st.DataObject
) -> None:
    sent = b"".join(
        pack_line(line) if isinstance(line, Line) else f"{line}\n".encode() for line in given_lines
    )
    cuts = sorted(data.draw(st.lists(st.integers(0, len(sent)), max_size=8)))
    wanted = [line if isinstance(line, Line) else raw(line.rstrip()) for line in given_lines]
    assert read(sent[start:end] for start, end in pairwise([0, *cuts, len(sent)])) == [
        line for line in wanted if line.logger != RAW_LOGGER or line.message
    ]


def test_one_that_follows_a_raw_one_without_an_end_is_a_line_of_its_own() -> None:
    line = read_record(record("x"))
    assert read([b"Fatal Python error", pack_line(line)]) == [raw("Fatal Python error"), line]


def test_one_that_broke_off_is_raw() -> None:
    packed = pack_line(read_record(record("x")))
    assert read([packed[:-9]]) == [raw(packed[1:-9].decode())]
    assert read([b"\x1e{}\n"]) == [raw("{}")]


def test_bytes_that_are_no_text_are_shown_as_what_they_are() -> None:
    assert read([b"\xff\x00\r\n \n"]) == [raw("\\xff\x00")]
    line = read_record(record("file %s", "\udcff"))
    assert read([pack_line(line)]) == [Line(NOW, "WARNING", "proxy.x", "file \\udcff")]


def test_a_long_text_is_cut_in_its_middle_and_marked() -> None:
    message = read_record(record("a%sz", "-" * TEXT_CHARACTERS_MAX)).message
    assert len(message) <= TEXT_CHARACTERS_MAX
    assert message.startswith("a---")
    assert "--- [... cut ...] ---" in message
    assert message.endswith("---z")


def test_no_text_makes_a_line_that_is_too_long_for_its_reader() -> None:
    for hostile in ("\x01", "\udcff", "\U0001f600"):
        text = hostile * TEXT_CHARACTERS_MAX * 2
        made = record("%s", text)
        made.stack_info = text
        line = read_record(made)
        assert read([pack_line(line)]) == [line]


def test_a_raw_line_without_an_end_is_cut_and_the_next_is_whole() -> None:
    (first, second) = read([b"a" * 1000] * (LINE_BYTES_MAX // 1000 + 5) + [b"\nnext"])
    assert first.message.endswith("aaa [... cut ...]")
    assert len(first.message) < TEXT_CHARACTERS_MAX + 100
    assert second == raw("next")
