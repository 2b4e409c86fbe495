"""A configuration in a folder of its own, with a database unless a test wants none."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.settings import Settings, database_path, load_settings
from proxy.store.database import open_database


@pytest.fixture
def bare(tmp_path: Path) -> Settings:
    """A configuration of which nothing has been made yet."""
    file = tmp_path / "fastgate.yaml"
    file.write_text("app: {port: 0}\n")
    return load_settings(file, environ={"HOME": str(tmp_path)}, cwd=tmp_path)


@pytest.fixture
def settings(bare: Settings) -> Settings:
    """The same, its database made."""
    open_database(database_path(bare), create=True).close()
    return bare
