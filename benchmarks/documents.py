"""Documents: pages a second through the reader, index and query time, recall of the passages.

    python benchmarks/documents.py [--tokenizer FOLDER] [--seeds 4] [--json FILE]

Recall@5: is the one sentence (or table row) that answers among the five best passages? Asked of
the documents of document_questions.py, beside plain BM25 (bm25s with its own settings, jieba's
words for Chinese, lower-case words for English) over chunks of a fixed number of characters, as
many as our parts have on average. The page counts of the speed tests are of generated pages of
about 2,200 characters (English) and 900 (Chinese). Needs the test extra (reportlab).
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import platform
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import bm25s
import jieba
from reportlab.lib.pagesizes import A4
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfgen.canvas import Canvas

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from document_questions import Guide, guide  # noqa: E402

from qwen_webui.documents.index import Index  # noqa: E402
from qwen_webui.documents.reader import DocumentReader  # noqa: E402
from qwen_webui.documents.splitter import Part, split  # noqa: E402
from qwen_webui.documents.values import Document, Page  # noqa: E402
from qwen_webui.tokens import ChatTokenizer  # noqa: E402

SIZES = (10, 100, 1_000)
SECTIONS = 96
BEST = 5
QUERIES = 50
LINE = {"en": 95, "zh": 45}
FONT = {"en": "Helvetica", "zh": "STSong-Light"}


@dataclass(frozen=True)
class Speed:
    """Seconds of one size; `query` is the median of QUERIES, `slowest` the worst."""

    language: str
    pages: int
    parts: int
    split_seconds: float
    index_seconds: float
    query_seconds: float
    slowest_query_seconds: float


@dataclass(frozen=True)
class Recall:
    """Share of the questions whose evidence is in one of the five best."""

    language: str
    kind: str
    questions: int
    ours: float
    fixed_chunks: float


def document_of(pages: Sequence[str]) -> Document:
    """Texts as the reader gives them: of a PDF, or of Markdown if they have its headings."""
    numbered = tuple(Page(number, text) for number, text in enumerate(pages, 1))
    if pages[0].startswith("#"):
        return Document("guide.md", "markdown", "part", numbered)
    return Document("guide.pdf", "pdf", "page", numbered)


def pages_of(language: str, wanted: int) -> list[str]:
    """So many pages of generated text."""
    pages: list[str] = []
    seed = 100
    while len(pages) < wanted:
        pages += guide(seed, language, SECTIONS, seed % 2 == 0).pages
        seed += 1
    return pages[:wanted]


def words(language: str, text: str) -> list[str]:
    """What the plain index searches for."""
    if language == "zh":
        return [word for word in jieba.lcut(text) if word.strip()]
    return re.findall(r"\w\w+", text.lower())


def fixed_chunks(made: Guide, language: str, parts: Sequence[Part]) -> Callable[[str], list[str]]:
    """The plain way: chunks of equal length, and BM25 as it comes."""
    whole = "\n\n".join(made.pages)
    size = max(1, len(whole) // len(parts))
    chunks = [whole[start : start + size] for start in range(0, len(whole), size)]
    ranking = bm25s.BM25()
    ranking.index([words(language, chunk) for chunk in chunks], show_progress=False)

    def best(question: str) -> list[str]:
        order = ranking.get_scores(words(language, question)).argsort()[::-1]
        return [chunks[place] for place in order[:BEST]]

    return best


def recall(language: str, seeds: int, count: Callable[[str], int]) -> list[Recall]:
    """Over `seeds` documents, by kind of question and in all."""
    found: dict[str, list[tuple[bool, bool]]] = {}
    for seed in range(seeds):
        made = guide(seed, language, SECTIONS, numbered=seed % 2 == 0)
        parts = split(document_of(made.pages), count)
        index = Index(parts)
        plain = fixed_chunks(made, language, parts)
        for question in made.questions:
            ours = any(
                question.evidence in hit.part.text for hit in index.search(question.text, BEST)
            )
            theirs = any(question.evidence in chunk for chunk in plain(question.text))
            for kind in (question.kind, "all"):
                found.setdefault(kind, []).append((ours, theirs))
    return [
        Recall(
            language,
            kind,
            len(rows),
            statistics.fmean(ours for ours, _ in rows),
            statistics.fmean(theirs for _, theirs in rows),
        )
        for kind, rows in found.items()
    ]


def speed(language: str, size: int, count: Callable[[str], int]) -> Speed:
    """Splitting, indexing and asking a document of `size` pages."""
    document = document_of(pages_of(language, size))
    start = time.perf_counter()
    parts = split(document, count)
    middle = time.perf_counter()
    index = Index(parts)
    end = time.perf_counter()
    asked = [question.text for question in guide(100, language, SECTIONS, True).questions]
    taken = []
    for question in asked[:QUERIES]:
        before = time.perf_counter()
        index.search(question)
        taken.append(time.perf_counter() - before)
    return Speed(
        language,
        size,
        len(parts),
        middle - start,
        end - middle,
        statistics.median(taken),
        max(taken),
    )


def pdf(language: str, pages: Sequence[str]) -> bytes:
    """Pages as a PDF, lines broken at a fixed number of characters."""
    if language == "zh":
        pdfmetrics.registerFont(UnicodeCIDFont(FONT["zh"]))
    out = io.BytesIO()
    canvas = Canvas(out, pagesize=A4)
    for page in pages:
        text = canvas.beginText(40, A4[1] - 40)
        text.setFont(FONT[language], 10)
        for line in page.split("\n"):
            width = LINE[language]
            for start in range(0, max(len(line), 1), width):
                text.textLine(line[start : start + width])
        canvas.drawText(text)
        canvas.showPage()
    canvas.save()
    return out.getvalue()


async def reading(language: str, size: int) -> float:
    """Pages a second of a PDF through the whole reader, its process's start included."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "guide.pdf")
        path.write_bytes(pdf(language, pages_of(language, size)))
        before = time.perf_counter()
        found = [item async for item in DocumentReader().read(path, "guide.pdf")]
        taken = time.perf_counter() - before
    last = found[-1]
    assert isinstance(last, Document) and len(last.pages) == size, "every page was read"
    return size / taken


def main() -> None:
    """Measure everything and print it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--tokenizer", type=Path, default=ROOT / "qwen_webui/demo/demo-fp16")
    parser.add_argument("--seeds", type=int, default=4, help="documents a language")
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    options = parser.parse_args()
    count = ChatTokenizer.load(options.tokenizer).count
    words("zh", "一")
    Index(split(document_of(["青浦"]), count))  # dictionaries are loaded once, not timed
    figures: dict[str, Any] = {"machine": platform.platform(), "python": platform.python_version()}
    for language in ("en", "zh"):
        rows = recall(language, options.seeds, count)
        for row in rows:
            print(
                f"recall@{BEST} {language} {row.kind:8} {row.questions:5} questions: ours "
                f"{row.ours:6.1%}, fixed chunks {row.fixed_chunks:6.1%}"
            )
        figures[f"recall {language}"] = [asdict(row) for row in rows]
    for language in ("en", "zh"):
        for size in SIZES:
            row = speed(language, size, count)
            rate = asyncio.run(reading(language, size))
            print(
                f"{language} {size:5} pages: read {rate:6.1f} pages/s, {row.parts:5} parts, split "
                f"{row.split_seconds:.2f} s, index {row.index_seconds:.2f} s, query "
                f"median {row.query_seconds * 1e3:.2f} ms, slowest "
                f"{row.slowest_query_seconds * 1e3:.2f} ms"
            )
            figures[f"{language} {size}"] = {**asdict(row), "pages_per_second": rate}
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
