"""Nothing is undocumented: every command, option, setting, metric and field of a row is in the documents."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastgate_cli.commands.log_columns import DETAIL_COLUMNS
from proxy.metrics import GatewayCollector
from proxy.relay.counters import Totals
from proxy.settings import load_settings
from proxy.settings.listing import Listed, list_settings
from tests.docs.commands import list_commands, option_names
from tests.docs.documents import Document, list_documents
from tests.docs.shell import find_calls

DOCUMENTS = {document.name: document for document in list_documents()}
COMMANDS = list_commands()
# Where a command, or the group that it is in, is told of, with each of its options; else in `COMMON`.
HOMES = {
    "keys": "docs/keys.md",
    "routes": "docs/routes.md",
    "logs": "docs/audit.md",
    "metrics": "docs/audit.md",
    "top": "docs/audit.md",
    "config": "docs/configuration.md",
    "db import": "docs/from-m-fastgate.md",
    "db": "docs/database.md",
    "status": "docs/operations.md",
    "reload": "docs/operations.md",
    "stop": "docs/operations.md",
    "doctor": "docs/operations.md",
}
COMMON = "docs/commands.md"
# Options that every command of its kind has: told of once, in `COMMON`.
SHARED = {"--output", "--json", "--fields", "--dry-run", "--yes", "--help", "--config", "--version"}
# Variables of the environment that are no settings.
OTHER_VARIABLES = {"FASTGATE_CONFIG", "FASTGATE_DEBUG", "FASTGATE_PAGER"}
_OPTION = r"(?<![\w-]){}(?![\w-])"


def find_home(command: str) -> Document:
    """Return the document that has to tell of a command."""
    return DOCUMENTS[HOMES.get(command) or HOMES.get(command.partition(" ")[0], COMMON)]


def is_called(command: str, document: Document) -> bool:
    """Tell whether a document calls a command, in an example or in running text."""
    scripts = [block.text for block in document.blocks if block.language == "sh"]
    spans = [span for span in document.code_spans if span.startswith("fastgate")]
    calls = [words for text in (*scripts, *spans) for words in find_calls(text)]
    wanted = command.split()
    return any(words[: len(wanted)] == wanted for words in calls)


def is_told(names: tuple[str, ...], command: str) -> bool:
    """Tell whether an option, by any of its names, is where it has to be."""
    home = DOCUMENTS[COMMON] if SHARED & set(names) else find_home(command)
    return any(re.search(_OPTION.format(re.escape(name)), home.text) for name in names)


@pytest.mark.parametrize("command", [name for name in COMMANDS if name])
def test_every_command_and_each_of_its_options_is_documented(command: str) -> None:
    home = find_home(command)
    assert is_called(command, home), f"{home.name} does not call 'fastgate {command}'"
    missing = [names for names in option_names(COMMANDS[command]) if not is_told(names, command)]
    assert not missing, home.name


def test_the_options_before_a_command_are_documented() -> None:
    assert not [names for names in option_names(COMMANDS[""]) if not is_told(names, "")]


def test_what_no_document_has_is_found() -> None:
    assert not is_told(("--nonsense",), "keys create")
    assert not is_told(("--match",), "keys create")  # of another command
    assert not is_called("keys nonsense", find_home("keys"))


def default_settings(folder: Path) -> Iterator[Listed]:
    # A file, so that paths are those that the documents name.
    (folder / "fastgate.yaml").touch()
    settings = load_settings(folder / "fastgate.yaml", environ={}, cwd=folder)
    for setting in list_settings(settings):
        text = setting.text.replace(f"{folder}/", "")
        yield Listed(setting.name, setting.value, text, setting.origin)


def test_every_setting_is_documented_with_its_default(tmp_path: Path) -> None:
    rows = find_setting_rows(DOCUMENTS["docs/configuration.md"])
    assert rows == {setting.name: setting.text for setting in default_settings(tmp_path)}


def find_setting_rows(document: Document) -> dict[str, str]:
    """Return the settings of the tables with the defaults that stand there; none is an empty text."""
    rows = re.findall(r"^\| `(\w+\.\w+)` \|(?: `(.*?)`)? \|", document.text, re.MULTILINE)
    assert len(rows) == len(dict(rows)), "a setting is told of twice"
    return dict(rows)


def test_every_variable_that_is_named_means_something(tmp_path: Path) -> None:
    settings = {
        f"FASTGATE_{setting.name.replace('.', '_').upper()}" for setting in default_settings(tmp_path)
    }
    for document in DOCUMENTS.values():
        named = set(re.findall(r"\bFASTGATE_[A-Z_]*[A-Z]\b", document.text))
        assert not named - settings - OTHER_VARIABLES, document.name


def test_every_metric_is_documented_and_no_other(tmp_path: Path) -> None:
    class Nothing:
        def read_totals(self) -> Totals:
            return Totals()

    families = {
        family.name + {"counter": "_total", "info": "_info"}.get(family.type, "")
        for family in GatewayCollector(Nothing(), tmp_path).collect()
    }
    documented = {
        name
        for row in DOCUMENTS["docs/operations.md"].find_rows("metric", "")
        for name in row[0]
        if name.startswith("fastgate_")
    }
    assert documented == families
    for document in DOCUMENTS.values():
        named = re.findall(r"\bfastgate_\w+", document.text)
        plain = {re.sub(r"_(bucket|sum|count)$", "", name) for name in named}
        assert plain - {"fastgate_cli"} <= families, document.name


def test_every_field_of_a_row_is_documented() -> None:
    fields = {column.name for column in DETAIL_COLUMNS if column.shown != "display"}
    documented = {
        name for row in DOCUMENTS["docs/audit.md"].find_rows("field", "") for name in row[0] if row[0]
    }
    assert documented == fields
