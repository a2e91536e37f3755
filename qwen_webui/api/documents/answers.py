"""Questions about documents on the wire, what was read for an answer, what its quotes are worth.

Documents are called by their ids here; numbers count them only inside the program.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from qwen_webui.api.shapes import Out
from qwen_webui.api.wire import Answering, FinishOut, Strict
from qwen_webui.chat.documents import question_language
from qwen_webui.errors import InvalidRequest
from qwen_webui.types import ChatTurn, Citation, ReadingMode, ReadingStep, Sources, Span, Verdict

Id = Annotated[str, Field(min_length=1, max_length=100)]


class Question(Strict):
    """What is asked of documents."""

    question: Annotated[str, Field(min_length=1, description="The question; not only white space")]
    documents: Annotated[list[Id], Field(max_length=19)] = Field(
        [], description="Ids of more documents to ask together with this one"
    )
    everything: bool | None = Field(
        None,
        description="What does not fit the context is read all of it, part after part (true), or "
        "only where the question's words are found (false); left out: as the question sounds",
    )
    language: Literal["en", "zh"] | None = Field(
        None, description="Which text of the persona is taken. Default: the question's language"
    )


# The last base's fields come first on the wire.
class AskBody(Answering, Question):
    """POST /api/documents/{id}/ask. A field left out, or null, means the analyst's, the persona's
    or the checkpoint's value."""

    def turn(self, request_id: str) -> ChatTurn:
        """The turn that is asked for. Raises InvalidRequest naming a field out of its range."""
        if not self.question.strip():
            raise InvalidRequest("The question is empty. Send one.", param="question")
        return ChatTurn(
            text=self.question,
            persona=self.persona,
            system=self.system,
            language=self.language or question_language(self.question),
            sampling=self.answering(),
            fit_history=False,
            request_id=request_id,
        )


class SpanOut(BaseModel):
    """Characters `start` to `end` of the text of a page."""

    document: str
    page: int
    start: int
    end: int


class PagesOut(BaseModel):
    """Pages `first` to `last`."""

    document: str
    first: int
    last: int


class AskedOut(Out):
    """One of the documents that were asked; an answer may call them doc 1, doc 2 and so on."""

    id: str
    name: str
    unit: str
    pages: int


class CallOut(BaseModel):
    """One call of the model: it reads pages (read), or the notes of the calls `inputs` (combine),
    or either and is the answer (answer)."""

    number: int
    step: ReadingStep
    pages: tuple[PagesOut, ...]
    inputs: tuple[int, ...]


class SourcesOut(BaseModel):
    """What the answer is made from, to the character. A page that is read in part stands in both
    `pages_read` and `pages_left_out`; one without text in neither. `mode`: whole (all of the text
    in one call), passages (what was found for the question), map_reduce (every part in a call of
    its own)."""

    mode: ReadingMode
    documents: tuple[AskedOut, ...]
    calls: tuple[CallOut, ...]
    pages_read: tuple[PagesOut, ...]
    pages_left_out: tuple[PagesOut, ...]
    read: tuple[SpanOut, ...]
    left_out: tuple[SpanOut, ...]

    @classmethod
    def of(cls, sources: Sources) -> SourcesOut:
        """With the ids of the documents."""
        ids = [document.id for document in sources.documents]
        return cls(
            mode=sources.mode,
            documents=tuple(AskedOut.model_validate(asked) for asked in sources.documents),
            calls=tuple(
                CallOut(
                    number=call.number,
                    step=call.step,
                    pages=_pages(call.spans, ids),
                    inputs=call.inputs,
                )
                for call in sources.calls
            ),
            pages_read=_pages(sources.read, ids),
            pages_left_out=_pages(sources.left_out, ids),
            read=_spans(_joined(sources.read), ids),
            left_out=_spans(_joined(sources.left_out), ids),
        )


class CitationOut(BaseModel):
    """A quotation of the answer, at its characters `start` to `end`. `verified`: it stands on the
    page that the answer names. `verdict` says what else: other_page (on `found_on` instead),
    not_found, no_page (there is no such page), too_short (to prove anything). `document` is null
    where the answer names one that does not exist, `page` where it names none."""

    document: str | None
    page: int | None
    quote: str
    verified: bool
    verdict: Verdict
    found_on: int | None
    start: int
    end: int
    spans: tuple[SpanOut, ...]

    @classmethod
    def of(cls, citation: Citation, ids: Sequence[str]) -> CitationOut:
        """With the id of its document, out of those that were asked."""
        known = 0 < citation.document <= len(ids)
        return cls(
            document=ids[citation.document - 1] if known else None,
            page=citation.page,
            quote=citation.quote,
            verified=citation.verified,
            verdict=citation.verdict,
            found_on=citation.found_on,
            start=citation.start,
            end=citation.end,
            spans=_spans(citation.spans, ids),
        )


class CitationsOut(BaseModel):
    """The answer's quotations in its order; none, if it was to be of a given form."""

    citations: tuple[CitationOut, ...]


class AnswerText(BaseModel):
    """What the model says."""

    answer: str


# The last base's fields come first on the wire.
class AskOut(FinishOut, SourcesOut, CitationsOut, AnswerText):
    """An answer in one piece, its citations checked, with what was read for it."""


def _spans(spans: Iterable[Span], ids: Sequence[str]) -> tuple[SpanOut, ...]:
    return tuple(
        SpanOut(document=ids[span.document - 1], page=span.page, start=span.start, end=span.end)
        for span in spans
    )


def _joined(spans: Iterable[Span]) -> list[Span]:
    """In order, and those that touch each other as one."""
    joined: list[Span] = []
    for span in sorted(spans, key=lambda span: (span.document, span.page, span.start)):
        last = joined[-1] if joined else None
        same = last is not None and (last.document, last.page) == (span.document, span.page)
        if last is not None and same and span.start <= last.end:
            joined[-1] = Span(last.page, last.start, max(last.end, span.end), last.document)
        else:
            joined.append(span)
    return joined


def _pages(spans: Iterable[Span], ids: Sequence[str]) -> tuple[PagesOut, ...]:
    """The pages of `spans`, those in a row as one."""
    numbers = sorted({(span.document, span.page) for span in spans})
    # In a row, a page's number and its place in the list grow together.
    rows = groupby(enumerate(numbers), key=lambda item: (item[1][0], item[1][1] - item[0]))
    found: list[PagesOut] = []
    for (document, _), row in rows:
        pages = [page for _, (_, page) in row]
        found.append(PagesOut(document=ids[document - 1], first=pages[0], last=pages[-1]))
    return tuple(found)
