"""A document to parts within a token budget, along its structure.

A part never begins or ends inside a word, starts anew at a heading, and repeats the header of a
table that was split. It knows the headings above it and where each piece stands, so that what is
quoted from it can be shown. Which parts answer a question is the index's business.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from qwen_webui.documents.structure import (
    Unit,
    ends_sentence,
    heading_keys,
    only_running,
    running_lines,
    units_of,
)
from qwen_webui.documents.values import WIDE, Document
from qwen_webui.types import Span

Count = Callable[[str], int]

PART_TOKENS = 200
_SMALL_SHARE = 0.2
_TRUSTED = 0.5
_BREAK = re.compile(r"[，；：、]\s*|\s+")
# A word is whole up to here, whatever the budget.
_WORD_CHARACTERS = 200
_WIDE = re.compile(f"[{WIDE}]")


@dataclass(frozen=True)
class Part:
    """A stretch of a document: one span a page, in order. `lead` is a table's header that stands
    further up, `headings` those above its first word; `tokens` counts all three."""

    document: int
    number: int
    spans: tuple[Span, ...]
    texts: tuple[str, ...]
    lead: str
    headings: tuple[str, ...]
    tokens: int

    @property
    def text(self) -> str:
        """As it stands in the document, after the repeated header."""
        return "\n".join([self.lead, *self.texts] if self.lead else self.texts)

    @property
    def pages(self) -> tuple[int, ...]:
        """Numbers of the pages it stands on."""
        return tuple(span.page for span in self.spans)


@dataclass
class _Piece:
    """One unit, or one that goes over a page break, on its way into a part."""

    kind: str
    spans: list[Span]
    level: int = 0
    opens: bool = False
    lead: str = ""
    tokens: int = 0
    text: str = ""


@dataclass
class _Draft:
    """The part that is being filled."""

    pieces: list[_Piece] = field(default_factory=list)
    tokens: int = 0
    headings: tuple[str, ...] = ()

    def has(self, *kinds: str) -> bool:
        return any(piece.kind in kinds for piece in self.pieces)

    def add(self, piece: _Piece) -> None:
        self.pieces.append(piece)
        self.tokens += piece.tokens


def split(
    document: Document, count: Count, *, number: int = 1, tokens: int = PART_TOKENS
) -> tuple[Part, ...]:
    """Parts of at most about `tokens` tokens (a longer word or table row is cut).

    `number` is the document's place among those that are asked together.
    """
    parts: list[Part] = []
    path: dict[int, str] = {}
    draft = _Draft()
    for piece in _sized(document, number, count, tokens):
        if draft.pieces and _full(draft, piece, tokens):
            last = _loose_heading(draft)
            parts.append(_part(document, number, len(parts), draft, count))
            draft = _Draft()
            for heading in last:
                draft.add(heading)
        if piece.kind == "heading":
            path = {level: text for level, text in path.items() if level < piece.level}
            path[piece.level] = _plain(piece.text)
        if piece.kind == "heading" or not draft.headings:
            held = all(item.kind == "heading" for item in draft.pieces)
            draft.headings = tuple(path.values()) if held else draft.headings
        if piece.kind == "row" and not draft.has("row", "header") and piece.lead:
            draft.tokens += count(piece.lead)
        draft.add(piece)
    if draft.pieces:
        parts.append(_part(document, number, len(parts), draft, count))
    return tuple(parts)


def _full(draft: _Draft, piece: _Piece, tokens: int) -> bool:
    if all(item.kind == "heading" for item in draft.pieces):
        return False
    if piece.kind == "heading":
        return draft.tokens > tokens * _SMALL_SHARE
    first = next((item for item in draft.pieces if item.kind != "heading"), piece)
    table = piece.kind in ("row", "header")
    changed = table != (first.kind in ("row", "header")) and draft.tokens > tokens // 2
    return changed or draft.tokens + piece.tokens > tokens


def _loose_heading(draft: _Draft) -> list[_Piece]:
    """Headings at the end of a full part, which belong to the next."""
    last: list[_Piece] = []
    while len(draft.pieces) > 1 and draft.pieces[-1].kind == "heading":
        last.insert(0, draft.pieces.pop())
    return last


def _part(document: Document, number: int, place: int, draft: _Draft, count: Count) -> Part:
    spans: list[Span] = []
    for piece in draft.pieces:
        for span in piece.spans:
            if spans and spans[-1].page == span.page:
                spans[-1] = replace(spans[-1], end=span.end)
            else:
                spans.append(span)
    first = next((item for item in draft.pieces if item.kind in ("row", "header")), None)
    lead = first.lead if first is not None and first.kind == "row" else ""
    texts = tuple(document.text(span) for span in spans)
    above = draft.headings
    if draft.pieces[0].kind == "heading":
        first_heading = _plain(draft.pieces[0].text)
        above = above[: above.index(first_heading)] if first_heading in above else ()
    tokens = draft.tokens + (count(" > ".join(above)) if above else 0)
    return Part(number, place, tuple(spans), texts, lead, above, tokens)


def _sized(document: Document, number: int, count: Count, tokens: int) -> Iterator[_Piece]:
    """Pieces none of which is above the budget, counted."""
    for piece in _pieces(document, number):
        piece.text = "\n".join(document.text(span) for span in piece.spans)
        piece.tokens = count(piece.text) + 1
        if piece.tokens <= tokens:
            yield piece
            continue
        for span in piece.spans:
            text = document.text(span)
            share = max(tokens // 2, 1) * len(piece.text) // piece.tokens
            for start, end in cuts(text, max(share, 1)):
                cut = replace(span, start=span.start + start, end=span.start + end)
                kind = "sentence" if piece.kind == "heading" else piece.kind
                text_of_cut = text[start:end]
                yield _Piece(kind, [cut], 0, False, piece.lead, count(text_of_cut) + 1, text_of_cut)


def cuts(text: str, size: int) -> Iterator[tuple[int, int]]:
    """Places of pieces of about `size` characters, between words as far as there are any."""
    start = 0
    while len(text) - start > size * 1.5:
        window = (text, start + (size + 1) // 2, start + size)
        found = [*_BREAK.finditer(*window)] or [*_WIDE.finditer(*window)]
        end = found[-1].end() if found else _word_end(text, start + size)
        yield start, end
        start = end
    if start < len(text):
        yield start, len(text)


def _word_end(text: str, place: int) -> int:
    """The end of the word at `place`; a word without end is cut after a while."""
    found = _BREAK.search(text, place, place + _WORD_CHARACTERS)
    return found.end() if found else min(place + _WORD_CHARACTERS, len(text))


def _pieces(document: Document, number: int) -> Iterator[_Piece]:
    """Units of all pages; a sentence that goes on after a page break is one piece, and a table
    that does keeps its header."""
    waiting: _Piece | None = None
    header = ""
    numbers: tuple[int, ...] = ()
    paged = document.unit == "page"
    hidden = running_lines([page.text for page in document.pages]) if paged else frozenset()
    marks = document.kind not in ("pdf", "code")
    told = _told(document)
    for page in document.pages:
        known = told.get(page.number, {}) if told is not None else None
        own = frozenset() if only_running(page.text, hidden) else hidden
        for unit in units_of(page.text, marks=marks, hidden=own, known=known):
            if unit.numbers and not _follows(numbers, unit.numbers):
                unit = replace(unit, kind="sentence", level=0)
            numbers = unit.numbers if unit.numbers and unit.kind == "heading" else numbers
            span = Span(page.number, unit.start, unit.end, number)
            text = page.text[unit.start : unit.end]
            if waiting is not None and _goes_on(document, waiting, unit, text, span):
                waiting.spans.append(span)
                continue
            if waiting is not None:
                yield waiting
            header = text if unit.kind == "header" else header if unit.kind == "row" else ""
            lead = header if unit.kind == "row" else ""
            waiting = _Piece(unit.kind, [span], unit.level, unit.opens, lead)
    if waiting is not None:
        yield waiting


def _told(document: Document) -> dict[int, dict[str, int]] | None:
    """Levels of headings by page and key, where the file's table of contents can be trusted: most
    of it is found again in the text."""
    found: dict[int, dict[str, int]] = {}
    entries = placed = 0
    for page in document.pages:
        following = document.page(page.number + 1)
        for heading in page.headings:
            entries += 1
            keys = set(heading_keys(heading.title))
            # A target above the first line often counts as the end of the page before.
            for there in (page, following) if following is not None else (page,):
                if any(keys & set(heading_keys(line)) for line in there.text.split("\n")):
                    found.setdefault(there.number, {}).update(dict.fromkeys(keys, heading.level))
                    placed += 1
                    break
    return found if entries and placed >= entries * _TRUSTED else None


def _follows(before: tuple[int, ...], numbers: tuple[int, ...]) -> bool:
    """Whether a heading may have these numbers: lines of tables and formulas begin with any."""
    if not before or numbers[0] == 1:
        return True
    return numbers > before and numbers[0] <= before[0] + 1


def _goes_on(document: Document, before: _Piece, unit: Unit, text: str, span: Span) -> bool:
    if before.kind != "sentence" or unit.kind != "sentence" or before.spans[-1].page == span.page:
        return False
    if len(before.spans) > 1 or ends_sentence(document.text(before.spans[-1])):
        return False
    return text[0].islower() or bool(_WIDE.match(text))


def _plain(heading: str) -> str:
    return heading.lstrip("# ").strip()
