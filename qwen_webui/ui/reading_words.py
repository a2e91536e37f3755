"""How documents were read for an answer, in a few sentences: what of them, and what was left out.

Only makes text from values; whoever shows it escapes it. The page-by-page account is longer and
elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from qwen_webui.types import AskedDocument, Sources, Span
from qwen_webui.ui.texts import Texts
from qwen_webui.ui.units import count

# Of a document whose pages are read here and there: so many stretches are named.
MOST_STRETCHES = 12


def account(sources: Sources, t: Texts) -> list[str]:
    """How it was read, and what was not."""
    how = t(f"documents.read_{sources.mode}", calls=count(len(sources.calls)))
    read = _named(sources.documents, sources.read, t)
    left_out = _named(sources.documents, sources.left_out, t)
    rest = t("documents.left_out_some", pages=left_out) if left_out else ""
    mark = "：" if t.language == "zh" else ": "
    return [f"{how}{mark}{read}" if read else how, rest or t("documents.left_out_none")]


def _named(documents: Sequence[AskedDocument], spans: Sequence[Span], t: Texts) -> str:
    """The pages of the spans, document by document."""
    said = []
    for number, document in enumerate(documents, 1):
        pages = sorted({span.page for span in spans if span.document == number})
        if pages:
            kind = "at" if len(pages) == 1 else "list"
            where = t(f"documents.{document.unit}_{kind}", pages=stretches(pages))
            said.append(t("documents.some_of", name=document.name, pages=where))
    return ("、" if t.language == "zh" else ", ").join(said)


def stretches(pages: Sequence[int]) -> str:
    """Numbers in order, as "3, 7–9"."""
    runs = list(_runs(pages))
    said = [str(a) if a == b else f"{a}–{b}" for a, b in runs[:MOST_STRETCHES]]
    return ", ".join(said) + (", …" if len(runs) > MOST_STRETCHES else "")


def _runs(pages: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Numbers that follow on each other, as first and last."""
    first = last = 0
    for page in pages:
        if first and page == last + 1:
            last = page
            continue
        if first:
            yield first, last
        first = last = page
    if first:
        yield first, last
