"""The documents' examples do what they say: run for real where that can be, else read by the real parser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.commands import name_commands, parse_line
from tests.docs.documents import Block, Document, list_documents
from tests.docs.sessions import keep_warm, run_session
from tests.docs.shell import find_calls
from tests.e2e.processes import Fastgate

DOCUMENTS = list_documents()
BLOCKS = [block for document in DOCUMENTS for block in document.blocks]
SHELL_BLOCKS = [block for block in BLOCKS if block.language == "sh"]
FIRST_DAY = "docs/first-day.md"  # run as it is, every command a process of its own
LANGUAGES = {"sh", "json", "yaml", "nginx", "text"}
RUN = [
    document
    for document in DOCUMENTS
    if any(block.language == "sh" and not block.not_run for block in document.blocks)
    and document.name != FIRST_DAY
]


@pytest.fixture(scope="session")
def backend_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Return the port of a mock that stands for every backend of the documents."""
    fastgate = Fastgate(tmp_path_factory.mktemp("backend"))
    yield int(fastgate.start("mock", "--port", "0").url.rpartition(":")[2])
    fastgate.stop_all()


@pytest.fixture(scope="session")
def warm_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the address of the process that makes commands quickly."""
    with keep_warm(tmp_path_factory.mktemp("warm")) as address:
        yield address


@pytest.mark.parametrize("document", RUN, ids=lambda document: document.name)
def test_the_examples_of_a_document_run(
    document: Document, backend_port: int, warm_address: str, tmp_path: Path
) -> None:
    blocks = [block for block in document.blocks if block.language == "sh"]
    outcome = run_session(tmp_path, blocks, backend_port=backend_port, warm_address=warm_address)
    assert outcome.exit_code == 0, f"{outcome.place.strip()}\n{outcome.printed[-3000:]}"


def test_the_first_day_goes_as_it_is_written(tmp_path: Path) -> None:
    (first_day,) = (document for document in DOCUMENTS if document.name == FIRST_DAY)
    outcome = run_session(tmp_path, first_day.blocks)
    assert outcome.exit_code == 0, f"{outcome.place.strip()}\n{outcome.printed[-3000:]}"
    # The request that was made is what the log showed, and what was refused says why.
    for trace in (
        "/v1/chat/completions",
        "unknown_api_key",
        "no_route",
        "rt_",
        "open files",
    ):
        assert trace in outcome.printed


@pytest.mark.parametrize("block", SHELL_BLOCKS, ids=lambda block: block.place)
def test_every_call_in_an_example_parses(block: Block) -> None:
    for words in find_calls(block.text):
        if "$@" not in words:
            parse_line(words)


def test_calls_in_running_text_and_tables_parse() -> None:
    names = name_commands()
    for document in DOCUMENTS:
        for span in document.code_spans:
            for words in find_calls(span) if span.startswith("fastgate ") else ():
                # A command without its arguments, or a group, is spoken of and not called.
                if " ".join(words) in names:
                    continue
                try:
                    parse_line(words)
                except Exception as error:
                    raise AssertionError(f"{document.name}: {span!r}: {error}") from error


def test_every_block_says_what_it_is() -> None:
    unknown = {block.place: block.language for block in BLOCKS if block.language not in LANGUAGES}
    assert not unknown


def test_what_installs_is_the_same_in_the_readme_and_on_the_first_day() -> None:
    readme, first_day = (
        next(document for document in DOCUMENTS if document.name == name).blocks[0].text.strip()
        for name in ("README.md", FIRST_DAY)
    )
    assert readme.startswith(first_day.splitlines()[0] + " && ")


@pytest.mark.parametrize(
    ("script", "calls"),
    [
        ("KEY=$(fastgate keys create --source ci)", [["keys", "create", "--source", "ci"]]),
        (
            'fastgate logs show "$(fastgate logs list -o id)"',
            [["logs", "show"], ["logs", "list", "-o", "id"]],
        ),
        ("fastgate serve 2> gateway.log &\nfastgate stop", [["serve"], ["stop"]]),
        ("sudo -u fastgate /opt/bin/fastgate db path | cat", [["db", "path"]]),
        ("fastgate keys list \\\n  --active # all of them", [["keys", "list", "--active"]]),
        ("cat > x <<'EOF'\nfastgate nonsense\nEOF\nfastgate export > y", [["export"]]),
        ("echo 'two\nlines' | fastgate keys create", [["keys", "create"]]),
    ],
)
def test_calls_are_found_in_a_script(script: str, calls: list[list[str]]) -> None:
    found = [[word for word in words if "$" not in word] for words in find_calls(script)]
    assert found == calls


def test_a_block_that_fails_fails_the_session(tmp_path: Path) -> None:
    blocks = [Block("a:1", "sh", "true\n"), Block("b:2", "sh", "fastgate nonsense\necho on\n")]
    outcome = run_session(tmp_path, blocks)
    assert (outcome.exit_code, outcome.place.strip()) == (2, "b:2")
    assert "no command" in outcome.printed


@pytest.mark.parametrize(("code", "is_met"), [(1, True), (3, False)])
def test_a_block_has_to_end_with_the_code_that_is_named(tmp_path: Path, code: int, is_met: bool) -> None:
    block = Block("a:1", "sh", "false\n", exit_code=code)
    assert (run_session(tmp_path, [block]).exit_code == 0) == is_met


def test_a_call_that_does_not_parse_is_found() -> None:
    for line in ("keys create --sorce x", "keys nonsense", "serve --port many", "routes show"):
        with pytest.raises(Exception, match=r"."):
            parse_line(line.split())
