"""References in the values of a configuration file."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import InvalidInputError
from proxy.settings.expansion import expand, has_references

NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${HOST}", "example.org"),
        ("http://${HOST}:${PORT:-80}/", "http://example.org:80/"),
        ("${EMPTY}", ""),
        ("${EMPTY:-default}", "default"),
        ("${UNSET:-}", ""),
        ("${UNSET:-a b: c}", "a b: c"),
        ("${HOST:?say where}", "example.org"),
        ("${UNSET:-a$$b}", "a$b"),
        ("${UNSET:-a$b}", "a$b"),
        ("$$", "$"),
        ("$${HOST}", "${HOST}"),
        ("$$${HOST}", "$example.org"),
        ("$HOST costs 5$", "$HOST costs 5$"),
        ("${TRICKY}", "${HOST}$$"),
    ],
)
def test_replaces_each_form(text: str, expected: str) -> None:
    environ = {"HOST": "example.org", "EMPTY": "", "TRICKY": "${HOST}$$"}
    assert expand(text, environ) == expected


def test_an_unset_variable_without_a_default_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="the environment variable UNSET is not set"):
        expand("a ${UNSET} b", {})


@pytest.mark.parametrize("environ", [{}, {"TOKEN": ""}])
def test_a_question_mark_gives_the_reason(environ: dict[str, str]) -> None:
    with pytest.raises(InvalidInputError, match=r"TOKEN: make one with openssl"):
        expand("${TOKEN:?make one with openssl}", environ)


def test_a_question_mark_without_a_reason_refuses_an_empty_variable() -> None:
    with pytest.raises(InvalidInputError, match="TOKEN is unset or empty"):
        expand("${TOKEN:?}", {"TOKEN": ""})


@pytest.mark.parametrize("text", ["${", "${}", "${1A}", "${A", "${A B}", "${A:+b}", "${A:-${B}}", "${A:-b$"])
def test_a_broken_form_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        expand(f"s3cret{text}s3cret", {})
    assert "s3cret" not in caught.value.message


@given(st.text())
def test_doubling_every_dollar_protects_any_text(text: str) -> None:
    assert expand(text.replace("$", "$$"), {}) == text


@given(st.text(alphabet="ab{}:-?$ "))
def test_text_without_forms_is_unchanged(text: str) -> None:
    if not has_references(text):
        assert expand(text, {}) == text


@given(NAMES, st.text(), st.text(alphabet="abc :/-?", max_size=10))
def test_a_set_variable_wins_over_its_default(name: str, value: str, default: str) -> None:
    expected = value or default
    assert expand(f"<${{{name}:-{default}}}>", {name: value}) == f"<{expected}>"
