"""A document survives its store, and pasted text becomes one."""

from __future__ import annotations

import pytest

from qwen_webui.documents.saving import dump, load, pasted
from qwen_webui.documents.values import Document, Page
from qwen_webui.errors import StoreError

DOCUMENT = Document(
    "船.pdf",
    "pdf",
    "page",
    (Page(1, '洛安号\n"quoted"'), Page(2, "", "T", "scanned")),
    "Ships",
    True,
)


def test_a_document_survives_its_store() -> None:
    assert load(dump(DOCUMENT)) == DOCUMENT
    assert load(dump(DOCUMENT)).page(2) == DOCUMENT.pages[1]


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"pages": [[1]]}', dump(DOCUMENT)[:-9]])
def test_a_damaged_one_is_refused(data: bytes) -> None:
    with pytest.raises(StoreError):
        load(data)


def test_pasted_text_has_parts() -> None:
    document = pasted("A paragraph of words.\r\n\r\n" * 400, "pasted.txt")
    assert (document.kind, document.unit) == ("text", "part")
    assert len(document.pages) > 2
    assert document.pages[0].text.startswith("A paragraph of words.\n\nA paragraph")
