"""Exactly one way of saying which keys."""

from __future__ import annotations

from itertools import product

import pytest

from fastgate_cli.commands.key_selection import KeySelection, read_selection
from proxy.errors import InvalidInputError


@pytest.mark.parametrize(
    ("ids", "source", "everything", "expired"),
    list(product([None, [], ["key_1"]], [None, "", "a"], [False, True], [None, False, True])),
)
def test_one_way_selects_and_none_or_several_do_not(
    ids: list[str] | None, source: str | None, everything: bool, expired: bool | None
) -> None:
    ways = [bool(ids), source is not None, everything, bool(expired)]
    if sum(ways) == 1:
        selection = read_selection(ids, source, everything, expired)
        assert selection == KeySelection(tuple(ids or ()), source, everything, bool(expired))
        assert selection.is_bulk is not bool(ids)
        return
    with pytest.raises(InvalidInputError, match="which keys") as caught:
        read_selection(ids, source, everything, expired)
    assert ("--expired" in caught.value.hint) is (expired is not None)
