"""Seven formats of one list of columns: what a program in a pipe reads, and what a spreadsheet opens."""

from __future__ import annotations

import csv
import io
import json
import socket
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastgate_cli.columns import Column, format_minute
from fastgate_cli.output import (
    Format,
    OutputOptions,
    blocks_wanted,
    colour_wanted,
    pick_columns,
    print_each,
    print_note,
    print_object,
    print_rows,
    print_stream,
    read_output_options,
)
from proxy.errors import InvalidInputError

ZONE = timezone(timedelta(hours=8))
MOMENT = datetime(2026, 1, 31, tzinfo=ZONE)
COLUMNS = (
    Column("id"),
    Column("name"),
    Column("at", text=format_minute),
    Column("tags", shown="wide"),
    Column("body", shown="data"),
    Column("both", shown="display", value=lambda row: row["id"] + row["name"]),
)
ROW: dict[str, Any] = {"id": "a1", "name": "näme", "at": MOMENT, "tags": ["x", "y"], "body": None}
PLAIN = {
    "id": "a1",
    "name": "näme",
    "at": "2026-01-31T00:00:00.000000+08:00",
    "tags": ["x", "y"],
    "body": None,
}


class Stream(io.StringIO):
    """A stream that is a terminal, or is not."""

    def __init__(self, *, terminal: bool) -> None:
        super().__init__()
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


class Printed:
    """All that has been printed in a test, in a pipe."""

    def __init__(self, capture: pytest.CaptureFixture[str]) -> None:
        self.capture = capture
        self.text = ""

    def getvalue(self) -> str:
        self.text += self.capture.readouterr().out
        return self.text


@pytest.fixture
def out(capsys: pytest.CaptureFixture[str]) -> Printed:
    """What is printed, in a pipe."""
    return Printed(capsys)


def options(format: Format | None = None, *fields: str) -> OutputOptions:
    return OutputOptions(format, fields, ZONE)


def test_a_pipe_gets_tsv_with_a_header_and_every_data_field(out: Printed) -> None:
    print_rows([ROW], COLUMNS, options())
    assert out.getvalue().splitlines() == [
        "id\tname\tat\ttags\tbody",
        'a1\tnäme\t2026-01-31T00:00:00.000000+08:00\t["x", "y"]\t',
    ]


def test_tabs_and_newlines_in_a_value_do_not_tear_a_tsv_line(out: Printed) -> None:
    print_rows([{"id": "a\tb\nc\\d\x1b"}], COLUMNS[:1], options("tsv"))
    assert out.getvalue() == "id\na\\tb\\nc\\\\d\\x1b\n"


def test_json_is_an_indented_array_of_objects_with_unicode_kept(out: Printed) -> None:
    print_rows([ROW, ROW], COLUMNS, options("json"))
    assert json.loads(out.getvalue()) == [PLAIN, PLAIN]
    assert '\n    "name": "näme",\n' in out.getvalue()


def test_json_of_no_rows_is_an_empty_array(out: Printed) -> None:
    print_rows([], COLUMNS, options("json"), empty="nothing")
    assert out.getvalue() == "[]\n"


def test_a_dense_array_has_a_line_for_each_row(out: Printed) -> None:
    print_rows([ROW, ROW], COLUMNS, replace(options("json", "id"), is_dense=True))
    assert out.getvalue() == '[\n  {"id":"a1"},\n  {"id":"a1"}\n]\n'


def test_a_single_thing_is_an_object(out: Printed) -> None:
    print_object(ROW, COLUMNS, options("json"))
    assert json.loads(out.getvalue()) == PLAIN


def test_json_lines_are_compact(out: Printed) -> None:
    print_rows([ROW, ROW], COLUMNS, options("jsonl", "id", "tags"))
    assert out.getvalue() == '{"id":"a1","tags":["x","y"]}\n' * 2


@pytest.mark.parametrize("format", ["jsonl", "csv", "tsv", "id", "json"])
def test_each_row_is_written_before_the_next_is_asked_for(out: Printed, format: Format) -> None:
    written: list[int] = []

    def rows() -> Iterator[dict[str, Any]]:
        for _ in range(3):
            written.append(out.getvalue().count("a1"))
            yield ROW

    print_rows(rows(), COLUMNS, options(format))
    assert written == [0, 1, 2]


@given(st.text(min_size=1))
def test_no_csv_cell_begins_a_formula_and_the_rest_is_kept(text: str) -> None:
    with redirect_stdout(Stream(terminal=False)) as out:
        print_rows([{"id": text}], COLUMNS[:1], options("csv"))
    cell = list(csv.reader(io.StringIO(out.getvalue(), newline="")))[1][0]
    assert cell.removeprefix("'") == text.removeprefix("'")
    assert cell[0] not in "=+-@\t\r\n"


def test_a_negative_number_in_csv_is_a_number(out: Printed) -> None:
    print_rows([{"id": -5}], COLUMNS[:1], options("csv"))
    assert out.getvalue() == "id\n-5\n"


NASTY = "\x1b]0;pwn\x07\x9b31m\x7f\nend"


@pytest.mark.parametrize("form", ["json", "jsonl", "csv", "tsv", "id"])
def test_what_a_client_wrote_does_nothing_to_a_terminal(form: Format) -> None:
    terminal = Stream(terminal=True)
    with redirect_stdout(terminal):
        print_rows([{**ROW, "id": NASTY, "name": NASTY}], COLUMNS, options(form))
    printed = terminal.getvalue()
    assert not set(printed) & {chr(code) for code in (*range(32), *range(0x7F, 0xA0))} - {"\n", "\t"}


def test_json_and_csv_in_a_pipe_hold_what_there_is() -> None:
    row = {**ROW, "name": NASTY}
    pipe = Stream(terminal=False)
    with redirect_stdout(pipe):
        print_rows([row], COLUMNS, options("json"))
    assert json.loads(pipe.getvalue())[0]["name"] == NASTY
    pipe = Stream(terminal=False)
    with redirect_stdout(pipe):
        print_rows([row], COLUMNS, options("csv"))
    assert next(csv.DictReader(io.StringIO(pipe.getvalue(), newline="")))["name"] == NASTY


def test_id_prints_the_first_column_whatever_the_fields(out: Printed) -> None:
    print_rows([ROW], COLUMNS, options("id", "name"))
    assert out.getvalue() == "a1\n"


def test_fields_pick_and_order(out: Printed) -> None:
    print_rows([ROW], COLUMNS, options("csv", "name", "id"))
    assert out.getvalue() == "name,id\nnäme,a1\n"


@pytest.mark.parametrize("name", ["nosuch", "both"])
def test_an_unknown_field_is_an_error_that_lists_the_fields(name: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        pick_columns(COLUMNS, options("csv", name))
    assert caught.value.hint == "fields: id, name, at, tags, body"


def test_tables_show_what_a_person_needs_and_wide_more() -> None:
    assert [column.name for column in pick_columns(COLUMNS, options("table"))] == ["id", "name", "at", "both"]
    wide = [column.name for column in pick_columns(COLUMNS, options("wide"))]
    assert wide == ["id", "name", "at", "tags", "both"]


def test_one_thing_asked_for_is_an_object_and_several_are_a_list(out: Printed) -> None:
    print_each([ROW], COLUMNS, options("json"), single=True)
    print_each([ROW], COLUMNS, options("json"), single=False)
    assert out.getvalue().startswith("{")
    assert "}\n[\n" in out.getvalue()


def test_a_stream_of_json_is_json_lines(out: Printed) -> None:
    print_stream([ROW], COLUMNS, options("json", "id"))
    assert out.getvalue() == '{"id":"a1"}\n'


def test_an_empty_table_says_so_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    with redirect_stdout(Stream(terminal=True)) as terminal:
        print_rows([], COLUMNS, options(), empty="no rows yet")
    assert terminal.getvalue() == ""
    assert capsys.readouterr().err == "no rows yet\n"


@pytest.mark.parametrize("format_", ["table", "wide", "json", "jsonl", "tsv", "id"])
def test_what_turns_a_line_round_is_an_escape_in_every_format(out: Printed, format_: Format) -> None:
    print_rows([{"id": "a\u202eb\u2067c"}], COLUMNS, options(format_, "id"))
    assert "a\\u202eb\\u2067c" in out.getvalue().replace("\\\\", "\\")


def test_notes_go_to_stderr_without_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    print_note("a\x1b[31m")
    assert capsys.readouterr() == ("", "a\\x1b[31m\n")


def test_a_note_is_one_write_so_that_no_line_of_a_log_comes_into_it() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs, redirect_stderr(theirs.makefile("w", buffering=1)) as unbuffered:
        unbuffered.reconfigure(write_through=True)  # as PYTHONUNBUFFERED does
        print_note("a note")
        assert ours.recv(100) == b"a note\n"


def test_the_format_follows_the_terminal() -> None:
    with redirect_stdout(Stream(terminal=True)):
        assert options().chosen == "table"
        assert options("csv").chosen == "csv"
    with redirect_stdout(Stream(terminal=False)):
        assert options().chosen == "tsv"


def test_contradicting_and_empty_options_are_refused() -> None:
    assert read_output_options("json", as_json=True, fields="id, at", zone=ZONE) == options(
        "json", "id", "at"
    )
    with pytest.raises(InvalidInputError, match="contradict"):
        read_output_options("csv", as_json=True, fields=None, zone=ZONE)
    with pytest.raises(InvalidInputError, match="nosuch"):
        read_output_options(None, as_json=False, fields="nosuch", zone=ZONE, columns=COLUMNS)
    with pytest.raises(InvalidInputError, match="no field"):
        read_output_options(None, as_json=False, fields=",", zone=ZONE)


@pytest.mark.parametrize(
    ("environ", "terminal", "wanted"),
    [
        ({}, False, False),
        ({"TERM": "xterm"}, True, True),
        ({"TERM": "dumb"}, True, False),
        ({"TERM": "xterm", "NO_COLOR": "1"}, True, False),
        ({"TERM": "xterm", "NO_COLOR": ""}, True, True),
        ({"FORCE_COLOR": "1"}, False, True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, True, False),
    ],
)
def test_colour_is_for_terminals_unless_told_otherwise(
    environ: dict[str, str], terminal: bool, wanted: bool
) -> None:
    assert colour_wanted(Stream(terminal=terminal), environ) is wanted


@pytest.mark.parametrize(
    ("encoding", "environ", "wanted"),
    [
        ("utf-8", {}, True),
        ("utf-8", {"LANG": "en_US.UTF-8"}, True),
        ("utf-8", {"LANG": "C.UTF-8"}, True),
        # What Python makes UTF-8 of is still what the terminal was told.
        ("utf-8", {"LANG": "C", "LC_CTYPE": "C.UTF-8"}, False),
        ("utf-8", {"LC_ALL": "POSIX", "LANG": "de_DE.UTF-8"}, False),
        ("utf-8", {"LC_ALL": "C.UTF-8", "LANG": "C"}, True),
        ("ascii", {"LANG": "C.UTF-8"}, False),
    ],
)
def test_a_terminal_of_ascii_gets_ascii(encoding: str, environ: dict[str, str], wanted: bool) -> None:
    assert blocks_wanted(io.TextIOWrapper(io.BytesIO(), encoding=encoding), environ) is wanted
