"""OCR of scanned PDF pages, in the reading process: pdfium renders, Tesseract reads.

Whether Tesseract is there at all is ocr.py's question, asked before in the web process.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pypdfium2

from qwen_webui.documents.encodings import clean
from qwen_webui.documents.ocr import find_tesseract
from qwen_webui.documents.sandbox import end_with_parent
from qwen_webui.documents.values import WIDE, Page
from qwen_webui.documents.wire import Ended, Job, Opened, PageRead
from qwen_webui.errors import DocumentError

# Tesseract is trained on about 300 dots an inch; PDF counts 72 points an inch.
_DOTS_PER_POINT = 300 / 72
# A page may declare any size: an A3 page at 300 dots an inch has 17 million.
_MAX_PIXELS = 18_000_000
_PAGE_SECONDS = 40
_CHINESE = "chi_sim"
_CHINESE_SHARE = 0.15
_WIDE = re.compile(f"[{WIDE}]")


def read(job: Job) -> Iterator[Opened | PageRead | Ended]:
    """Reports of the pages that `job` names. Raises DocumentError."""
    program = find_tesseract()
    if program is None:
        raise DocumentError("Tesseract, the program that reads scanned pages, is not installed.")
    try:
        document = pypdfium2.PdfDocument(Path(job.path).read_bytes())
    except pypdfium2.PdfiumError as error:
        raise DocumentError(
            "The PDF's pages cannot be drawn, so they cannot be read by OCR either. Print it to a "
            "new PDF and upload that."
        ) from error
    with closing(document):
        yield Opened("pdf", len(job.numbers))
        for number in job.numbers:
            yield PageRead(_page(document, number, program, job.languages))
    yield Ended("page", "")


def _page(document: pypdfium2.PdfDocument, number: int, program: str, languages: str) -> Page:
    try:
        picture = _rendered(document, number - 1)
    except (pypdfium2.PdfiumError, IndexError, ValueError):
        return Page(number, "", state="failed")
    text = ""
    for language in _in_turn(languages):
        found = _tesseract([program, "stdin", "stdout", "-l", language], picture)
        if found is None:
            return Page(number, "", state="failed")
        text = _joined(clean(found).strip())
        if language == _CHINESE and _is_chinese(text):
            break
    return Page(number, text, state="recognised" if text else "empty")


def _in_turn(languages: str) -> list[str]:
    """Chinese first, alone: together with another language Tesseract takes it for that one."""
    return sorted(languages.split("+"), key=lambda name: name != _CHINESE)


def _is_chinese(text: str) -> bool:
    return len(_WIDE.findall(text)) > _CHINESE_SHARE * len("".join(text.split()))


def _tesseract(command: list[str], picture: bytes) -> str | None:
    done = subprocess.run(
        command,
        input=picture,
        capture_output=True,
        timeout=_PAGE_SECONDS,
        preexec_fn=end_with_parent,
        check=False,
    )
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else None


def _rendered(document: pypdfium2.PdfDocument, place: int) -> bytes:
    """The page as a grey picture in the format PGM, which is a line of text and the bytes."""
    page = document[place]
    width, height = page.get_size()
    scale = min(_DOTS_PER_POINT, (_MAX_PIXELS / max(width * height, 1)) ** 0.5)
    with closing(page), closing(page.render(scale=scale, grayscale=True)) as bitmap:
        stride, rows = bitmap.stride, bytes(bitmap.buffer)
        picture = b"".join(
            rows[line * stride : line * stride + bitmap.width] for line in range(bitmap.height)
        )
        return b"P5 %d %d 255\n" % (bitmap.width, bitmap.height) + picture


def _joined(text: str) -> str:
    """Tesseract puts blanks between Chinese characters; people do not."""
    wide = "\u3400-\u9fff\u3000-\u303f\uff00-\uffef\u201c\u201d"
    return re.sub(rf"(?<=[{wide}]) +(?=[{wide}])", "", text)
