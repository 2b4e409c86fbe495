"""References in header values: resolved in memory, and never told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import InvalidInputError
from proxy.policy.model import Route
from proxy.references import examine_references, find_dangling, resolve_headers, resolve_value

SECRET = "s3cr3t-value"


def test_a_variable_and_a_file_become_their_values(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(SECRET + "\n")
    (tmp_path / "far").write_text("far")
    environ = {"TOKEN": "from-env", "BLANK_AT_THE_END": "x \n"}
    assert resolve_value("Bearer ${env:TOKEN}", environ, tmp_path) == "Bearer from-env"
    assert resolve_value("${file:token}", environ, tmp_path) == SECRET
    assert resolve_value(f"${{file:{tmp_path}/far}}", environ, Path("/")) == "far"
    assert resolve_value("${env:TOKEN}:${file:token}", environ, tmp_path) == f"from-env:{SECRET}"
    assert resolve_value("Bearer ${env:BLANK_AT_THE_END}", environ, tmp_path) == "Bearer x"


@given(st.text(st.characters(codec="latin-1", exclude_characters="$"), max_size=50))
def test_a_value_without_a_reference_is_left_as_it_is(text: str) -> None:
    assert resolve_value(text, {}, Path()) == text


def test_what_a_reference_stands_for_is_not_resolved_again() -> None:
    assert resolve_value("${env:A}", {"A": "${env:B}", "B": SECRET}, Path()) == "${env:B}"


@pytest.mark.parametrize(
    "reference",
    ["${env:MISSING}", "${env:EMPTY}", "${env:BLANK}", "${file:missing}", "${file:.}", "${file:a\0b}"],
)
def test_a_reference_to_nothing_is_named(reference: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError) as caught:
        resolve_value(f"Bearer {reference}", {"EMPTY": "", "BLANK": " \n"}, tmp_path)
    assert reference in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("value", [f"{SECRET}\r\nx-injected: 1", f"{SECRET}\0x", f"{SECRET}\u20ac"])
def test_a_value_that_no_header_can_hold_is_refused_and_not_told(value: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        resolve_value("${env:TOKEN}", {"TOKEN": value}, Path())
    assert SECRET not in str(caught.value) + caught.value.hint


def test_a_route_has_all_its_headers_resolved_and_shows_none(tmp_path: Path) -> None:
    route = Route("rt_1", "one", "/*", "h", add_headers=(("a", "${env:TOKEN}"), ("b", "plain")))
    resolved = resolve_headers(route, {"TOKEN": SECRET}, tmp_path)
    assert resolved.add_headers == (("a", SECRET), ("b", "plain"))
    assert SECRET not in repr(resolved)
    assert route.add_headers[0] == ("a", "${env:TOKEN}")


def test_every_reference_that_stands_for_nothing_is_found(tmp_path: Path) -> None:
    headers = (("a", "${env:GONE} ${env:SET}"), ("b", "${file:nosuch}"), ("c", "plain"), ("d", "${env:BAD}"))
    route = Route("rt_1", "one", "/*", "h", add_headers=headers)
    environ = {"SET": SECRET, "BAD": f"{SECRET}\0"}
    found = find_dangling(route, environ, tmp_path)
    assert found == [
        "${env:GONE} stands for nothing",
        "${file:nosuch} stands for nothing",
        "${env:BAD} stands for something that no header can hold",
    ]


def test_what_is_kept_from_this_user_is_not_said_to_be_kept_from_the_gateway(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables, files = ("${env:GONE}", "${env:EMPTY}"), ("nosuch", "blank", "shut", "a\0")
    headers = (*variables, *(f"${{file:{name}}}" for name in files))
    route = Route("rt_1", "one", "/*", "h", add_headers=tuple((f"x-{n}", v) for n, v in enumerate(headers)))
    for name in ("blank", "shut"):
        (tmp_path / name).touch()
    opened = Path.open

    def open_unless_shut(path: Path, *arguments: Any, **options: Any) -> Any:
        if path.name == "shut":  # by its name: root may read everything
            raise PermissionError
        return opened(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", open_unless_shut)
    found = {one.reference: one.is_certain for one in examine_references(route, {"EMPTY": ""}, tmp_path)}
    assert [reference for reference, is_certain in found.items() if not is_certain] == [
        "${env:GONE}",
        "${file:shut}",
    ]
    assert list(found) == list(headers)
