"""DOCX: headings, paragraphs, lists, tables, text boxes, foot- and endnotes, in their order.

Text that a tracked change took away is not read, text that one added is. Page numbers exist only
once a program lays the document out, so it is read in parts.
"""

from __future__ import annotations

import io
import re
from collections.abc import Generator, Iterator
from typing import Any

import docx
from docx.opc.exceptions import PackageNotFoundError
from lxml import etree

from qwen_webui.documents.encodings import clean
from qwen_webui.documents.formats.archive import check
from qwen_webui.documents.parts import parts_of
from qwen_webui.documents.tables import markdown
from qwen_webui.documents.values import Page
from qwen_webui.documents.wire import Ended, Job, Opened, PageRead
from qwen_webui.errors import DocumentError

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
_BOX = f"{_W}txbxContent"
# Deleted text, the second form of a drawing, and text that stands elsewhere in the order.
_SKIPPED = {f"{_W}del", f"{_W}moveFrom", _FALLBACK, _BOX}
_BREAKS = {f"{_W}tab": "\t", f"{_W}br": "\n", f"{_W}cr": "\n", f"{_W}noBreakHyphen": "-"}
_HEADING = re.compile(r"(?:heading|标题)\s*(\d)", re.IGNORECASE)
_NOTES = ("/word/footnotes.xml", "/word/endnotes.xml")
_MAX_DEPTH = 40
_XML = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)


def read(data: bytes, job: Job) -> Generator[Opened | PageRead, None, Ended]:
    """Reports of every part. Raises DocumentError."""
    check(data)
    try:
        document = docx.Document(io.BytesIO(data))
        body = document.element.body
        styles = {style.style_id: style.name or "" for style in document.styles}
    except (PackageNotFoundError, KeyError, ValueError, AttributeError, etree.LxmlError) as error:
        raise DocumentError(
            "The Word document is damaged: its text cannot be found. Save it again as DOCX."
        ) from error
    yield Opened("docx", 0)
    blocks = (text for text in _all(document, body, styles) if text.strip())
    for number, text in enumerate(parts_of(blocks), 1):
        yield PageRead(Page(number, text))
    return Ended("part", clean(document.core_properties.title or "").strip())


def _all(document: Any, body: Any, styles: dict[str, str]) -> Iterator[str]:
    yield from _blocks(body, styles, 0)
    for part in document.part.package.iter_parts():
        if str(part.partname) in _NOTES:
            for note in etree.fromstring(part.blob, _XML):
                # The first two notes of every file are the lines that separate notes from text.
                if f"{_W}type" not in note.attrib and (text := _text(note)):
                    yield f"[{note.get(f'{_W}id')}] {text}"


def _blocks(parent: Any, styles: dict[str, str], depth: int) -> Iterator[str]:
    """Blocks below `parent`; content controls are looked into."""
    for item in parent:
        if item.tag == f"{_W}p":
            yield _paragraph(item, styles)
            for box in item.iter(_BOX):
                if not any(above.tag == _FALLBACK for above in box.iterancestors()):
                    yield from _blocks(box, styles, depth + 1) if depth < _MAX_DEPTH else ()
        elif item.tag == f"{_W}tbl":
            yield markdown([[_text(cell) for cell in _cells(row)] for row in item.iter(f"{_W}tr")])
        elif item.tag in (f"{_W}sdt", f"{_W}sdtContent", f"{_W}ins") and depth < _MAX_DEPTH:
            yield from _blocks(item, styles, depth + 1)


def _cells(row: Any) -> Iterator[Any]:
    """The cells of a row, those in content controls too; not those of a table inside a cell."""
    for cell in row.iter(f"{_W}tc"):
        if next(cell.iterancestors(f"{_W}tr")) is row:
            yield cell


def _paragraph(item: Any, styles: dict[str, str]) -> str:
    text = _text(item).strip()
    name = styles.get(item.style or "", "")
    if not text:
        return ""
    if found := _HEADING.match(name):
        return f"{'#' * min(int(found[1]) or 1, 6)} {' '.join(text.split())}"
    if name == "Title":
        return f"# {' '.join(text.split())}"
    listed = name.startswith("List") or item.find(f"{_W}pPr/{_W}numPr") is not None
    return f"- {text}" if listed else text


def _text(item: Any) -> str:
    """Text below `item`, without what is skipped; a paragraph inside ends a line."""
    pieces: list[str] = []
    stack = list(reversed(item))
    while stack:
        found = stack.pop()
        if found.tag == f"{_W}t":
            pieces.append(found.text or "")
        elif found.tag in _BREAKS:
            pieces.append(_BREAKS[found.tag])
        elif found.tag not in _SKIPPED:
            if found.tag == f"{_W}p" and pieces:
                pieces.append("\n")
            stack.extend(reversed(found))
    return clean("".join(pieces)).strip()
