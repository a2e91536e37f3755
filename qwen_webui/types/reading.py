"""What was read of documents for one answer, and what its quotations are worth."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

# whole: all of the text in one call; passages: what was found for the question; map_reduce: every
# part in a call of its own, noted, and the notes answered from.
ReadingMode = Literal["whole", "passages", "map_reduce"]
# read: one part of the documents is read and noted; combine: notes become one; answer: the last.
ReadingStep = Literal["read", "combine", "answer"]
# verified: it stands on the page that the answer names (or somewhere, where it names none);
# other_page: on another than it says; not_found: nowhere; no_page: the answer names a page that
# does not exist; too_short: too little to prove anything.
Verdict = Literal["verified", "other_page", "not_found", "no_page", "too_short"]


@dataclass(frozen=True)
class Span:
    """Characters `start` to `end` of the text of page `page` of document `document` (both numbers
    count as their owners do: documents from 1 in the order in which they are asked)."""

    page: int
    start: int
    end: int
    document: int = 1


@dataclass(frozen=True)
class AskedDocument:
    """One of the documents of a question. `pages` is how many it has, each of kind `unit`."""

    id: str
    name: str
    unit: str
    pages: int


@dataclass(frozen=True)
class CallRead:
    """One call of the model: the `spans` it read, or the calls `inputs` whose notes it read."""

    number: int
    step: ReadingStep
    spans: tuple[Span, ...] = ()
    inputs: tuple[int, ...] = ()


@dataclass(frozen=True)
class Sources:
    """What the answer is made from: calls in their order; `left_out` is read in none of them.
    Pages without text are in neither."""

    mode: ReadingMode
    documents: tuple[AskedDocument, ...]
    calls: tuple[CallRead, ...]
    left_out: tuple[Span, ...] = ()

    @property
    def read(self) -> tuple[Span, ...]:
        """What is read in all calls."""
        return tuple(span for call in self.calls for span in call.spans)

    @property
    def answered(self) -> bool:
        """Whether the answer itself is among the calls; not if the reading ended before it."""
        return any(call.step == "answer" for call in self.calls)

    def after(self, calls: int) -> Sources:
        """The account of a reading that ended when the first `calls` calls were made: what the
        others were to read is left out."""
        missed = (span for call in self.calls[calls:] for span in call.spans)
        left_out = sorted((*self.left_out, *missed), key=_place)
        return replace(self, calls=self.calls[:calls], left_out=tuple(left_out))


@dataclass(frozen=True)
class Citation:
    """One quotation of an answer. `page` is the one the answer names; `found_on` where it stands,
    as `spans` say; `start` and `end` are its place in the answer. Documents count from 1."""

    document: int
    page: int | None
    quote: str
    verdict: Verdict
    start: int
    end: int
    spans: tuple[Span, ...] = ()

    @property
    def verified(self) -> bool:
        """Whether it stands where the answer says."""
        return self.verdict == "verified"

    @property
    def found_on(self) -> int | None:
        """The page on which it stands, if it does anywhere."""
        return self.spans[0].page if self.spans else None


@dataclass(frozen=True)
class Citations:
    """The checked quotations of a finished answer, in its order; none is a finding too."""

    items: tuple[Citation, ...]


def _place(span: Span) -> tuple[int, int, int]:
    return span.document, span.page, span.start
