"""A document on the wire, and what is known of its pages.

What is asked and answered is answers.py's.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import Path
from pydantic import BaseModel

from qwen_webui.api.shapes import Out
from qwen_webui.documents.diagnosis import Diagnosis

DocumentId = Annotated[
    str, Path(description="An id that POST /api/documents gave", examples=["3f9c"])
]


class DocumentOut(Out):
    """One document. `pages` is how many there are, each a `unit`; `bytes` the size of the file;
    times in seconds since 1970, UTC. One that belongs to a conversation dies with it, another one
    at `expires`."""

    id: str
    name: str
    kind: str
    unit: str
    pages: int
    bytes: int
    created: float
    expires: float | None
    conversation: str | None


class DocumentsOut(BaseModel):
    """The oldest first."""

    documents: tuple[DocumentOut, ...]


class PageDiagnosisOut(BaseModel):
    """One page. `state`: ok; empty; scanned (a picture without text); garbled (its fonts give wrong
    characters); failed (damaged); recognised (its text is from OCR). `tokens` is null while no
    checkpoint is ready, which is what counts them."""

    page: int
    words: int
    tokens: int | None
    state: str
    title: str


class DiagnosisOut(BaseModel):
    """What is known of the pages. `unread`: those of whose content nothing, or nothing of use, is
    known; `to_recognise`: those of them that OCR could read."""

    words: int
    tokens: int | None
    pages: tuple[PageDiagnosisOut, ...]
    unread: tuple[int, ...]
    to_recognise: tuple[int, ...]

    @classmethod
    def of(
        cls, diagnosis: Diagnosis, to_recognise: tuple[int, ...], *, counted: bool
    ) -> DiagnosisOut:
        """`counted` false: its tokens mean nothing."""
        return cls(
            words=diagnosis.words,
            tokens=diagnosis.tokens if counted else None,
            pages=tuple(
                PageDiagnosisOut(
                    page=page.number,
                    words=page.words,
                    tokens=page.tokens if counted else None,
                    state=page.state,
                    title=page.title,
                )
                for page in diagnosis.pages
            ),
            unread=diagnosis.unread,
            to_recognise=to_recognise,
        )


class OcrOut(Out):
    """Whether scanned pages can be read here, and the command that installs what is missing."""

    available: bool
    install: str


class DiagnosedOut(DocumentOut):
    """One document with all that is known before it is asked."""

    diagnosis: DiagnosisOut
    ocr: OcrOut


class PageOut(BaseModel):
    """The text of one page, as answers read it."""

    document: str
    page: int
    unit: str
    state: str
    title: str
    text: str
