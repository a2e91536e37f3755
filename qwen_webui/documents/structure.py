"""A page's text to units: headings, sentences, list items, table rows, each with its place.

Knows Markdown's marks, numbered headings, and lines that stand alone; sentence ends in Chinese and
English. Units never overlap, and between them is only white space.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

UnitKind = Literal["heading", "sentence", "row", "header"]
HEADING_CHARACTERS = 90
_STANDALONE = 60
_MANY_PAGES = 5
_MOST = 0.6
_REPEATED = 3
_PAGE_NUMBER = re.compile(
    r"(?:[-–—\s]*\d{1,5}[-–—\s]*|page \d{1,5}(?: (?:of|/) \d{1,5})?|第\s*\d{1,5}\s*页)$",
    re.IGNORECASE,
)
_MARK = re.compile(r"(#{1,6})\s+\S")
_NUMBERED = re.compile(r"(\d{1,3}(?:\.\d{1,3}){0,4})\.?[ 　\t]+[^\W\d_]")
_NAMED = re.compile(
    r"(?:chapter|section|part|appendix|article)\s+[\dA-ZIVX]+\b|第[一二三四五六七八九十百零〇\d]+[章节節篇部编編]|"
    r"[一二三四五六七八九十]{1,3}、|附录|附錄",
    re.IGNORECASE,
)
_NUMBERS = re.compile(
    r"(?:(?i:chapter|section|part|appendix|article)\s+[\dA-Z]{1,5}|\d{1,3}(?:\.\d{1,3}){0,4}|"
    r"[A-Z](?:\.\d{1,3}){1,4})[.:]?\s+|第[一二三四五六七八九十百零〇\d]+[章节節篇部编編]\s*"
)
_EDGE_DIGITS = re.compile(r"^\d{1,5}\b|\b\d{1,5}(?:\s*/\s*\d{1,5})?$")
_ENDS = "。！？!?；;.:：,，、"
_ITEM = re.compile(r"\s*(?:[-*•·●▪◦]|\d{1,3}[.)、]|[（(]\d{1,3}[)）])\s+\S")
_RULE = re.compile(r"\s*\|(?:\s*:?-+:?\s*\|)+\s*")
# An end mark with its closing quotes; a Latin full stop only before a blank and a new beginning.
_SENTENCE = re.compile(
    r"[。！？；…]+[”’」』）)\"]*|[!?]+[\"”’')\]]*(?=\s|$)|\.[\"”’')\]]*(?=\s+[^\sa-z]|\s*$)"
)
_ABBREVIATED = re.compile(
    r"(?:\b(?:mr|mrs|ms|dr|prof|st|no|fig|eq|vol|pp|vs|etc|e\.g|i\.e|cf|inc|ltd|co|jr|sr|al)|"
    r"\b[A-Z])\.$",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Unit:
    """Characters `start` to `end` of a page. `level` of a heading counts from 1 (a chapter), its
    `numbers` are (2, 1) for "2.1 Harbours"; `opens`: begins a paragraph."""

    kind: UnitKind
    start: int
    end: int
    level: int = 0
    opens: bool = False
    numbers: tuple[int, ...] = ()


@dataclass(frozen=True)
class _Line:
    start: int
    end: int
    text: str


def running_lines(pages: Sequence[str]) -> frozenset[str]:
    """Lines at the edge of most pages: the book's title, page numbers; and chapters' names that
    stand on each of their pages. They interrupt sentences."""
    if len(pages) < _MANY_PAGES:
        return frozenset()
    found = Counter(line for page in pages for line in set(_edges(page)))
    most = len(pages) * _MOST
    return frozenset(
        line
        for line, times in found.items()
        if times > most or (times >= _REPEATED and _NAMED.match(line))
    )


def only_running(page: str, hidden: frozenset[str]) -> bool:
    """Whether a page has nothing else, and more than its number: pages of a line or two, which are
    all edge, say something all the same."""
    keys = {_line_key(line.strip()) for line in page.split("\n") if line.strip()}
    return keys <= hidden and bool(keys - {"0"})


def _edges(page: str) -> list[str]:
    lines = [line.strip() for line in page.split("\n") if line.strip()]
    return [_line_key(line) for line in (*lines[:2], *lines[-2:])]


def _line_key(line: str) -> str:
    """Page numbers differ, alone or beside a title, and are the same line all the same."""
    return "0" if _PAGE_NUMBER.match(line) else _EDGE_DIGITS.sub("0", line)


def heading_keys(line: str) -> tuple[str, str]:
    """What a heading's line and its entry in the table of contents have in common: all of it, or
    all but its number, which may stand in one of the two only."""
    plain = " ".join(line.split())
    found = _NUMBERS.match(plain)
    return _compact(plain), _compact(plain[found.end() :] if found else plain)


def _compact(text: str) -> str:
    return re.sub(r"[\W_]+", "", text).casefold()


def units_of(
    text: str,
    *,
    marks: bool = True,
    hidden: frozenset[str] = frozenset(),
    known: Mapping[str, int] | None = None,
) -> list[Unit]:
    """The units of one page, in order. `marks`: "# x" is a heading and not, say, a comment;
    `hidden`: running lines, which belong to no unit; `known`: levels of this page's headings by
    their keys, when the file itself says which there are."""
    lines = [
        _Line(found.start(), found.end(), found.group())
        for found in re.finditer(r"[^\n]+", text)
        if found.group().strip()
    ]
    if hidden:
        edges = {line.start for line in (*lines[:2], *lines[-2:])}
        lines = [
            line
            for line in lines
            if line.start not in edges or _line_key(line.text.strip()) not in hidden
        ]
    units: list[Unit] = []
    held: list[_Line] = []
    for place, line in enumerate(lines):
        before = lines[place - 1] if place else None
        after = lines[place + 1] if place + 1 < len(lines) else None
        gap = before is None or text.count("\n", before.end, line.start) > 1
        closed = after is None or text.count("\n", line.end, after.start) > 1
        alone = gap and closed and after is not None
        if known is None:
            level, numbers = heading_level(line.text, alone=alone, marks=marks)
        else:
            levels = [known[key] for key in heading_keys(line.text) if key in known]
            level, numbers = (levels[0] if levels else 0), ()
        row = line.text.lstrip().startswith("|")
        if gap or level or row or _ITEM.match(line.text):
            units += _sentences(text, held)
            held = []
        if level:
            units.append(_unit("heading", line, level, numbers))
        elif row:
            units.append(_unit("row", line))
            if _RULE.fullmatch(line.text) and len(units) > 1 and units[-2].kind == "row":
                units[-2:] = [Unit("header", units[-2].start, units[-1].end, opens=True)]
        else:
            held.append(line)
    return [*units, *_sentences(text, held)]


def heading_level(line: str, *, alone: bool, marks: bool) -> tuple[int, tuple[int, ...]]:
    """Level (0: no heading) and numbers. `alone`: between empty lines, with text to follow."""
    plain = line.strip()
    if marks and (found := _MARK.match(plain)):
        return len(found[1]), ()
    if len(plain) > HEADING_CHARACTERS or plain[-1] in _ENDS:
        return 0, ()
    if found := _NUMBERED.match(plain):
        numbers = tuple(map(int, found[1].split(".")))
        return len(numbers), numbers
    if _NAMED.match(plain):
        return 1, ()
    wordy = any(char.isalpha() for char in plain)
    if alone and wordy and len(plain) <= _STANDALONE and not _ITEM.match(line) and plain[0] != "|":
        return 3, ()
    return 0, ()


def ends_sentence(text: str) -> bool:
    """Whether nothing is missing at the end."""
    return bool(re.search(r"[。！？；!?.:：][”’」』）)\"']*\s*$", text))


def _unit(kind: UnitKind, line: _Line, level: int = 0, numbers: tuple[int, ...] = ()) -> Unit:
    start = line.start + len(line.text) - len(line.text.lstrip())
    return Unit(kind, start, line.start + len(line.text.rstrip()), level, True, numbers)


def _sentences(text: str, lines: list[_Line]) -> Iterator[Unit]:
    """Sentences of a paragraph, which may go over several lines."""
    if not lines:
        return
    start, end = lines[0].start, lines[-1].end
    opens = True
    for found in _SENTENCE.finditer(text, start, end):
        piece = text[start : found.end()]
        if found.group().startswith(".") and _ABBREVIATED.search(piece):
            continue
        yield from _stripped(text, start, found.end(), opens)
        start, opens = found.end(), False
    yield from _stripped(text, start, end, opens)


def _stripped(text: str, start: int, end: int, opens: bool) -> Iterator[Unit]:
    piece = text[start:end]
    start += len(piece) - len(piece.lstrip())
    end -= len(piece) - len(piece.rstrip())
    if start < end:
        yield Unit("sentence", start, end, opens=opens)
