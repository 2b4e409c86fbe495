"""The fixtures of the end-to-end tests: command lines in folders of their own, and a whole gateway."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.e2e.processes import BUILTIN, Fastgate, Stack


@pytest.fixture(scope="module")
def front() -> str:
    """Return what serves the gateway; a module that wants another has a fixture of this name."""
    return BUILTIN


@pytest.fixture(scope="module")
def make_fastgate(tmp_path_factory: pytest.TempPathFactory, front: str) -> Iterator[Callable[[], Fastgate]]:
    """Return a maker of command lines in folders of their own; their servers end with the module."""
    made: list[Fastgate] = []

    def make() -> Fastgate:
        made.append(Fastgate(tmp_path_factory.mktemp("fastgate"), front))
        return made[-1]

    yield make
    for fastgate in made:
        fastgate.stop_all()


@pytest.fixture(scope="module")
def stack(make_fastgate: Callable[[], Fastgate]) -> Stack:
    """Return a whole gateway in front of a mock, every part a process of its own."""
    fastgate = make_fastgate()
    mock = fastgate.start("mock", "--port", "0")
    created = fastgate.json("keys", "create", "--source", "tests", "--rate-limit", "0")
    fastgate("routes", "add", "--match", "/v1/*", "--to", mock.url, "--name", "mock")
    gateway = fastgate.start("serve", "--port", "0")
    return Stack(fastgate, mock, gateway, created["key"], created["key_id"])
