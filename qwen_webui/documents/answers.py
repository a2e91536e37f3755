"""Finds the quotations in an answer, and the pages that it names for them.

Knows quotation marks of English and Chinese, `Source:` and `出处:` lines, and page marks such as
[p. 3], [doc 2, p. 3], (page 3) and [第3页]. Whether they are true is citations' business.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

MARK = re.compile(
    r"[\[(（【]\s*(?:doc(?:ument)?\.?\s*(?P<doc>\d{1,4})\s*[,，;:]?\s*|"
    r"文档\s*(?P<文档>\d{1,4})\s*[,，]?\s*)?"
    r"(?:(?:pp?\.?|pages?)\s*(?P<page>\d{1,6})(?:\s*[-–—,，]\s*(?P<to>\d{1,6}))?|"
    r"第\s*(?P<页>\d{1,6})\s*(?:[-–—至到]\s*(?P<至>\d{1,6})\s*)?[页頁])\s*[\])）】]",
    re.IGNORECASE,
)
_LOOSE = re.compile(r"\bpage\s+(\d{1,6})|第\s*(\d{1,6})\s*[页頁]", re.IGNORECASE)
_SOURCE = re.compile(
    r"^[ \t>*\-]*(?:sources?|quotes?|citations?|出处|出處|来源|來源|引用|引文)"
    r"[ \t*]*[:：][ \t*]*(?P<rest>.*)$",
    re.IGNORECASE | re.MULTILINE,
)
_NONE = re.compile(r"(?:none|n/?a|无|無|没有|沒有)[\s.。]*", re.IGNORECASE)
# Chinese ones may hold others of their kind.
_QUOTED = re.compile(
    r"“((?:[^“”]|“[^“”]{0,500}”){2,2000})”|「((?:[^「」]|「[^「」]{0,500}」){2,2000})」|"
    r"『([^『』]{2,2000})』|«([^«»]{2,2000})»|\"([^\"\n]{2,2000})\""
)
_OUTER = '“”"「」『』«» \t*_,;，；、'
# Between a quotation and its mark there may be an end mark, not another sentence.
_GAP = re.compile(r"[\s.,;:，。；：、)）*_]{0,6}(?:\s*(?:on|see|from|见|見)\s*)?")
_JOINT = re.compile(r"[\s,;，；、]*(?:and|or|和|及|与|與|、)?[\s]*")
_BEFORE = 60


@dataclass(frozen=True)
class Quotation:
    """`quote` at `start` to `end` of the answer; the pages named for it, none if none are.
    `document` None: not named. `explicit`: of a source line, or with a mark."""

    quote: str
    start: int
    end: int
    pages: tuple[int, ...] = ()
    document: int | None = None
    explicit: bool = False


def quotations(answer: str) -> tuple[Quotation, ...]:
    """All quotations in order, and page marks that belong to none (their quote is empty)."""
    found: list[Quotation] = []
    lines = [match for match in _SOURCE.finditer(answer)]
    start = 0
    for line in lines:
        found += _running(answer, start, line.start())
        found += _source_line(answer, line.start("rest"), line.end("rest"))
        start = line.end()
    found += _running(answer, start, len(answer))
    return tuple(found)


def says_none(answer: str) -> bool:
    """Whether the answer itself says that the document does not contain it ("Source: none")."""
    return any(_NONE.fullmatch(line["rest"]) for line in _SOURCE.finditer(answer))


def _source_line(answer: str, start: int, end: int) -> Iterator[Quotation]:
    if _NONE.fullmatch(answer, start, end):
        return
    at = start
    for mark in [*MARK.finditer(answer, start, end), None]:
        stop = mark.start() if mark is not None else end
        quotes = list(_segment(answer, at, stop))
        pages, document = _named(mark) if mark is not None else ((), None)
        for first, last in quotes:
            yield Quotation(answer[first:last], first, last, pages, document, True)
        if mark is None:
            return
        if not quotes and at == start:
            yield Quotation("", mark.start(), mark.end(), pages, document, True)
        at = mark.end()


def _segment(answer: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The quotations of a stretch of a source line: quoted pieces, or all of it."""
    pieces = list(_QUOTED.finditer(answer, start, end))
    between = answer[start:end]
    for piece in pieces:
        between = between.replace(piece.group(), "")
    if len(pieces) > 1 and len(between.strip(_OUTER + ".。andAND和及")) == 0:
        for piece in pieces:
            yield _inside(piece)
        return
    # One quotation, perhaps with quotation marks inside: without the outer ones.
    while start < end and answer[start] in _OUTER + ".。)）":
        start += 1
    while end > start and answer[end - 1] in _OUTER:
        end -= 1
    if start < end:
        yield start, end


def _running(answer: str, start: int, end: int) -> Iterator[Quotation]:
    """Quotations within running text. Marks that follow no quotation stand for themselves."""
    pieces = list(_QUOTED.finditer(answer, start, end))
    marks = list(MARK.finditer(answer, start, end))
    used: set[int] = set()
    later: Quotation | None = None
    rows: list[Quotation] = []
    for place in reversed(range(len(pieces))):
        piece = pieces[place]
        first, last = _inside(piece)
        mark = next((m for m in marks if m.start() >= piece.end()), None)
        pages: tuple[int, ...] = ()
        document: int | None = None
        if mark is not None and _GAP.fullmatch(answer, piece.end(), mark.start()):
            pages, document = _named(mark)
            used.add(mark.start())
        elif later is not None and _JOINT.fullmatch(answer, piece.end(), later.start - 1):
            pages, document = later.pages, later.document
        else:
            pages = _before(answer, max(start, pieces[place - 1].end() if place else start), piece)
        later = Quotation(answer[first:last], first, last, pages, document, bool(pages))
        rows.append(later)
    alone = [
        Quotation("", mark.start(), mark.end(), *_named(mark), True)
        for mark in marks
        if mark.start() not in used
    ]
    yield from sorted([*rows, *alone], key=lambda item: item.start)


def _before(answer: str, start: int, piece: re.Match[str]) -> tuple[int, ...]:
    """The page that the words before a quotation name: `On page 3 it says "..."`."""
    line = answer.rfind("\n", start, piece.start()) + 1
    found = list(_LOOSE.finditer(answer, max(start, line, piece.start() - _BEFORE), piece.start()))
    return (int(found[-1][1] or found[-1][2]),) if found else ()


def _inside(piece: re.Match[str]) -> tuple[int, int]:
    group = piece.lastindex or 0
    return piece.start(group), piece.end(group)


def _named(mark: re.Match[str]) -> tuple[tuple[int, ...], int | None]:
    document = mark["doc"] or mark["文档"]
    first, last = int(mark["page"] or mark["页"]), mark["to"] or mark["至"]
    pages: tuple[int, ...] = (first, int(last)) if last else (first,)
    if last and 0 < int(last) - first <= 20:
        pages = tuple(range(first, int(last) + 1))
    return pages, int(document) if document else None
