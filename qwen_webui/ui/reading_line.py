"""How an answer came about, in one line above it: what was read of which documents, and what not.

Only makes text from values. The long account, page by page, is citation_report.py's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from qwen_webui.types import AskedDocument, Sources, Span
from qwen_webui.ui.reading_words import stretches
from qwen_webui.ui.texts import Texts
from qwen_webui.ui.units import count

COMMA = {"en": ", ", "zh": "，"}
JOINT = {"en": "; ", "zh": "；"}


def reading_line(sources: Sources, tokens: int, t: Texts) -> str:
    """`tokens`: read for the answer, 0 while that is not known."""
    named = pages_in_all(sources.documents, t)
    if not sources.answered:
        parts = sum(call.step == "read" for call in sources.calls)
        line = t("reading.ended_one" if parts == 1 else "reading.ended", parts=count(parts))
    elif sources.mode == "passages":
        line = _passages(sources, t)
    elif sources.mode == "whole":
        told = t("reading.tokens", pages=named, tokens=count(tokens)) if tokens else named
        several = len(sources.documents)
        key = "reading.whole" if several == 1 else "reading.whole_several"
        line = t(key, pages=told, documents=count(several))
    else:
        parts = sum(call.step == "read" for call in sources.calls)
        line = t("reading.each_part", pages=named, parts=count(parts))
        if sources.left_out:
            line = t("reading.each_part_of", pages=named, parts=count(parts))
    notes = [line]
    if sources.mode != "passages" and (left := _left_out(sources)):
        key = "reading.left_out_one" if left == 1 else "reading.left_out"
        notes.append(t(key, pages=count(left)))
    empty = sum(len(without_text(sources, n)) for n, _ in enumerate(sources.documents, 1))
    if empty:
        key = "reading.without_text_one" if empty == 1 else "reading.without_text"
        notes.append(t(key, pages=count(empty)))
    return JOINT[t.language].join(notes)


def pages_in_all(documents: Sequence[AskedDocument], t: Texts) -> str:
    """How long documents are together, kind by kind: "12 pages, 3 sheets"."""
    kinds = dict.fromkeys(document.unit for document in documents)
    sums = {unit: sum(d.pages for d in documents if d.unit == unit) for unit in kinds}
    return COMMA[t.language].join(
        t(f"documents.{unit}_one" if number == 1 else f"documents.{unit}s", count=count(number))
        for unit, number in sums.items()
    )


def pages_of(spans: Iterable[Span], document: int) -> set[int]:
    """The pages of one document that spans stand on."""
    return {span.page for span in spans if span.document == document}


def without_text(sources: Sources, number: int) -> list[int]:
    """Pages of a document that are neither read nor left out: nothing stands on them."""
    document = sources.documents[number - 1]
    told = pages_of(sources.read, number) | pages_of(sources.left_out, number)
    return [page for page in range(1, document.pages + 1) if page not in told]


def where(document: AskedDocument, pages: Iterable[int], t: Texts) -> str:
    """The pages by name: "pages 3, 7–9"."""
    numbers = sorted(set(pages))
    kind = "at" if len(numbers) == 1 else "list"
    return t(f"documents.{document.unit}_{kind}", pages=stretches(numbers))


def passages(sources: Sources) -> int:
    """How many passages were read: stretches with something left out between them."""
    number, before = 0, None
    for span in sources.read:
        if before is None or not _follows(before, span, sources.left_out):
            number += 1
        before = span
    return number


def _passages(sources: Sources, t: Texts) -> str:
    number = passages(sources)
    key = "reading.passages_one" if number == 1 else "reading.passages"
    documents = sources.documents
    places = [
        (document, pages)
        for place, document in enumerate(documents, 1)
        if (pages := pages_of(sources.read, place))
    ]
    if len(documents) == 1:
        named = where(*places[0], t)
    else:
        named = COMMA[t.language].join(
            t("documents.some_of", name=document.name, pages=where(document, pages, t))
            for document, pages in places
        )
    return t(key, number=count(number), pages=named)


def _follows(a: Span, b: Span, left_out: Sequence[Span]) -> bool:
    """Whether nothing that was left out stands between `a` and `b`."""
    start, end = (a.document, a.page, a.end), (b.document, b.page, b.start)
    if a.document != b.document:
        return False
    between = [
        span
        for span in left_out
        if start <= (span.document, span.page, span.start) and _end(span) <= end
    ]
    return not between and b.page - a.page <= 1


def _end(span: Span) -> tuple[int, int, int]:
    return (span.document, span.page, span.end)


def _left_out(sources: Sources) -> int:
    """Pages of which not all was read."""
    return sum(
        len(pages_of(sources.left_out, place)) for place, _ in enumerate(sources.documents, 1)
    )
