"""The best parts that fit a budget of tokens, in reading order, neighbours joined to passages.

Scores come from the index; how passages look in a prompt is prompts' business.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from qwen_webui.documents.index import Hit
from qwen_webui.documents.splitter import Part
from qwen_webui.types import Span

# A page mark, a line end and an empty line, in tokens, generously.
MARK_TOKENS = 12
# Hits that are much worse than the best one are about something else.
_WORTH = 0.3
# What is kept for the neighbours of the hits: an answer often goes on after its first sentence.
_FOR_HITS = 0.75


@dataclass(frozen=True)
class Passage:
    """A stretch of one document, one span a page. `lead` is a table's header from further up;
    `headings` stand above it."""

    document: int
    spans: tuple[Span, ...]
    lead: str = ""
    headings: tuple[str, ...] = ()


def cost(part: Part) -> int:
    """Tokens of a part in a prompt, with its page marks."""
    return part.tokens + MARK_TOKENS * len(part.spans)


def pack(hits: Sequence[Hit], parts: Sequence[Part], room: int) -> tuple[Part, ...]:
    """Parts for at most `room` tokens: the best hits first, then what stands next to them."""
    chosen: dict[tuple[int, int], Part] = {}
    left = room
    worth = [hit for hit in hits if hit.score >= _WORTH * hits[0].score]
    for place, hit in enumerate(worth):
        # The best one may take the whole room; the others leave some to the neighbours.
        least = 0 if place == 0 else room * (1 - _FOR_HITS)
        if left - cost(hit.part) >= least:
            chosen[_key(hit.part)] = hit.part
            left -= cost(hit.part)
    places = {_key(part): part for part in parts}
    for hit in worth:
        document, number = _key(hit.part)
        if (document, number) not in chosen:
            continue
        for key in ((document, number + 1), (document, number - 1)):
            part = places.get(key)
            if part is not None and key not in chosen and cost(part) <= left:
                chosen[key] = part
                left -= cost(part)
    return tuple(chosen[key] for key in sorted(chosen))


def join(parts: Iterable[Part]) -> tuple[Passage, ...]:
    """Passages of parts in reading order; parts that follow each other become one."""
    passages: list[Passage] = []
    before: Part | None = None
    for part in parts:
        if before is not None and _key(before) == (part.document, part.number - 1):
            passages[-1] = _joined(passages[-1], part)
        else:
            passages.append(Passage(part.document, part.spans, part.lead, part.headings))
        before = part
    return tuple(passages)


def rest(parts: Iterable[Part], chosen: Iterable[Part]) -> tuple[Span, ...]:
    """Where the parts stand that were not chosen."""
    taken = {_key(part) for part in chosen}
    left = join(part for part in parts if _key(part) not in taken)
    return tuple(span for passage in left for span in passage.spans)


def _joined(passage: Passage, part: Part) -> Passage:
    spans = list(passage.spans)
    for span in part.spans:
        if spans[-1].page == span.page:
            # Between two parts stands white space only.
            spans[-1] = replace(spans[-1], end=span.end)
        else:
            spans.append(span)
    return replace(passage, spans=tuple(spans))


def _key(part: Part) -> tuple[int, int]:
    return part.document, part.number
