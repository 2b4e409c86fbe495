"""One entry changed, and every other byte as it was."""

from __future__ import annotations

import pytest

from proxy.documents.editing import set_entry, unset_entry
from proxy.documents.entries import Source
from proxy.documents.spelling import Plain, Value

ORDER = ["host", "port", "list"]
NEW = Plain("new")
NINE = Plain("9", is_text=False)
BOTH = [Plain("a"), Plain("x y")]


def change(text: str, name: str, value: Value) -> str:
    return set_entry(Source(text, "f.yaml"), "app", name, value, ORDER)


@pytest.mark.parametrize(
    ("text", "value", "expected"),
    [
        ("app:\n  host:   old   # why\n", NEW, "app:\n  host:   new   # why\n"),
        ("app:\n  host: 'old'\n", NEW, "app:\n  host: 'new'\n"),
        ('app:\n  host: "old"', NEW, 'app:\n  host: "new"'),
        ('app: {port: 1, "host" : old}\n', NEW, 'app: {port: 1, "host" : new}\n'),
        ("app:\n  host:   # why\n  port: 1\n", NEW, "app:\n  host: new   # why\n  port: 1\n"),
        ("app:\n  host: ~\n", NEW, "app:\n  host: new\n"),
        ("app:\n  host: |\n    old\n    older\n\n# c\nb: 1\n", NEW, "app:\n  host: new\n\n# c\nb: 1\n"),
        ("app:\n  host: old\n    older # c\n", NEW, "app:\n  host: new # c\n"),
        ("app:\n  host: [old]  # c\n", NEW, "app:\n  host: new  # c\n"),
        (
            "app:\n  host:  # c\n    - old\n    - b  # d\n\n  port: 1\n",
            NEW,
            "app:\n  host: new  # c\n\n  port: 1\n",
        ),
        ("app:\n  host: '9'\n", NINE, "app:\n  host: 9\n"),
        ("app:\n  host: 9\n", Plain("9"), 'app:\n  host: "9"\n'),
        ("app:\r\n  host: old\r\n  port: 1\r\n", NEW, "app:\r\n  host: new\r\n  port: 1\r\n"),
        ("app:\n  host: 'new'\n", NEW, "app:\n  host: 'new'\n"),
    ],
)
def test_a_value_changes_where_it_stands(text: str, value: Value, expected: str) -> None:
    assert change(text, "host", value) == expected


@pytest.mark.parametrize(
    ("text", "value", "expected"),
    [
        ("app:\n  list: [a, 'b', \"x y\"]  # c\n", BOTH, 'app:\n  list: [a, "x y"]  # c\n'),
        (
            "app:\n  list: [\n    a,  # c\n    x y,\n  ]\n",
            BOTH,
            "app:\n  list: [\n    a,  # c\n    x y,\n  ]\n",
        ),
        ("app:\n  list: ${LIST}\n", BOTH, "app:\n  list: [a, x y]\n"),
        ("app:\n  list:\n", [], "app:\n  list: []\n"),
        ("app:\n  list: [a]\n", [], "app:\n  list: []\n"),
        (
            "app:\n  list:  # c\n    # of a\n    - a  # d\n    - b  # e\n    # end\n  port: 1\n",
            BOTH,
            "app:\n  list:  # c\n    # of a\n    - a  # d\n    - x y\n    # end\n  port: 1\n",
        ),
        ("app:\n  list:\n  - b\n  # of a\n  - 'a'\n", BOTH, "app:\n  list:\n  # of a\n  - 'a'\n  - x y\n"),
        ("app:\n  list:\n    - a\n    - x y", BOTH, "app:\n  list:\n    - a\n    - x y"),
        ("app:\n  list:  # c\n    - a\n    - b\n  port: 1\n", [], "app:\n  list: []  # c\n  port: 1\n"),
        ("app:\r\n  list:\r\n    - a\r\n", BOTH, "app:\r\n  list:\r\n    - a\r\n    - x y\r\n"),
    ],
)
def test_a_list_keeps_its_layout_and_the_items_that_stay(text: str, value: Value, expected: str) -> None:
    assert change(text, "list", value) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "app:\n  port: 9\n"),
        ("# only this\n", "# only this\n\napp:\n  port: 9\n"),
        ("b: {}", "b: {}\n\napp:\n  port: 9\n"),
        ("b:\r\n  c: 1\r\n", "b:\r\n  c: 1\r\n\r\napp:\r\n  port: 9\r\n"),
        ("b: {}\n...\n", "b: {}\n\napp:\n  port: 9\n...\n"),
        ("b: {}\r\n... # c\r\n", "b: {}\r\n\r\napp:\r\n  port: 9\r\n... # c\r\n"),
        ("---\nb: {}\n...", "---\nb: {}\n\napp:\n  port: 9\n..."),
        ("---\n...\n# c\n", "---\n\napp:\n  port: 9\n...\n# c\n"),
        ("b: |\n  x\n  ...\n...\n", "b: |\n  x\n  ...\n\napp:\n  port: 9\n...\n"),
        ("b:\n  c: 1\n# ...\n", "b:\n  c: 1\n# ...\n\napp:\n  port: 9\n"),
        ("{b: {c: 1}}\n", "{b: {c: 1}, app: {port: 9}}\n"),
        ("{}\n", "{app: {port: 9}}\n"),
        ("app:  # c\n", "app:  # c\n  port: 9\n"),
        ("app:\n  # host: x\nb: {}\n", "app:\n  port: 9\n  # host: x\nb: {}\n"),
        ("app: ~\n", "app: {port: 9}\n"),
        ("app: {}\n", "app: {port: 9}\n"),
        ("app: {host: x}\n", "app: {host: x, port: 9}\n"),
        ("app: {list: [a], host: x}\n", "app: {list: [a], host: x, port: 9}\n"),
        ("app: {list: [a]}\n", "app: {port: 9, list: [a]}\n"),
        (
            "app:\n    host: x  # c\n    # of list\n    list: [a]\n",
            "app:\n    host: x  # c\n    port: 9\n    # of list\n    list: [a]\n",
        ),
        ("app:\n  # of list\n  list: [a]\n", "app:\n  port: 9\n  # of list\n  list: [a]\n"),
        ("app:\n  host: |\n    x\n\nb: 1\n", "app:\n  host: |\n    x\n  port: 9\n\nb: 1\n"),
        ("app:\n  host: x", "app:\n  host: x\n  port: 9"),
    ],
)
def test_what_is_not_there_is_put_in_behind_what_comes_before_it(text: str, expected: str) -> None:
    assert change(text, "port", NINE) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("app:\n  # of host\n  host: x  # c\n  port: 1\n", "app:\n  # of host\n  port: 1\n"),
        ("app:\n  host: |\n    x\n\n  port: 1\n", "app:\n\n  port: 1\n"),
        ("app:\n  port: 1\n  host:\n    - x\n    - y  # c\n", "app:\n  port: 1\n"),
        ("app:\n  host: x", "app:\n"),
        ("app: {host: x, port: 1}\n", "app: {port: 1}\n"),
        ("app: {port: 1, host: x}\n", "app: {port: 1}\n"),
        ("app: {host: x}\n", "app: {}\n"),
        ("app:\r\n  host: x\r\n  port: 1\r\n", "app:\r\n  port: 1\r\n"),
        ("app:\n  port: 1\n", "app:\n  port: 1\n"),
        ("b: 1\n", "b: 1\n"),
        ("app: [host]\n", "app: [host]\n"),
        ("", ""),
    ],
)
def test_an_entry_is_taken_out_and_nothing_else(text: str, expected: str) -> None:
    assert unset_entry(Source(text, "f.yaml"), "app", "host") == expected


def test_a_section_that_holds_something_else_is_left_to_whoever_wrote_it() -> None:
    assert change("app: 5\n", "port", NINE) == "app: 5\n"
    assert change("app: [a]\n", "port", NINE) == "app: [a]\n"
