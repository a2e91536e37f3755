"""The dialogs of an answer about documents: a citation on its page, and the account of the reading.

Makes HTML from stored values and a document's text, every foreign word escaped.
"""

from __future__ import annotations

from collections.abc import Iterator

from qwen_webui.documents import Document
from qwen_webui.documents.folding import fold
from qwen_webui.types import AskedDocument, CallRead, Citation, Sources, Span
from qwen_webui.ui.citations import shortened, verdict
from qwen_webui.ui.markup import escape
from qwen_webui.ui.page_view import page_view
from qwen_webui.ui.reading_line import (
    COMMA,
    pages_in_all,
    pages_of,
    reading_line,
    where,
    without_text,
)
from qwen_webui.ui.reading_words import stretches
from qwen_webui.ui.texts import Texts
from qwen_webui.ui.units import count

# Letters of what is looked for, in a dialog.
QUOTED = 1_000


def citation_view(
    citation: Citation, sources: Sources, document: Document | None, page: int | None, t: Texts
) -> str:
    """The verdict, and the page with the passage marked; `document` None: deleted since. `page` is
    one that was turned to."""
    head = _said(citation, sources, t)
    asked = sources.documents[min(citation.document, len(sources.documents)) - 1]
    if document is None:
        return f"{head}{_gone(asked, t)}"
    at = page or citation.found_on or citation.page or 0
    if document.page(at) is None:
        return head
    spans = tuple(s for s in citation.spans if s.document == citation.document)
    if not all(_stands(citation.quote, document, span) for span in spans):
        head += f'<p class="qw-note">{escape(t("cite.changed"))}</p>'
        spans = ()
    return head + paged(document, at, spans, t)


def paged(document: Document, page: int, spans: tuple[Span, ...], t: Texts) -> str:
    """A page with the way to its neighbours."""
    last = document.pages[-1].number
    place = t(f"documents.{document.unit}_at", pages=page)
    total = t(f"documents.{document.unit}{'_one' if last == 1 else 's'}", count=count(last))
    label = t("cite.page_of", place=place[:1].upper() + place[1:], pages=total)
    return (
        f'<nav class="qw-pager" aria-label="{escape(t("cite.pages"))}">'
        f"{_turn(page - 1, 'before', t('cite.before'), page > 1)}"
        f'<span aria-live="polite">{escape(label)}</span>'
        f"{_turn(page + 1, 'after', t('cite.after'), page < last)}</nav>"
        f"{page_view(document, page, spans, t)}"
    )


def gone_view(asked: AskedDocument, t: Texts) -> str:
    """In place of a page of a document that is not there any more."""
    return _gone(asked, t)


def report(sources: Sources, tokens: int, t: Texts) -> str:
    """Which pages were read in which call, what was left out, and what has no text."""
    parts = [f'<p class="qw-lead">{escape(reading_line(sources, tokens, t))}</p>']
    for number, document in enumerate(sources.documents, 1):
        parts.append(_document(sources, number, document, t))
    if len(sources.calls) > 1:
        rows = "".join(_call(sources, call, t) for call in sources.calls)
        parts.append(
            f"<h3>{escape(t('reading.calls'))}</h3>"
            f'<table class="qw-calls"><tbody>{rows}</tbody></table>'
        )
    return f'<div class="qw-report">{"".join(parts)}</div>'


def _said(citation: Citation, sources: Sources, t: Texts) -> str:
    look = citation.verdict.replace("_", "-")
    words = verdict(citation, sources, t)
    said = f'<p class="qw-verdict qw-{look}">{escape(words)}</p>'
    if citation.quote:
        quote = t("cite.quote", quote=shortened(citation.quote, QUOTED))
        said += f'<blockquote class="qw-quote">{escape(quote)}</blockquote>'
    if citation.verdict == "not_found":
        pages = pages_in_all(sources.documents, t)
        said += f"<p>{escape(t('cite.nowhere', pages=pages))}</p>"
    return f'<div class="qw-said-of">{said}</div>'


def _stands(quote: str, document: Document, span: Span) -> bool:
    """Whether the text of the page is still what was quoted: OCR may have replaced it."""
    page = document.page(span.page)
    words = "" if page is None else _letters(page.text[span.start : span.end])
    return bool(words) and words in _letters(quote)


def _letters(text: str) -> str:
    return "".join(c for c in fold(text).text if c.isalnum())


def _gone(asked: AskedDocument, t: Texts) -> str:
    return f'<p class="qw-note">{escape(t("cite.gone", name=asked.name))}</p>'


def _turn(page: int, look: str, label: str, there: bool) -> str:
    off = "" if there else " disabled"
    return (
        f'<button type="button" class="qw-icon qw-icon-{look}" data-cite-page="{page}"{off} '
        f'title="{escape(label)}" aria-label="{escape(label)}"></button>'
    )


def _document(sources: Sources, number: int, document: AskedDocument, t: Texts) -> str:
    read, left = pages_of(sources.read, number), pages_of(sources.left_out, number)
    empty = without_text(sources, number)
    rows = [
        (t("reading.row_read"), read - left, "read"),
        (t("reading.row_partly"), read & left, "partly"),
        (t("reading.row_left"), left - read, "left"),
        (t("reading.row_empty"), set(empty), "empty"),
    ]
    listed = "".join(
        f'<div><dt class="qw-is-{look}">{escape(label)}</dt>'
        f"<dd>{escape(stretches(sorted(pages)))} <small>({count(len(pages))})</small></dd></div>"
        for label, pages, look in rows
        if pages
    )
    length = pages_in_all((document,), t)
    return (
        f"<section><h3>{escape(document.name)} <small>{escape(length)}</small></h3>"
        f"{_strip(document.pages, [(pages, look) for _, pages, look in rows])}"
        f'<dl class="qw-account">{listed}</dl></section>'
    )


def _strip(pages: int, kinds: list[tuple[set[int], str]]) -> str:
    """The document from its first page to its last, in the colours of the list below it."""
    looks = {page: look for numbers, look in kinds for page in numbers}
    runs = "".join(
        f'<i class="qw-is-{look}" style="flex-grow:{length}"></i>'
        for look, length in _runs([looks.get(page, "empty") for page in range(1, pages + 1)])
    )
    return f'<div class="qw-strip" aria-hidden="true">{runs}</div>'


def _runs(looks: list[str]) -> Iterator[tuple[str, int]]:
    length = 0
    for place, look in enumerate(looks):
        length += 1
        if place + 1 == len(looks) or looks[place + 1] != look:
            yield look, length
            length = 0


def _call(sources: Sources, call: CallRead, t: Texts) -> str:
    if call.inputs:
        numbers = stretches(sorted(call.inputs))
        key = "reading.step_answer" if call.step == "answer" else "reading.step_combine"
        what = t(key, calls=numbers)
    else:
        several = len(sources.documents) > 1
        what = COMMA[t.language].join(
            t("documents.some_of", name=document.name, pages=named) if several else named
            for number, document in enumerate(sources.documents, 1)
            if (pages := pages_of(call.spans, number))
            for named in (where(document, pages, t),)
        )
        what = t("reading.step_read", pages=what)
    return f"<tr><th scope=row>{call.number}</th><td>{escape(what)}</td></tr>"
