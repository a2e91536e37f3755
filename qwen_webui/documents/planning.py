"""How a question about documents is answered: whole, from passages, or part after part.

Makes a plan that says beforehand what is read in which call and what is left out. To carry it
out, call by call, is chat's business.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from qwen_webui.documents.index import Hit, Index
from qwen_webui.documents.packing import MARK_TOKENS, Passage, cost, join, pack, rest
from qwen_webui.documents.prompts import Language, ask, overhead
from qwen_webui.documents.splitter import PART_TOKENS, Count, Part, split
from qwen_webui.documents.values import Document
from qwen_webui.errors import ContextLengthExceeded, DocumentError
from qwen_webui.types import ReadingMode, ReadingStep, Span

MAX_CALLS = 100
_NOTE_TOKENS = 400
_LEAST_ROOM = 64
_LEAST_PART = 40
_WHOLE = re.compile(
    r"\b(?:summar\w*|sum (?:it |this |that )?up|overview|outline|abstract|gist|tl;?dr|key points|"
    r"main (?:points|ideas)|compar\w*|contrast|differences?|in common|"
    r"what (?:is|are) (?:this|these|the) (?:documents?|files?|texts?|papers?|books?) about)\b|"
    r"总结|總結|概括|摘要|概述|综述|大意|要点|要點|主要内容|主要內容|梳理|归纳|歸納|比较|比較|对比|對比|异同|"
    r"区别|區別|讲了什么|講了什麼",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Library:
    """Documents that are asked together, ready to be searched. The first one has number 1."""

    documents: tuple[Document, ...]
    parts: tuple[Part, ...]
    index: Index

    @classmethod
    def of(
        cls,
        documents: Sequence[Document],
        count: Count,
        context: int = 32_768,
        look: Callable[[], None] = lambda: None,
    ) -> Library:
        """Splits and indexes. Takes about 3 ms a page: call it in a thread.

        `context`: tokens of the loaded checkpoint's; a small one gets smaller parts. `look` is
        called again and again; what it raises ends the work.
        """
        tokens = max(_LEAST_PART, min(PART_TOKENS, context // 12))

        def counted(text: str) -> int:
            look()
            return count(text)

        parts = tuple(
            part
            for number, document in enumerate(documents, 1)
            for part in split(document, counted, number=number, tokens=tokens)
        )
        return cls(tuple(documents), parts, Index(parts, look))

    def document(self, number: int) -> Document | None:
        """The document of that number, if there is one."""
        return self.documents[number - 1] if 0 < number <= len(self.documents) else None


@dataclass(frozen=True)
class Call:
    """One question to the model. A read or answer has passages; a combine, and the answer of a
    map-reduce, has the notes of the calls `inputs` instead. `answer_tokens`: how long a note may
    be, None for the answer itself."""

    number: int
    step: ReadingStep
    passages: tuple[Passage, ...] = ()
    inputs: tuple[int, ...] = ()
    answer_tokens: int | None = None

    @property
    def spans(self) -> tuple[Span, ...]:
        """What is read in it."""
        return tuple(span for passage in self.passages for span in passage.spans)


@dataclass(frozen=True)
class Plan:
    """Calls in the order in which they are made; `left_out` is read in none of them."""

    mode: ReadingMode
    calls: tuple[Call, ...]
    left_out: tuple[Span, ...]

    @property
    def read(self) -> tuple[Span, ...]:
        """What is read in all calls."""
        return tuple(span for call in self.calls for span in call.spans)


def wants_everything(question: str) -> bool:
    """Whether an answer needs the whole text (a summary, a comparison) and not one place of it."""
    return bool(_WHOLE.search(question))


def make_plan(
    library: Library,
    question: str,
    room: int,
    count: Count,
    *,
    language: Language = "en",
    everything: bool | None = None,
    search: str | None = None,
    max_calls: int = MAX_CALLS,
) -> Plan:
    """`room`: tokens that the user's message may have. `everything` None: as the question sounds.
    `search`: what passages are found by, if not by the question alone.

    Raises ContextLengthExceeded when not even the question and one passage fit, and DocumentError
    when no text was read.
    """
    if not library.parts:
        raise DocumentError(
            "No text could be read of the document, so there is nothing to answer from. If its "
            "pages are scanned, have them read by OCR first.",
            code="document_without_text",
        )
    whole = _whole(library, question, room, count, language)
    if whole is not None:
        return whole
    everything = wants_everything(question) if everything is None else everything
    free = room - overhead(library.documents, question, count, language)
    if free < _LEAST_ROOM:
        raise _no_room(room, room - free + _LEAST_ROOM)
    if everything:
        largest = max(map(cost, library.parts))
        if free < largest:
            raise _no_room(room, room - free + largest)
        return _map_reduce(library, free, max_calls)
    hits = library.index.search(question if search is None else search)
    return _passages(library, hits, question, room, free, count, language)


def _whole(
    library: Library, question: str, room: int, count: Count, language: Language
) -> Plan | None:
    # Counting the prompt of a long book takes a second: not where its parts say enough.
    if sum(part.tokens for part in library.parts) > room * 1.5:
        return None
    passages = tuple(_everything(library))
    text = ask(library.documents, passages, question, language)
    if count(text) > room:
        return None
    return Plan("whole", (Call(1, "answer", passages),), ())


def _everything(library: Library) -> Iterator[Passage]:
    """Every page that has text, as it stands."""
    for number, document in enumerate(library.documents, 1):
        spans = [
            Span(page.number, 0, len(page.text), number)
            for page in document.pages
            if page.text.strip()
        ]
        if spans:
            yield Passage(number, tuple(spans))


def _passages(
    library: Library,
    hits: Sequence[Hit],
    question: str,
    room: int,
    free: int,
    count: Count,
    language: Language,
) -> Plan:
    chosen = list(pack(hits, library.parts, free))
    if not hits:
        # Nothing to go by: the beginning says at least what the documents are.
        chosen = _beginning(library.parts, free)
    order = {(hit.part.document, hit.part.number): place for place, hit in enumerate(hits)}
    # Costs are sums over pieces; the whole prompt is counted before it is promised.
    while len(chosen) > 1:
        text = ask(library.documents, join(chosen), question, language, passages_only=True)
        if count(text) <= room:
            break
        chosen.remove(
            max(chosen, key=lambda part: order.get((part.document, part.number), len(order)))
        )
    if not chosen:
        best = hits[0].part if hits else library.parts[0]
        raise _no_room(room, room - free + cost(best))
    call = Call(1, "answer", join(chosen))
    return Plan("passages", (call,), rest(library.parts, chosen))


def _beginning(parts: Sequence[Part], free: int) -> list[Part]:
    chosen: list[Part] = []
    for part in parts:
        free -= cost(part)
        if free < 0:
            break
        chosen.append(part)
    return chosen


def _map_reduce(library: Library, free: int, max_calls: int) -> Plan:
    """Every part is read once, in order; notes are combined until they fit one call."""
    note = max(min(_NOTE_TOKENS, free // 4), 1)
    fan_in = max(2, free // (note + MARK_TOKENS))
    groups = _groups(library.parts, free)
    # The calls that combine are about as many as one in `fan_in - 1` of those that read.
    most = max(1, (max_calls - 1) * (fan_in - 1) // fan_in)
    kept = groups[:most]
    calls = [
        Call(number, "read", join(group), answer_tokens=note)
        for number, group in enumerate(kept, 1)
    ]
    level = [call.number for call in calls]
    while len(level) > fan_in:
        above: list[int] = []
        for place in range(0, len(level), fan_in):
            inputs = tuple(level[place : place + fan_in])
            if len(inputs) == 1:
                above.append(inputs[0])
                continue
            calls.append(Call(len(calls) + 1, "combine", inputs=inputs, answer_tokens=note))
            above.append(len(calls))
        level = above
    calls.append(Call(len(calls) + 1, "answer", inputs=tuple(level)))
    chosen = [part for group in kept for part in group]
    return Plan("map_reduce", tuple(calls), rest(library.parts, chosen))


def _groups(parts: Sequence[Part], free: int) -> list[list[Part]]:
    groups: list[list[Part]] = []
    left = 0
    for part in parts:
        if not groups or cost(part) > left:
            groups.append([])
            left = free
        groups[-1].append(part)
        left -= cost(part)
    return groups


def _no_room(room: int, needed: int) -> ContextLengthExceeded:
    return ContextLengthExceeded(
        f"The question leaves no room for the document: it and one passage need about {needed:,} "
        f"tokens, but {max(room, 0):,} are free. Ask a shorter question, ask for a shorter answer, "
        "or start a new conversation."
    )
