"""Files of every kind, made on the spot: what the tests read, and what they expect in it."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence

import docx
import openpyxl
import pptx
from PIL import Image, ImageDraw, ImageFont
from pptx.chart.data import CategoryChartData
from pptx.enum.chart import XL_CHART_TYPE
from pptx.util import Inches
from reportlab.lib.pagesizes import A4
from reportlab.lib.utils import ImageReader
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfgen.canvas import Canvas

from qwen_webui.documents.values import Document, Page

CHINESE_FONT = "STSong-Light"
WIDTH, HEIGHT = A4


def count(text: str) -> int:
    """A token a word, mark or wide character, much as real tokenizers count."""
    return len(re.findall(r"[^\W_]+|[^\w\s]", text)) + len(re.findall(r"[一-鿿]", text))


def book(*pages: str) -> Document:
    """A document as the reader gives it, of one string a page."""
    numbered = tuple(Page(number, text) for number, text in enumerate(pages, 1))
    return Document("book.pdf", "docx", "part", numbered)


def pdf(
    pages: Sequence[str],
    *,
    font: str = "Helvetica",
    title: str = "",
    outline: Sequence[tuple[int, int, str]] = (),
) -> bytes:
    """A PDF with one string a page; lines as they are. `outline`: page, level from 0, title."""
    out = io.BytesIO()
    canvas = Canvas(out, pagesize=A4)
    if title:
        canvas.setTitle(title)
    if font == CHINESE_FONT:
        pdfmetrics.registerFont(UnicodeCIDFont(CHINESE_FONT))
    for number, page in enumerate(pages, 1):
        write(canvas, page.split("\n"), 72, font)
        for place, (on, level, entry) in enumerate(outline):
            if on == number:
                canvas.bookmarkPage(str(place))
                canvas.addOutlineEntry(entry, str(place), level)
        canvas.showPage()
    canvas.save()
    return out.getvalue()


def write(canvas: Canvas, lines: Sequence[str], left: float, font: str = "Helvetica") -> None:
    """Lines from the top of the page, at `left` points."""
    text = canvas.beginText(left, HEIGHT - 72)
    text.setFont(font, 11)
    for line in lines:
        text.textLine(line)
    canvas.drawText(text)


def placed_words(words: Sequence[str]) -> bytes:
    """A line of words without blanks, each put in its place, as TeX does."""
    out = io.BytesIO()
    canvas = Canvas(out, pagesize=A4)
    left = 72.0
    for word in words:
        canvas.drawString(left, HEIGHT - 72, word)
        left += canvas.stringWidth(word) + 2.6
    canvas.showPage()
    canvas.save()
    return out.getvalue()


def chart_and_picture(
    categories: Sequence[str], values: Sequence[tuple[str, Sequence[float | None]]]
) -> bytes:
    """Two slides: one has nothing but a chart, the other nothing but a picture."""
    made = pptx.Presentation()
    data = CategoryChartData()
    data.categories = categories
    for name, numbers in values:
        data.add_series(name, numbers)
    size = (Inches(1), Inches(1), Inches(6), Inches(4))
    blank = made.slide_layouts[6]
    made.slides.add_slide(blank).shapes.add_chart(XL_CHART_TYPE.LINE, *size, data)
    drawn = io.BytesIO()
    picture(["A scanned line"]).save(drawn, "PNG")
    drawn.seek(0)
    made.slides.add_slide(blank).shapes.add_picture(drawn, Inches(1), Inches(1))
    out = io.BytesIO()
    made.save(out)
    return out.getvalue()


def two_columns(left: Sequence[str], right: Sequence[str]) -> bytes:
    """A page with two columns."""
    out = io.BytesIO()
    canvas = Canvas(out, pagesize=A4)
    write(canvas, left, 60)
    write(canvas, right, WIDTH / 2 + 20)
    canvas.showPage()
    canvas.save()
    return out.getvalue()


def picture(lines: Sequence[str], font_path: str | None = None) -> Image.Image:
    """Black text on a white page at 200 dots an inch, as a scanner gives it."""
    image = Image.new("L", (1654, 2339), 255)
    draw = ImageDraw.Draw(image)
    font = ImageFont.truetype(font_path, 44) if font_path else ImageFont.load_default(44)
    for number, line in enumerate(lines):
        draw.text((160, 200 + 90 * number), line, fill=0, font=font)
    return image


def scanned(lines: Sequence[str], before: str = "", font_path: str | None = None) -> bytes:
    """A PDF whose last page is a picture; with `before`, a page of text precedes it."""
    out = io.BytesIO()
    canvas = Canvas(out, pagesize=A4)
    if before:
        write(canvas, before.split("\n"), 72)
        canvas.showPage()
    canvas.drawImage(ImageReader(picture(lines, font_path)), 0, 0, WIDTH, HEIGHT)
    canvas.showPage()
    canvas.save()
    return out.getvalue()


def word(blocks: Sequence[tuple[str, str] | list[list[str]]]) -> bytes:
    """A DOCX of (style, text) paragraphs and tables."""
    document = docx.Document()
    for block in blocks:
        if isinstance(block, tuple):
            document.add_paragraph(block[1], style=block[0] or None)
            continue
        table = document.add_table(rows=len(block), cols=len(block[0]))
        for row, cells in zip(table.rows, block, strict=True):
            for cell, text in zip(row.cells, cells, strict=True):
                cell.text = text
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def slides(pages: Sequence[tuple[str, str, str]]) -> bytes:
    """A PPTX of (title, text, notes)."""
    presentation = pptx.Presentation()
    for title, text, notes in pages:
        slide = presentation.slides.add_slide(presentation.slide_layouts[1])
        slide.shapes.title.text = title
        slide.placeholders[1].text = text
        if notes:
            slide.notes_slide.notes_text_frame.text = notes
    out = io.BytesIO()
    presentation.save(out)
    return out.getvalue()


def workbook(sheets: dict[str, Sequence[Sequence[object]]]) -> bytes:
    """An XLSX."""
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(list(row))
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()
