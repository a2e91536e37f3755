"""Which parts answer a question: BM25 over parts together with the headings above them.

Built once a document, in a thread; a question takes milliseconds. What is sent to a model is
packing's business.
"""

from __future__ import annotations

import functools
import importlib
import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from qwen_webui.documents.splitter import Part
from qwen_webui.documents.terms import terms

# The usual values. A part's length says little: they are all about as long.
_K1 = 1.2
_B = 0.5
# A line of a table of contents has the words of many questions and the answer to none.
_CONTENTS = re.compile(r"^.*(?:[.．·…‧]\s?){4,}\s*\d{1,5}\s*$", re.MULTILINE)


@dataclass(frozen=True)
class Hit:
    """A part and how well it fits the question; scores compare within one question only."""

    part: Part
    score: float


class Index:
    """A finished index. Immutable; safe to use from several threads."""

    def __init__(self, parts: Sequence[Part], look: Callable[[], None] = lambda: None) -> None:
        """Takes about a millisecond a part: call it in a thread. `look` is called for each part;
        what it raises ends the work."""
        self.parts = tuple(parts)
        found: list[list[str]] = []
        for part in self.parts:
            look()
            found.append(_searched(part))
        self._known = {term for part in found for term in part}
        self._ranking: Any = None
        if self._known:
            self._ranking = _library().BM25(k1=_K1, b=_B, method="lucene")
            self._ranking.index(found, show_progress=False)

    def search(self, question: str, most: int = 50) -> tuple[Hit, ...]:
        """The best parts, best first; none that shares no term with the question."""
        asked = [term for term in terms(question) if term in self._known]
        if not asked:
            return ()
        scores = self._ranking.get_scores(asked)
        order = scores.argsort(kind="stable")[::-1][:most]
        return tuple(
            Hit(self.parts[place], float(scores[place])) for place in order if scores[place] > 0
        )


@functools.cache
def _library() -> Any:
    """bm25s, when the first index is built: with numpy it takes a fifth of a second."""
    found = importlib.import_module("bm25s")
    # It sets its own level to DEBUG and tells of every step.
    logging.getLogger("bm25s").setLevel(logging.WARNING)
    return found


def _searched(part: Part) -> list[str]:
    return terms("\n".join([*part.headings, _CONTENTS.sub("", part.text)]))
