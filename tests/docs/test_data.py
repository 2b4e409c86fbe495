"""Blocks of data are what they look like: JSON and YAML parse, configurations and documents can be read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from fastgate_cli.context import Invocation
from fastgate_cli.documents.reading import SECTIONS as GATEWAY_SECTIONS
from fastgate_cli.documents.source import read_source
from proxy.settings import load_settings
from proxy.settings.model import SECTIONS
from tests.docs.documents import Block, list_documents

BLOCKS = [block for document in list_documents() for block in document.blocks]
JSON_BLOCKS = [block for block in BLOCKS if block.language == "json"]
YAML_BLOCKS = [block for block in BLOCKS if block.language == "yaml"]


def read_yaml(block: Block) -> dict[str, object]:
    value = YAML(typ="safe").load(block.text)
    assert isinstance(value, dict)
    return value


@pytest.mark.parametrize("block", JSON_BLOCKS, ids=lambda block: block.place)
def test_json_parses(block: Block) -> None:
    json.loads(block.text)


@pytest.mark.parametrize("block", YAML_BLOCKS, ids=lambda block: block.place)
def test_yaml_parses_and_is_what_it_looks_like(block: Block, tmp_path: Path) -> None:
    keys = set(read_yaml(block))
    file = tmp_path / "block.yaml"
    file.write_text(block.text)
    if keys <= set(SECTIONS):
        load_settings(file, environ={}, cwd=tmp_path)
    elif keys <= set(GATEWAY_SECTIONS):
        read_source(str(file), Invocation(environ={"HOME": str(tmp_path)})).raise_faults()
    else:
        assert keys in ({"groups"}, {"scrape_configs"})  # of Prometheus


def test_there_is_a_configuration_and_a_document_among_them() -> None:
    found = [set(read_yaml(block)) for block in YAML_BLOCKS]
    assert any(keys <= set(SECTIONS) for keys in found)
    assert any(keys <= set(GATEWAY_SECTIONS) for keys in found)
