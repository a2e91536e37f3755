"""PDF: the text layer of each page, and what is wrong with it.

No outline, no attachment, no script and no link is followed. Scanned pages are only named here;
recognise.py reads them.
"""

from __future__ import annotations

import io
import re
from collections.abc import Generator, Mapping
from typing import Any

from pypdf import PageObject, PdfReader
from pypdf.errors import DependencyError, FileNotDecryptedError, PyPdfError

from qwen_webui.documents.encodings import clean
from qwen_webui.documents.quality import garbled
from qwen_webui.documents.values import Page
from qwen_webui.documents.wire import Beat, Ended, Job, Opened, PageRead
from qwen_webui.errors import DocumentError

# What pypdf raises out of a broken page; the other pages are read all the same.
BROKEN = (
    PyPdfError, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError,
    AssertionError, OverflowError, ZeroDivisionError, NotImplementedError, OSError, LookupError,
)  # fmt: skip
# A scanned page often has a page number or a stamp as text.
_NO_TEXT = 10
_FORM_DEPTH = 3
# A picture inside the content itself.
_INLINE = re.compile(rb"\bBI\s.*?\sID\s", re.DOTALL)


def read(data: bytes, job: Job) -> Generator[Opened | PageRead | Beat, None, Ended]:
    """Reports of every page. Raises DocumentError."""
    reader, locked = _open(data)
    total = _count(reader, job)
    yield Opened("pdf", total, locked)
    for number in range(1, total + 1):
        yield PageRead(_page(reader, number))
    return Ended("page", _title(reader))


def _open(data: bytes) -> tuple[PdfReader, bool]:
    try:
        reader = PdfReader(io.BytesIO(data), strict=False)
        locked = reader.is_encrypted
        if locked and not reader.decrypt(""):
            raise FileNotDecryptedError
    except (FileNotDecryptedError, DependencyError, NotImplementedError) as error:
        raise DocumentError(
            "The PDF is encrypted and asks for a password. Save a copy without a password (print "
            "it to a PDF, for example) and upload that.",
            code="document_encrypted",
        ) from error
    except BROKEN as error:
        raise _damaged() from error
    return reader, locked


def _count(reader: PdfReader, job: Job) -> int:
    try:
        # The declared count first: to visit a million pages takes minutes.
        tree: Any = reader.root_object["/Pages"]
        declared = int(tree["/Count"])
        total = declared if declared > job.limits.pages else len(reader.pages)
    except BROKEN as error:
        raise _damaged() from error
    if total > job.limits.pages:
        raise DocumentError(
            f"The PDF has {total:,} pages; at most {job.limits.pages:,} are read. Split it into "
            "smaller files.",
            code="document_too_large",
        )
    if total < 1:
        raise _damaged()
    return total


def _page(reader: PdfReader, number: int) -> Page:
    try:
        page = reader.pages[number - 1]
        raw = page.extract_text()
    except BROKEN:
        return Page(number, "", state="failed")
    text = clean(raw).strip("\n")
    visible = len("".join(text.split()))
    if visible >= _NO_TEXT:
        return Page(number, text, state="garbled" if garbled(raw) else "ok")
    try:
        if _picture_in(page.get("/Resources"), _FORM_DEPTH) or _INLINE.search(_content(page)):
            return Page(number, text, state="scanned")
    except BROKEN:
        return Page(number, text, state="failed")
    return Page(number, text, state="ok" if visible else "empty")


def _content(page: PageObject) -> bytes:
    found = page.get_contents()
    return found.get_data() if found is not None else b""


def _picture_in(resources: object, depth: int) -> bool:
    resources = resources.get_object() if hasattr(resources, "get_object") else resources
    if not isinstance(resources, Mapping) or "/XObject" not in resources:
        return False
    for item in resources["/XObject"].get_object().values():
        found = item.get_object()
        if found.get("/Subtype") == "/Image":
            return True
        if depth and _picture_in(found.get("/Resources"), depth - 1):
            return True
    return False


def _title(reader: PdfReader) -> str:
    try:
        found = reader.metadata.title if reader.metadata else None
    except BROKEN:
        return ""
    return clean(str(found or "")).strip()


def _damaged() -> DocumentError:
    return DocumentError(
        "The PDF is damaged: its list of pages cannot be read. Open it with a PDF viewer, save or "
        "print it to a new PDF, and upload that."
    )
