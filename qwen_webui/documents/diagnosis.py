"""What a person should know of a document before the first question, page by page.

Facts only: sentences about them are the page's.
"""

from __future__ import annotations

from dataclasses import dataclass

from qwen_webui.documents.splitter import Count
from qwen_webui.documents.values import Document, PageState, count_words


@dataclass(frozen=True)
class PageDiagnosis:
    """One page: what it holds, and what is wrong with it."""

    number: int
    title: str
    words: int
    tokens: int
    state: PageState


@dataclass(frozen=True)
class Diagnosis:
    """All pages of a document, in order."""

    pages: tuple[PageDiagnosis, ...]

    @property
    def words(self) -> int:
        """Words of all pages."""
        return sum(page.words for page in self.pages)

    @property
    def tokens(self) -> int:
        """Tokens of all pages, without the marks of a prompt."""
        return sum(page.tokens for page in self.pages)

    def in_state(self, *states: PageState) -> tuple[int, ...]:
        """Numbers of the pages in one of these states."""
        return tuple(page.number for page in self.pages if page.state in states)

    @property
    def unread(self) -> tuple[int, ...]:
        """Pages of whose content nothing, or nothing of use, is known."""
        return self.in_state("scanned", "garbled", "failed")


def diagnose(document: Document, count: Count) -> Diagnosis:
    """Takes about 0.3 ms a page: call it in a thread for a long document."""
    return Diagnosis(
        tuple(
            PageDiagnosis(
                page.number, page.title, count_words(page.text), count(page.text), page.state
            )
            for page in document.pages
        )
    )
