"""Checks every quotation of an answer against the documents: on the page it names, or elsewhere.

A quotation is verified only if it stands on the page that the answer names (or, where it names
none, anywhere). How it is shown is the front ends' business.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from qwen_webui.documents.answers import Quotation, quotations
from qwen_webui.documents.folding import Folded, fold
from qwen_webui.documents.values import WIDE, Document
from qwen_webui.types import Citation, Span, Verdict

_WIDE = re.compile(f"[{WIDE}]")
_ELLIPSIS = re.compile(r"\s*(?:\[(?:\.{3}|…+)\]|\((?:\.{3}|…+)\)|\.{3,}|…+)\s*")
_EDGES = ".,;:!?-()[]"
# Folded characters: with less, a hit may be chance.
_LEAST = 6
_LEAST_WIDE = 3
# A quotation without a page that is shorter is a word in quotation marks, not a source.
_CLAIM = 20
_CLAIM_WIDE = 8


class Checker:
    """Checks answers about some documents; what it folded once it keeps."""

    def __init__(self, documents: Sequence[Document]) -> None:
        self._documents = tuple(documents)
        self._folded: dict[tuple[int, int], Folded] = {}

    def check(self, answer: str) -> tuple[Citation, ...]:
        """The citations of an answer, in order. A quotation that is in none of 1,000 pages takes
        about a second the first time: call it in a thread."""
        return tuple(
            citation
            for quotation in quotations(answer)
            if (citation := self._checked(quotation)) is not None
        )

    def _checked(self, quotation: Quotation) -> Citation | None:
        named = self._named(quotation)
        document = quotation.document or (named[0][0] if named else 1)
        page = quotation.pages[0] if quotation.pages else None

        def citation(verdict: Verdict, spans: tuple[Span, ...] = ()) -> Citation:
            where = spans[0].document if spans else document
            on = next((s.page for s in spans if s.page in quotation.pages), page)
            place = (quotation.start, quotation.end)
            return Citation(where, on, quotation.quote, verdict, *place, spans)

        pieces = _pieces(quotation.quote)
        length = sum(map(len, pieces))
        wide = bool(_WIDE.search(quotation.quote))
        if quotation.pages and not named:
            found = self._anywhere(pieces) if length >= _LEAST else ()
            return citation("no_page", found)
        if not quotation.quote:
            return None
        if not quotation.explicit and length < (_CLAIM_WIDE if wide else _CLAIM):
            return None
        if length < (_LEAST_WIDE if wide else _LEAST):
            return citation("too_short")
        for number, on in named:
            if spans := self._on(number, on, pieces):
                return citation("verified", spans)
        if spans := self._anywhere(pieces):
            return citation("other_page" if named else "verified", spans)
        return citation("not_found")

    def _named(self, quotation: Quotation) -> list[tuple[int, int]]:
        """Existing pages that the quotation names, as (document, page)."""
        numbers = range(1, len(self._documents) + 1)
        wanted = [quotation.document] if quotation.document else list(numbers)
        return [
            (number, page)
            for page in quotation.pages
            for number in wanted
            if number in numbers and self._documents[number - 1].page(page) is not None
        ]

    def _anywhere(self, pieces: Sequence[str]) -> tuple[Span, ...]:
        for number, document in enumerate(self._documents, 1):
            for page in document.pages:
                if spans := self._on(number, page.number, pieces):
                    return spans
        return ()

    def _on(self, number: int, page: int, pieces: Sequence[str]) -> tuple[Span, ...]:
        """Where the pieces stand, in order, on the page, or on it and the next."""
        here = self._fold(number, page)
        if spans := tuple(_find(here, pieces, number, page)):
            return spans
        following = self._documents[number - 1].page(page + 1)
        if following is None or len(pieces) != 1:
            return ()
        return tuple(self._across(number, page, pieces[0]))

    def _across(self, number: int, page: int, piece: str) -> Iterator[Span]:
        """A sentence that begins at the end of `page` and ends on the next."""
        here, there = self._fold(number, page), self._fold(number, page + 1)
        tail, head = here.text[-len(piece) :], there.text[: len(piece)]
        place = (tail + head).find(piece)
        if place < 0 or place >= len(tail) or place + len(piece) <= len(tail):
            return
        start = here.places[len(here.text) - len(tail) + place]
        end = there.places[place + len(piece) - len(tail) - 1] + 1
        yield Span(page, start, len(here.source), number)
        yield Span(page + 1, 0, end, number)

    def _fold(self, number: int, page: int) -> Folded:
        key = (number, page)
        if key not in self._folded:
            found = self._documents[number - 1].page(page)
            assert found is not None, "asked for pages that exist"
            self._folded[key] = fold(found.text)
        return self._folded[key]


def _pieces(quote: str) -> list[str]:
    """What must be found, in order: the quotation between its ellipses, folded."""
    pieces = [fold(piece).text.strip(_EDGES) for piece in _ELLIPSIS.split(quote)]
    return [piece for piece in pieces if piece]


def _find(page: Folded, pieces: Sequence[str], number: int, on: int) -> Iterator[Span]:
    spans: list[Span] = []
    start = 0
    for piece in pieces:
        found = page.find(piece, start)
        if found is None:
            return
        spans.append(Span(on, *found, number))
        start = page.text.find(piece, start) + len(piece)
    yield from spans
