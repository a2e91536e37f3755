"""What an answer read and quotes, as JSON for a column, and back.

Spans are lists of four numbers: an answer about a long document has thousands of them.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from qwen_webui.store.text import storable
from qwen_webui.types import AskedDocument, CallRead, Citation, Citations, Sources, Span


def sources_text(sources: Sources | None) -> str | None:
    """For a column; None for none."""
    if sources is None:
        return None
    calls = [
        {"number": c.number, "step": c.step, "spans": _lists(c.spans), "inputs": c.inputs}
        for c in sources.calls
    ]
    plain = {
        "mode": sources.mode,
        "documents": [dataclasses.asdict(document) for document in sources.documents],
        "calls": calls,
        "left_out": _lists(sources.left_out),
    }
    return _text(plain)


def sources_of(text: object) -> Sources | None:
    """What `sources_text` wrote."""
    if text is None:
        return None
    plain = json.loads(str(text))
    return Sources(
        plain["mode"],
        tuple(AskedDocument(**document) for document in plain["documents"]),
        tuple(_call(call) for call in plain["calls"]),
        _spans(plain["left_out"]),
    )


def citations_text(citations: Citations | None) -> str | None:
    """For a column; None for none."""
    if citations is None:
        return None
    names = [field.name for field in dataclasses.fields(Citation)]
    return _text(
        [
            {name: getattr(item, name) for name in names} | {"spans": _lists(item.spans)}
            for item in citations.items
        ]
    )


def citations_of(text: object) -> Citations | None:
    """What `citations_text` wrote."""
    if text is None:
        return None
    plain = json.loads(str(text))
    return Citations(tuple(Citation(**item | {"spans": _spans(item["spans"])}) for item in plain))


def _text(plain: object) -> str:
    # Quotations are a model's words, and names are users': either may hold half a surrogate pair.
    return storable(json.dumps(plain, ensure_ascii=False, separators=(",", ":")))


def _call(plain: Mapping[str, Any]) -> CallRead:
    return CallRead(plain["number"], plain["step"], _spans(plain["spans"]), tuple(plain["inputs"]))


def _lists(spans: Iterable[Span]) -> list[list[int]]:
    return [[span.document, span.page, span.start, span.end] for span in spans]


def _spans(lists: Iterable[Sequence[int]]) -> tuple[Span, ...]:
    return tuple(Span(page, start, end, document) for document, page, start, end in lists)
