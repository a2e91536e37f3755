"""The words that a question is searched for with: its own, and of what it goes on from.

"And how old is she?" has the words of no passage; the turn before it has. Only the search is
helped: the model sees the history itself.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from qwen_webui.documents.values import WIDE, count_words
from qwen_webui.types import Message

_POINTS_BACK = re.compile(
    r"\b(?:it|its|he|him|his|she|hers?|they|them|theirs?|these|those|same|former|latter|that one)\b"
    r"|[它他她其]|该|前者|后者|呢",
    re.IGNORECASE,
)
_WIDE = re.compile(f"[{WIDE}]")
# Words; Chinese characters count as one each.
_SHORT = 4
_SHORT_WIDE = 6
# Characters of the answer before: its first sentences name what it is about.
_ANSWER = 300


def search_text(question: str, history: Sequence[Message]) -> str:
    """`question`, with the question and the answer before it where it points back to them."""
    short = _SHORT_WIDE if _WIDE.search(question) else _SHORT
    if count_words(question) > short and not _POINTS_BACK.search(question):
        return question
    before = [
        next((one.content for one in reversed(history) if one.role == role), "")
        for role in ("user", "assistant")
    ]
    return "\n".join(text for text in (question, before[0], before[1][:_ANSWER]) if text)
