"""A document as JSON, for a store; and text that was pasted, as a document.

Where it is kept, and for how long, is the store's business.
"""

from __future__ import annotations

import dataclasses
import json

from qwen_webui.documents.encodings import clean
from qwen_webui.documents.parts import blocks_of, parts_of
from qwen_webui.documents.values import Document, Page
from qwen_webui.errors import StoreError


def dump(document: Document) -> bytes:
    """As UTF-8 JSON that `load` reads."""
    fields = ("name", "kind", "unit", "title", "locked")
    plain = {name: getattr(document, name) for name in fields}
    pages = [dataclasses.asdict(page) for page in document.pages]
    return json.dumps({**plain, "pages": pages}, ensure_ascii=False).encode()


def load(data: bytes) -> Document:
    """The document that `data` is of. Raises StoreError."""
    try:
        plain = json.loads(data)
        pages = tuple(map(Page.of, plain.pop("pages")))
        return Document(pages=pages, **plain)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise StoreError(
            "A stored document cannot be read: its file is damaged. Delete it and upload it again."
        ) from error


def pasted(text: str, name: str) -> Document:
    """Text from the message field as a document of parts, without a file."""
    parts = parts_of(blocks_of(clean(text)))
    pages = tuple(Page(number, part) for number, part in enumerate(parts, 1))
    return Document(name, "text", "part", pages)
