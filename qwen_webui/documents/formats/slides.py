"""PPTX: title, texts, tables, charts' values and notes of each slide. Pictures are not read."""

from __future__ import annotations

import io
from collections.abc import Generator, Iterable, Iterator
from typing import Any

import pptx
from lxml import etree
from pptx.enum.shapes import MSO_SHAPE_TYPE
from pptx.exc import PackageNotFoundError, PythonPptxError

from qwen_webui.documents.encodings import clean
from qwen_webui.documents.formats.archive import check
from qwen_webui.documents.tables import markdown
from qwen_webui.documents.values import Page
from qwen_webui.documents.wire import Ended, Job, Opened, PageRead
from qwen_webui.errors import DocumentError

_MAX_DEPTH = 20
_BROKEN_CHART = (
    KeyError, ValueError, TypeError, AttributeError, NotImplementedError, PythonPptxError,
    etree.LxmlError,
)  # fmt: skip


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
    if text:
        return Page(number, text, title)
    return Page(number, "", title, "scanned" if _has_picture(slide.shapes, 0) else "empty")


def _has_picture(shapes: Iterable[Any], depth: int) -> bool:
    return any(
        shape.shape_type in (MSO_SHAPE_TYPE.PICTURE, MSO_SHAPE_TYPE.CHART)
        or (
            hasattr(shape, "shapes")
            and depth < _MAX_DEPTH
            and _has_picture(shape.shapes, depth + 1)
        )
        for shape in shapes
    )


def _texts(shapes: Iterable[Any], depth: int) -> Iterator[str]:
    for shape in shapes:
        if getattr(shape, "has_table", False):
            yield markdown([[clean(cell.text) for cell in row.cells] for row in shape.table.rows])
        elif getattr(shape, "has_chart", False):
            yield from _chart(shape)
        elif getattr(shape, "has_text_frame", False):
            if text := clean(shape.text_frame.text).strip():
                yield text
        elif hasattr(shape, "shapes") and depth < _MAX_DEPTH:
            yield from _texts(shape.shapes, depth + 1)


def _chart(shape: Any) -> Iterator[str]:
    """A chart as its title and the table that it was drawn from: a row a category."""
    try:
        chart = shape.chart
        if chart.has_title and (title := clean(chart.chart_title.text_frame.text).strip()):
            yield title
        plots = list(chart.plots)
        rows = [[str(label) for label in plot.categories] for plot in plots[:1]]
        names = [""] if rows else []
        for series in (series for plot in plots for series in plot.series):
            names.append(clean(series.name))
            rows.append(["" if value is None else f"{value:g}" for value in series.values])
    except _BROKEN_CHART:
        # A chart of a rare kind, or whose values are elsewhere, is a picture to us.
        return
    if not rows or not rows[0]:
        return
    length = max(map(len, rows), default=0)
    filled = [[*row, *[""] * (length - len(row))] for row in rows]
    if table := markdown([names, *map(list, zip(*filled, strict=True))]):
        yield table
