"""One page of a document as text, with the passages that are meant marked: for dialogs.

Only makes HTML from a document's own words, every one escaped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from qwen_webui.documents import Document, Page
from qwen_webui.types import Span
from qwen_webui.ui.markup import escape
from qwen_webui.ui.texts import Texts


def page_view(document: Document, page: int, spans: Sequence[Span], t: Texts) -> str:
    """The text of page `page`, which must be there; the parts of it that `spans` name are marked,
    the first one so that a script can bring it into view. Spans of other pages are passed over."""
    found = document.page(page)
    assert found is not None, "whoever shows a page has looked whether it is there"
    title = f" · {found.title}" if found.title else ""
    where = t("documents.page_of", name=document.name, unit=t(f"documents.{document.unit}"))
    text = _marked(found, spans) if found.text.strip() else ""
    inner = (
        f'<div class="qw-page-text" tabindex="0" role="region" '
        f'aria-label="{escape(t("documents.text"))}">{text}</div>'
        if text
        else f'<p class="qw-quiet">{escape(t(f"documents.state_{found.state}"))}</p>'
    )
    head = escape(f"{where} {page:,}{title}")
    return f'<div class="qw-page-view"><p class="qw-page-of">{head}</p>{inner}</div>'


def _marked(page: Page, spans: Sequence[Span]) -> str:
    parts: list[str] = []
    place = 0
    for start, end in _merged(page, spans):
        first = " data-first" if not any("<mark" in part for part in parts) else ""
        parts += [
            escape(page.text[place:start]),
            f"<mark{first}>{escape(page.text[start:end])}</mark>",
        ]
        place = end
    return "".join([*parts, escape(page.text[place:])])


def _merged(page: Page, spans: Sequence[Span]) -> Iterator[tuple[int, int]]:
    """The spans of this page in order, those that touch joined, none beyond its text."""
    length, last = len(page.text), (0, 0)
    for span in sorted((s for s in spans if s.page == page.number), key=lambda s: (s.start, s.end)):
        start, end = max(0, span.start), min(span.end, length)
        if start >= end:
            continue
        if last[1] and start <= last[1]:
            last = (last[0], max(last[1], end))
            continue
        if last[1]:
            yield last
        last = (start, end)
    if last[1]:
        yield last
