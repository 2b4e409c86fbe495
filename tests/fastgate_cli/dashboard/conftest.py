"""A configuration in a folder, and the database that it names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from shutil import copyfile

import pytest

from fastgate_cli.context import Invocation
from fastgate_cli.dashboard.readers import build_source
from fastgate_cli.dashboard.source import Source
from proxy.settings import Settings
from proxy.store.database import Database, open_database

CONFIGURATION = (
    "database: {url: 'sqlite:///fastgate.db'}\n"
    "audit: {directory: journal}\n"
    "rate_limiting: {file: limits}\n"
    "app: {timezone: UTC}\n"
)


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database to copy, which is quicker than to migrate one for every test."""
    path = tmp_path_factory.mktemp("empty") / "fastgate.db"
    open_database(path, create=True).close()
    return path


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A configuration in a folder of its own, in which nothing else is yet."""
    (tmp_path / "fastgate.yaml").write_text(CONFIGURATION)
    return Invocation(tmp_path / "fastgate.yaml", {"HOME": str(tmp_path)}).settings


@pytest.fixture
def database(settings: Settings, empty_database: Path, tmp_path: Path) -> Iterator[Database]:
    """The configured database, without any requests."""
    copyfile(empty_database, tmp_path / "fastgate.db")
    with open_database(tmp_path / "fastgate.db", create=False) as database:
        yield database


@pytest.fixture
def source(settings: Settings) -> Iterator[Source]:
    """A reader's way to it."""
    source = build_source(settings)
    yield source
    source.drop()
