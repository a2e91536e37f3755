"""Reads bytes through the whole reader, as the tests of this folder do."""

from __future__ import annotations

from pathlib import Path

from qwen_webui.documents.reader import DocumentReader
from qwen_webui.documents.values import Document, Limits

USUAL = Limits()


async def read(folder: Path, name: str, data: bytes, limits: Limits = USUAL) -> Document:
    """The document that `data`, uploaded as `name`, is."""
    path = folder / "upload"
    path.write_bytes(data)
    found: Document | None = None
    async for item in DocumentReader(limits).read(path, name):
        if isinstance(item, Document):
            found = item
    assert found is not None, "reading ends with a document or an error"
    return found
