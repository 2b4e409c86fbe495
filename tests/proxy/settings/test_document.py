"""A configuration file as text with places."""

from __future__ import annotations

import time
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import ConfigurationError
from proxy.settings.document import FILE_BYTES_MAX, Document, Scalar, read_document

KNOWN = {"app": ["host", "port"], "proxy": ["timeout", "strip_headers"]}


def read(text: str | bytes) -> Document:
    return read_document(text.encode() if isinstance(text, str) else text, "f.yaml", KNOWN)


def faults(text: str | bytes) -> list[str]:
    """Return every problem as a person sees it, whether it ended the reading or not."""
    try:
        return [str(problem) for problem in read(text).problems]
    except ConfigurationError as error:
        return [str(problem) for problem in error.problems]


def test_an_entry_knows_where_its_key_and_value_are() -> None:
    entry = read("app:\n  port:\n    8514\n").entries["app.port"]
    assert entry.items == (Scalar("8514", "int", 3, 5),)
    assert (entry.key_line, entry.line, entry.column, entry.is_list) == (2, 3, 5, False)


@pytest.mark.parametrize("rest", ["", "\n", " # why\n\n\n", "\n  port: 1\n", "\n# more\nproxy: {}\n"])
def test_what_is_empty_has_the_place_of_its_key(rest: str) -> None:
    entry = read(f"app:\n  host:{rest}").entries["app.host"]
    assert entry.items == (Scalar("", "null", 2, 3),)
    assert (entry.key_line, entry.line, entry.column) == (2, 2, 3)


@pytest.mark.parametrize(("text", "column"), [("~", 9), ("''", 9), ("!!null", 9)])
def test_what_says_that_it_is_nothing_has_its_own_place(text: str, column: int) -> None:
    (item,) = read(f"app:\n  host: {text}\n  port: 1\n").entries["app.host"].items
    assert (item.text.strip("~"), item.line, item.column) == ("", 2, column)


def test_an_empty_item_has_its_place_in_the_line_of_its_dash() -> None:
    entry = read("proxy:\n  strip_headers:\n    -\n\n    - host\n    -\n").entries["proxy.strip_headers"]
    assert [(item.text, item.line, item.column) for item in entry.items] == [
        ("", 3, 6),
        ("host", 5, 7),
        ("", 6, 6),
    ]


def test_a_list_holds_scalars_with_places() -> None:
    entry = read("proxy:\n  strip_headers: [host, 7]\n").entries["proxy.strip_headers"]
    assert entry.is_list
    assert entry.items == (Scalar("host", "str", 2, 19), Scalar("7", "int", 2, 25))


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("1", "int"),
        ("'1'", "str"),
        ("true", "bool"),
        ("yes", "str"),
        ("~", "null"),
        ("0.5", "float"),
        ("", "null"),
    ],
)
def test_a_scalar_has_its_yaml_type(value: str, kind: str) -> None:
    assert read(f"app:\n  host: {value}\n").entries["app.host"].items[0].type == kind


@pytest.mark.parametrize(
    "text", ["", "# nothing\n", "---\n", "app:\n", "\ufeffapp: {}\n", "app: {}\nproxy: ~\n"]
)
def test_an_empty_file_or_section_is_no_fault(text: str) -> None:
    document = read(text)
    assert document.entries == {}
    assert document.problems == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[1]", "f.yaml:1:1: the file must hold 'name: value' pairs"),
        ("just text", "f.yaml:1:1: the file must hold 'name: value' pairs"),
        ("app: 5", "f.yaml:1:6: section 'app' must hold 'name: value' pairs"),
        ("app: [port]", "f.yaml:1:6: section 'app' must hold 'name: value' pairs"),
        ("ap:\n  port: 1", "f.yaml:1:1: unknown section 'ap'; did you mean 'app'?"),
        ("other: 1", "f.yaml:1:1: unknown section 'other'"),
        ("port: 1", "f.yaml:1:1: unknown section 'port'; did you mean app.port?"),
        ("app:\n  prot: 1", "f.yaml:2:3: unknown key 'prot' in section 'app'; did you mean 'port'?"),
        (
            "app:\n  timeout: 1",
            "f.yaml:2:3: unknown key 'timeout' in section 'app'; did you mean proxy.timeout?",
        ),
        ("app:\n  [a]: 1", "f.yaml:2:3: unknown key '' in section 'app'"),
        ("app:\n  port: 1\n  host: a\n  port: 2", "f.yaml:4:3: 'port' is given twice, first in line 2"),
        ("app: {}\napp: {}", "f.yaml:2:1: 'app' is given twice, first in line 1"),
        ("app:\n  port: {a: 1}", "f.yaml:2:9: app.port must be a value, not a section"),
        ("app:\n  port: [[1]]", "f.yaml:2:10: each item of app.port must be a plain value"),
        ("app: &a\n  port: 1", "f.yaml:1:6: anchors and aliases are not used here; "),
        ("app:\n  port: &a 1", "f.yaml:2:9: anchors and aliases are not used here; "),
        ("app:\n  port: !env X", "f.yaml:2:9: tags are not used here; "),
        ("app: !!python/object:os.system\n  port: 1", "f.yaml:1:6: tags are not used here; "),
        (
            "app:\n\tport: 1",
            "f.yaml:2:1: invalid YAML: found character '\\t' that cannot start any token",
        ),
        ("app: {port: 1", "f.yaml:1:14: invalid YAML: expected ',' or '}', but got '<stream end>'"),
        ("app:\n  host: *x", "f.yaml:2:9: anchors and aliases are not used here"),
        ("a: 1\n---\nb: 1", "f.yaml:2:1: a second document begins here"),
        ("app:\n  host: a\x00b", "f.yaml:2:10: the character U+0000 is not allowed"),
        (b"app:\n  host: \xc3\xa9\xff", "f.yaml:2:10: the file is not UTF-8 text"),
        ('app: {host: "\\UFFFFFFFF"}', "f.yaml: an escape such as \\UFFFFFFFF"),
        ("%YAML 1.9\n---\n[1, 2", "f.yaml:1:1: directives are not used here"),
        (b"#" * (FILE_BYTES_MAX + 1), "f.yaml: the file is larger than 1024 KB"),
    ],
)
def test_a_fault_has_its_place(text: str | bytes, fault: str) -> None:
    found = faults(text)
    assert len(found) == 1
    assert found[0].startswith(fault)


def test_every_fault_of_structure_is_found() -> None:
    assert len(faults("ap: 1\napp:\n  prot: 1\n  port: [[]]\nproxy: 3\n")) == 4


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? "])
def test_deep_nesting_is_refused_early(opening: str) -> None:
    assert "nested too deeply" in faults(opening * 20_000)[0]


def test_an_alias_bomb_costs_nothing() -> None:
    levels = "".join(f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 9)}]\n" for n in range(1, 30))
    started = time.process_time()
    assert faults("x0: &x0 [a]\n" + levels)
    assert time.process_time() - started < 2


def test_an_anchor_given_twice_is_a_fault_and_no_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(faults("app: {host: &a x, port: &a 1}")) == 2


def test_an_alias_of_itself_is_refused() -> None:
    assert "anchors" in faults("app: {host: &a [*a]}")[0]


@pytest.mark.parametrize(
    "value", ["*hunter2", "!hunter2! x", "&hunter2 *hunter3", "'hunter2", "[hunter2", "hunter2: x: y"]
)
def test_no_message_repeats_a_value(value: str) -> None:
    found = faults(f"app:\n  host: {value}\n")
    assert found
    assert not any("hunter" in fault for fault in found)


@given(
    st.lists(
        st.sampled_from(
            [*"{}[]:,&*!|>%@`\"'#-?\\\n\t a1", "app", "port: ", "!!int ", "\\U0011ffff", "%YAML 1.9\n--- "]
        ),
        max_size=25,
    )
)
def test_any_text_is_read_or_refused(pieces: list[str]) -> None:
    faults("".join(pieces))


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    faults(content)
