"""The fixtures of the hardening tests: one gateway a module, which serves after every test as before it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.processes import BUILTIN, Fastgate
from tests.hardening.gate import Gate, run_gate


@pytest.fixture(scope="module")
def front() -> str:
    """Return what serves the gateway; a module that wants another has a fixture of this name."""
    return BUILTIN


@pytest.fixture(scope="module")
def settings() -> str:
    """Return more of fastgate.yaml; a module that needs some has a fixture of this name."""
    return ""


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory, settings: str, front: str) -> Iterator[Gate]:
    """Return the gateway of a module."""
    with run_gate(Fastgate(tmp_path_factory.mktemp("gate"), front), settings) as gate:
        yield gate


@pytest.fixture
def serving(gate: Gate) -> Iterator[None]:
    """Check after a test that the gateway serves others, and hang up what the test has left open."""
    yield
    gate.check_serves()
    gate.hang_up()
