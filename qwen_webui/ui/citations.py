"""Citations as they stand in and under an answer: page marks with a verdict, and a list of all.

Links like `#qw-cite-3-0` (message 3, citation 0) open the passage, see assets/citations.js. In the
answer only page marks are replaced, and badges added after quotations, never inside of code; the
list has every citation, whatever the model's Markdown did to its marks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from qwen_webui.documents.answers import MARK, says_none
from qwen_webui.store import StoredMessage
from qwen_webui.types import Citation, Citations, Sources
from qwen_webui.ui import markup
from qwen_webui.ui.reading_line import reading_line
from qwen_webui.ui.reading_words import stretches
from qwen_webui.ui.texts import Texts
from qwen_webui.ui.units import count

# Letters of a quotation in the list.
SHOWN = 160
_CLOSING = "\"'”’」』»*_"
# Between a quotation and the mark that names its page.
_NEAR = 8


def above(sources: Sources, tokens: int, at: int | None, t: Texts) -> str:
    """The line that says what was read; a link to the account once the answer is stored at `at`."""
    text = markup.escape(reading_line(sources, tokens, t))
    # Passages are a choice, and the line says so; of a reading of everything it is a loss.
    partly = " qw-partly" if sources.left_out and sources.mode != "passages" else ""
    if at is None:
        return f'<div class="qw-read{partly}"><span>{text}</span></div>'
    title = markup.escape(t("reading.open"))
    return (
        f'<div class="qw-read{partly}"><a class="qw-act qw-sources" role="button" '
        f'href="#qw-sources-{at}" title="{title}"><span>{text}</span></a></div>'
    )


def answered(message: StoredMessage, at: int, t: Texts) -> str:
    """The answer's Markdown with its page marks made links, and its citations' verdicts."""
    if message.sources is None or message.citations is None:
        return markup.answer(message.content)
    put = _marks(message.content, message.sources, message.citations.items, at, t)
    return markup.answer(message.content, put)


def writing(text: str) -> str:
    """An answer that is still being written: its page marks look as they will, without a verdict,
    so that the text stays where it is when the verdicts come."""
    marks = {
        m.span(): f'<span class="qw-cite">{_inner(m[0])}</span>'
        for m in MARK.finditer(text)
        if "\n" not in m[0]
    }
    return markup.answer(text, marks)


def below(message: StoredMessage, at: int, t: Texts) -> str:
    """Every citation with its verdict; or that there is none, and what that means."""
    sources, citations = message.sources, message.citations
    if sources is None or citations is None:
        return ""
    if citations.items:
        return _listed(citations, message.content, sources, at, t)
    if says_none(message.content):
        key = "cite.none_read" if sources.left_out else "cite.none"
        return f'<div class="qw-none-said">{markup.escape(t(key))}</div>'
    return f'<div class="qw-none-said qw-nothing">{markup.escape(t("cite.nothing"))}</div>'


def verdict(citation: Citation, sources: Sources, t: Texts) -> str:
    """What is to be said of it, in words."""
    unit = sources.documents[min(citation.document, len(sources.documents)) - 1].unit

    def place(page: int | None) -> str:
        return t(f"documents.{unit}_at", pages=stretches([page or 0]))

    if citation.verdict == "verified":
        return t("cite.verified", place=place(citation.found_on))
    if citation.verdict == "other_page":
        said = t("cite.other_page", place=place(citation.found_on), named=count(citation.page or 0))
        return said
    if citation.verdict == "no_page":
        return t("cite.no_page", place=place(citation.page))
    return t("cite.too_short") if citation.verdict == "too_short" else t("cite.not_found")


def shortened(quote: str, most: int = SHOWN) -> str:
    """In one line."""
    line = " ".join(quote.split())
    return line if len(line) <= most else f"{line[:most].rstrip()}…"


def _listed(citations: Citations, text: str, sources: Sources, at: int, t: Texts) -> str:
    rows = "".join(
        f'<li class="qw-{citation.verdict.replace("_", "-")}">'
        f'<a class="qw-act qw-cited" role="button" href="#qw-cite-{at}-{number}">'
        f"{_quoted(citation, text, t)}"
        f'<span class="qw-verdict">{markup.escape(_with_name(citation, sources, t))}</span>'
        "</a></li>"
        for number, citation in enumerate(citations.items)
    )
    return f'<div class="qw-cites"><b>{markup.escape(t("cite.title"))}</b><ul>{rows}</ul></div>'


def _quoted(citation: Citation, text: str, t: Texts) -> str:
    """The quotation, or the mark that stands without one."""
    words = markup.escape(shortened(text[citation.start : citation.end]))
    if citation.quote:
        words = markup.escape(t("cite.quote", quote=shortened(citation.quote)))
    # The chat component would set formulas in it.
    for sign in ("$$", "\\(", "\\["):
        words = words.replace(sign, f"{sign[0]}<wbr>{sign[1]}")
    return f'<q class="qw-quote">{words}</q>'


def _with_name(citation: Citation, sources: Sources, t: Texts) -> str:
    said = verdict(citation, sources, t)
    if len(sources.documents) == 1 or not citation.spans:
        return said
    return t("cite.in_document", verdict=said, name=sources.documents[citation.document - 1].name)


def _marks(
    text: str, sources: Sources, citations: Sequence[Citation], at: int, t: Texts
) -> Mapping[tuple[int, int], str]:
    """What stands in the answer instead of its page marks, and after quotations without one."""
    put: dict[tuple[int, int], str] = {}
    owners = dict(_owners(text, citations))
    for found in MARK.finditer(text):
        if "\n" in found[0]:
            continue
        number = owners.pop(found.span(), None)
        inner = _inner(found[0])
        if number is None:
            put[found.span()] = _page_link(found[0], inner, sources, at, t)
        else:
            put[found.span()] = _badge(citations[number], number, inner, sources, at, t)
    marked = {number for _, number in _owners(text, citations)}
    for number, citation in enumerate(citations):
        if number in marked or not citation.quote:
            continue
        end = citation.end
        while end < len(text) and text[end] in _CLOSING:
            end += 1
        put[end, end] = _badge(citation, number, "", sources, at, t)
    return put


def _owners(text: str, citations: Sequence[Citation]) -> Iterator[tuple[tuple[int, int], int]]:
    """Page marks that belong to a citation: its own place, or next behind its quotation."""
    for number, citation in enumerate(citations):
        start = citation.start if not citation.quote else citation.end
        found = MARK.search(text, start)
        if found is not None and found.start() - start <= _NEAR:
            yield found.span(), number


def _badge(citation: Citation, number: int, inner: str, sources: Sources, at: int, t: Texts) -> str:
    said = markup.escape(verdict(citation, sources, t))
    look = citation.verdict.replace("_", "-")
    # Words of ours, which a copied answer does not have.
    words = "" if inner and citation.verified else f'<span class="qw-ours">{said}</span>'
    return (
        f'<a class="qw-act qw-cite qw-{look}" role="button" href="#qw-cite-{at}-{number}" '
        f'title="{said}">{inner}{words}</a>'
    )


def _page_link(mark: str, inner: str, sources: Sources, at: int, t: Texts) -> str:
    """A mark without a quotation: it can be looked up, and says nothing that could be checked."""
    found = MARK.fullmatch(mark)
    assert found is not None, "a mark is one"
    document = int(found["doc"] or found["文档"] or 1)
    page = int(found["page"] or found["页"])
    known = 0 < document <= len(sources.documents)
    if not known or not 0 < page <= sources.documents[document - 1].pages:
        return f'<span class="qw-cite">{inner}</span>'
    title = markup.escape(t("cite.look"))
    return (
        f'<a class="qw-act qw-cite" role="button" href="#qw-page-{at}-{document}-{page}" '
        f'title="{title}">{inner}</a>'
    )


def _inner(mark: str) -> str:
    """The mark to the letter; its brackets are there to be copied, not to be seen."""
    first, words, last = markup.escape(mark[0]), markup.escape(mark[1:-1]), markup.escape(mark[-1])
    return f'<span class="qw-bracket">{first}</span>{words}<span class="qw-bracket">{last}</span>'
