"""The values of a document that was read: pages with text, and what is known about each.

Frozen, standard library only: they cross from the reading process. Reading, splitting and finding
are other modules' business.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from qwen_webui.types import Span

Kind = Literal["pdf", "docx", "pptx", "xlsx", "text", "markdown", "html", "csv", "json", "code"]
# What `Page.number` counts. A part is a stretch of about PART_CHARACTERS of a format that has no
# pages of its own.
Unit = Literal["page", "slide", "sheet", "part"]
# empty: neither text nor pictures; scanned: pictures and no text; garbled: its fonts give wrong
# characters; failed: it could not be read at all; recognised: text from OCR.
PageState = Literal["ok", "empty", "scanned", "garbled", "failed", "recognised"]

PART_CHARACTERS = 3_000
# Chinese, Japanese kana and Korean: each character counts as a word.
WIDE = "㐀-䶿一-鿿豈-﫿\U00020000-\U0003ffff぀-ヿ가-힯"
_WORD = re.compile(rf"[{WIDE}]|[^\W_{WIDE}]+(?:['’.,-][^\W_{WIDE}]+)*")


def count_words(text: str) -> int:
    """Words of alphabetic scripts plus Chinese, Japanese and Korean characters."""
    return sum(1 for _ in _WORD.finditer(text))


@dataclass(frozen=True)
class Heading:
    """An entry of a file's own table of contents; `level` counts from 1."""

    level: int
    title: str


@dataclass(frozen=True)
class Page:
    """One page, slide, sheet or part. `number` counts from 1; `title` is a slide's or sheet's;
    `headings` are those that the file says begin on it, not all of which need to be in its text."""

    number: int
    text: str
    title: str = ""
    state: PageState = "ok"
    headings: tuple[Heading, ...] = ()

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Page:
        """From what `dataclasses.asdict` made. Raises TypeError for anything else."""
        headings = tuple(Heading(**heading) for heading in values.get("headings", ()))
        return cls(**{**values, "headings": headings})


@dataclass(frozen=True)
class Document:
    """What was read of a file. `locked`: encrypted, but opened without a password."""

    name: str
    kind: Kind
    unit: Unit
    pages: tuple[Page, ...]
    title: str = ""
    locked: bool = False
    _places: Mapping[int, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        places = {page.number: place for place, page in enumerate(self.pages)}
        object.__setattr__(self, "_places", places)

    def page(self, number: int) -> Page | None:
        """The page of that number, if there is one."""
        place = self._places.get(number)
        return None if place is None else self.pages[place]

    def text(self, span: Span) -> str:
        """What stands there."""
        page = self.page(span.page)
        assert page is not None, "a span names a page of its document"
        return page.text[span.start : span.end]

    @property
    def to_recognise(self) -> tuple[int, ...]:
        """Pages that only OCR can read."""
        if self.kind != "pdf":
            return ()
        states = ("scanned", "garbled", "failed")
        return tuple(page.number for page in self.pages if page.state in states)


@dataclass(frozen=True)
class Limits:
    """What reading one file may cost. A file above one of them is refused with a sentence."""

    file_bytes: int = 50 * 2**20
    pages: int = 5_000
    characters: int = 10_000_000
    page_characters: int = 400_000
    memory_bytes: int = 1_536 * 2**20
    cpu_seconds: int = 240
    seconds: float = 300
    stall_seconds: float = 8
    recognise_stall_seconds: float = 90
