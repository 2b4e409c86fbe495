"""Links between the documents lead somewhere: files that are there, and headings that they have."""

from __future__ import annotations

import pytest

from tests.docs.documents import ROOT, Document, list_documents, make_anchor

DOCUMENTS = [*list_documents(), Document(ROOT / "tests" / "README.md")]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_every_link_leads_somewhere(document: Document) -> None:
    for link in document.links:
        if link.startswith(("http://", "https://")):
            continue
        name, _, fragment = link.partition("#")
        path = (document.path.parent / name).resolve() if name else document.path
        assert path.exists(), link
        if fragment:
            assert fragment in Document(path).anchors, link


def test_the_index_leads_to_every_document() -> None:
    index = Document(ROOT / "docs" / "README.md")
    linked = {(index.path.parent / link.partition("#")[0]).resolve() for link in index.links}
    assert {document.path for document in list_documents()} - {index.path} <= linked


def test_anchors_are_those_of_headings() -> None:
    assert make_anchor("How it works, and what can be lost") == "how-it-works-and-what-can-be-lost"
    assert make_anchor("`keys` and TLS, HTTP/2") == "keys-and-tls-http2"
