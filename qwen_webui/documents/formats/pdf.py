"""PDF: the text layer of each page, its headings, and what is wrong with it; read by PDFium.

No attachment, no script and no link is followed. Scanned pages are only named here; recognise.py
reads them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator, Mapping
from contextlib import closing
from itertools import islice

import pypdfium2
from pypdfium2 import raw

from qwen_webui.documents.encodings import clean
from qwen_webui.documents.quality import garbled
from qwen_webui.documents.values import Heading, Page
from qwen_webui.documents.wire import Beat, Ended, Job, Opened, PageRead
from qwen_webui.errors import DocumentError

# What a broken page raises; the other pages are read all the same.
BROKEN = (pypdfium2.PdfiumError, ValueError, AssertionError, OverflowError)
# A scanned page often has a page number or a stamp as text.
_NO_TEXT = 10
_FORM_DEPTH = 4
_OBJECTS = 20_000
_OUTLINE_DEPTH, _OUTLINE_ENTRIES, _TITLE_CHARACTERS = 6, 10_000, 300
# PDFium joins a word that was hyphenated at a line end and leaves this in it.
_HYPHENATED = str.maketrans({"\ufffe": "-\n", "\x02": "-\n"})

Outline = Mapping[int, tuple[Heading, ...]]


def read(data: bytes, job: Job) -> Generator[Opened | PageRead | Beat, None, Ended]:
    """Reports of every page. Raises DocumentError."""
    with closing(_open(data)) as document:
        total = _count(document, job)
        locked = raw.FPDF_GetSecurityHandlerRevision(document) >= 0
        yield Opened("pdf", total, locked)
        outline = _outline(document)
        for number in range(1, total + 1):
            yield PageRead(_page(document, number, outline.get(number, ())))
        return Ended("page", _title(document))


def _open(data: bytes) -> pypdfium2.PdfDocument:
    try:
        return pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        if error.err_code in (raw.FPDF_ERR_PASSWORD, raw.FPDF_ERR_SECURITY):
            raise DocumentError(
                "The PDF is encrypted and asks for a password. Save a copy without a password "
                "(print it to a PDF, for example) and upload that.",
                code="document_encrypted",
            ) from error
        raise _damaged() from error


def _count(document: pypdfium2.PdfDocument, job: Job) -> int:
    total = len(document)
    if total > job.limits.pages:
        raise DocumentError(
            f"The PDF has {total:,} pages; at most {job.limits.pages:,} are read. Split it into "
            "smaller files.",
            code="document_too_large",
        )
    if total < 1:
        raise _damaged()
    return total


def _page(document: pypdfium2.PdfDocument, number: int, headings: tuple[Heading, ...]) -> Page:
    try:
        with closing(document[number - 1]) as page:
            with closing(page.get_textpage()) as layer:
                written = layer.get_text_range().translate(_HYPHENATED)
            text = clean(written).strip("\n")
            visible = len("".join(text.split()))
            if visible >= _NO_TEXT:
                state = "garbled" if garbled(written) else "ok"
                return Page(number, text, state=state, headings=headings)  # type: ignore[arg-type]
            if _has_picture(page):
                return Page(number, text, state="scanned")
    except BROKEN:
        return Page(number, "", state="failed")
    return Page(number, text, state="ok" if visible else "empty", headings=headings)


def _has_picture(page: pypdfium2.PdfPage) -> bool:
    objects = islice(page.get_objects(max_depth=_FORM_DEPTH), _OBJECTS)
    return any(item.type == raw.FPDF_PAGEOBJ_IMAGE for item in objects)


def _outline(document: pypdfium2.PdfDocument) -> Outline:
    """The bookmarks by page. What is wrong with them costs no page."""
    found: defaultdict[int, list[Heading]] = defaultdict(list)
    try:
        for entry in islice(document.get_toc(max_depth=_OUTLINE_DEPTH), _OUTLINE_ENTRIES):
            target = entry.get_dest()
            place = target.get_index() if target is not None else None
            title = " ".join(clean(entry.get_title()).split())[:_TITLE_CHARACTERS]
            if title and place is not None:
                found[place + 1].append(Heading(entry.level + 1, title))
    except BROKEN:
        return {}
    return {number: tuple(headings) for number, headings in found.items()}


def _title(document: pypdfium2.PdfDocument) -> str:
    try:
        return clean(document.get_metadata_value("Title")).strip()
    except BROKEN:
        return ""


def _damaged() -> DocumentError:
    return DocumentError(
        "The PDF is damaged: its list of pages cannot be read. Open it with a PDF viewer, save or "
        "print it to a new PDF, and upload that."
    )
