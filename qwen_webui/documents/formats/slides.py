"""PPTX: title, texts, tables and notes of each slide. Pictures and charts are not read."""

from __future__ import annotations

import io
from collections.abc import Generator, Iterable, Iterator
from typing import Any

import pptx
from lxml import etree
from pptx.exc import PackageNotFoundError, PythonPptxError

from qwen_webui.documents.encodings import clean
from qwen_webui.documents.formats.archive import check
from qwen_webui.documents.tables import markdown
from qwen_webui.documents.values import Page
from qwen_webui.documents.wire import Ended, Job, Opened, PageRead
from qwen_webui.errors import DocumentError

_MAX_DEPTH = 20


def read(data: bytes, job: Job) -> Generator[Opened | PageRead, None, Ended]:
    """Reports of every slide. Raises DocumentError."""
    check(data)
    try:
        presentation = pptx.Presentation(io.BytesIO(data))
        slides = list(presentation.slides)
    except (
        PackageNotFoundError, PythonPptxError, KeyError, ValueError, AttributeError,
        etree.LxmlError,
    ) as error:  # fmt: skip
        raise DocumentError(
            "The presentation is damaged: its slides cannot be found. Save it again as PPTX."
        ) from error
    yield Opened("pptx", len(slides))
    for number, slide in enumerate(slides, 1):
        yield PageRead(_slide(number, slide))
    return Ended("slide", clean(presentation.core_properties.title or "").strip())


def _slide(number: int, slide: Any) -> Page:
    heading = slide.shapes.title
    title = " ".join(clean(heading.text_frame.text).split()) if heading is not None else ""
    blocks = [f"# {title}"] if title else []
    others = (s for s in slide.shapes if heading is None or s.shape_id != heading.shape_id)
    blocks += _texts(others, 0)
    if slide.has_notes_slide and slide.notes_slide.notes_text_frame is not None:
        notes = clean(slide.notes_slide.notes_text_frame.text).strip()
        blocks += [f"Notes: {notes}"] if notes else []
    text = "\n\n".join(blocks)
    return Page(number, text, title, "ok" if text else "empty")


def _texts(shapes: Iterable[Any], depth: int) -> Iterator[str]:
    for shape in shapes:
        if getattr(shape, "has_table", False):
            yield markdown([[clean(cell.text) for cell in row.cells] for row in shape.table.rows])
        elif getattr(shape, "has_text_frame", False):
            if text := clean(shape.text_frame.text).strip():
                yield text
        elif hasattr(shape, "shapes") and depth < _MAX_DEPTH:
            yield from _texts(shape.shapes, depth + 1)
