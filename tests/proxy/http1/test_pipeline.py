"""Requests that wait: in their order, with their bodies, and bounded."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.http1.faults import BAD_HEAD
from proxy.http1.limits import PIPELINED_REQUESTS_MAX
from proxy.http1.parser import Head
from proxy.http1.pipeline import Pipeline

BODIES = st.lists(st.binary(min_size=1, max_size=3000), max_size=8)


def head(path: bytes) -> Head:
    return Head("POST", path, "1.1", [], is_kept_alive=True)


@given(st.lists(BODIES, max_size=5), st.lists(BODIES, max_size=5))
def test_what_is_taken_is_what_came_in_its_order(early: list[list[bytes]], late: list[list[bytes]]) -> None:
    pipeline = Pipeline()
    taken = []
    for number, pieces in enumerate(early + late):
        pipeline.add(head(b"/%d" % number), None)
        for piece in pieces:
            pipeline.add_piece(piece)
        assert pipeline.end(is_last=False)
        if number >= len(early):
            taken.append(pipeline.take())
    assert pipeline.body_bytes == sum(
        len(piece) for pieces in (early + late)[len(late) :] for piece in pieces
    )
    while pipeline:
        taken.append(pipeline.take())
    assert pipeline.body_bytes == 0
    assert [each.head.target for each in taken] == [b"/%d" % number for number in range(len(taken))]
    for waiting, pieces in zip(taken, early + late, strict=True):
        assert waiting.pieces[-1] is None
        assert b"".join(piece for piece in waiting.pieces if isinstance(piece, bytes)) == b"".join(pieces)


def test_pieces_of_a_byte_are_joined() -> None:
    pipeline = Pipeline()
    pipeline.add(head(b"/"), None)
    for _ in range(5000):
        pipeline.add_piece(b"x")
    assert len(pipeline.take().pieces) < 10


def test_the_last_for_which_there_is_room_ends_the_connection() -> None:
    pipeline = Pipeline()
    assert [pipeline.add(head(b"/"), None) for _ in range(PIPELINED_REQUESTS_MAX)].count(False) == 1
    assert not pipeline.end(is_last=False)
    kept = [pipeline.take().head.is_kept_alive for _ in range(PIPELINED_REQUESTS_MAX)]
    assert kept == [True] * (PIPELINED_REQUESTS_MAX - 1) + [False]


def test_so_does_one_whose_trailer_says_close_and_one_that_is_bad_keeps_its_fault() -> None:
    pipeline = Pipeline()
    pipeline.add(head(b"/"), None)
    assert not pipeline.end(is_last=True)
    pipeline.add(head(b"/bad"), BAD_HEAD)
    pipeline.fail("client_bad_body")
    assert not pipeline.take().head.is_kept_alive
    bad = pipeline.take()
    assert (bad.fault, bad.pieces) == (BAD_HEAD, ["client_bad_body"])
