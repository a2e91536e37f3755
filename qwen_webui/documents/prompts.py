"""What a model is sent: document text between delimiters, under page marks, and the question.

The marks are those that the embedded checkpoint and the "document analyst" persona know: `[p. 3]`;
with several documents `[doc 2, p. 3]`. Text of a document is data: it cannot close its delimiter.
Which passages there are is planning's business.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal

from qwen_webui.documents.packing import Passage
from qwen_webui.documents.splitter import Count
from qwen_webui.documents.values import Document

Language = Literal["en", "zh"]

_WORDS: dict[Language, dict[str, str]] = {
    "en": {
        "passages": "Passages from the documents:\n\n",
        "read": "This is part {place} of {total} of a long text. Note in short sentences what in "
        "it matters for the request, each with its page mark. Note nothing that is not there.\n"
        "Request: {question}",
        "combine": "These are notes on some parts of a long text. Join them to one shorter note "
        "for the request and keep the page marks.\nRequest: {question}",
        "answer": "These are notes on all parts of a long text, in order. Answer from them alone "
        "and keep the page marks.\n{question}",
    },
    "zh": {
        "passages": "文档片段：\n\n",
        "read": "这是一篇长文的第{place}部分，共{total}部分。请用短句记下其中与要求有关的内容，"
        "每句带上页码标记。不要写文中没有的内容。\n要求：{question}",
        "combine": "这是一篇长文若干部分的笔记。请按要求合并成一份更短的笔记，并保留页码标记。\n"
        "要求：{question}",
        "answer": "这是一篇长文各部分的笔记，按顺序排列。请只根据笔记作答，并保留页码标记。\n"
        "{question}",
    },
}


def mark(page: int, document: int | None = None) -> str:
    """A page mark; with a document's number where there are several."""
    return f"[p. {page}]" if document is None else f"[doc {document}, p. {page}]"


def ask(
    documents: Sequence[Document],
    passages: Sequence[Passage],
    question: str,
    language: Language,
    *,
    passages_only: bool = False,
) -> str:
    """The user's message for one question; `passages_only` says that the text has gaps."""
    lead = _WORDS[language]["passages"] if passages_only else ""
    return f"{lead}{_bodies(documents, passages)}\n\n{question}"


def ask_part(
    documents: Sequence[Document],
    passages: Sequence[Passage],
    question: str,
    language: Language,
    *,
    place: int,
    total: int,
) -> str:
    """The message of a call that reads part `place` of `total`."""
    order = _WORDS[language]["read"].format(place=place, total=total, question="{question}")
    return f"{_bodies(documents, passages)}\n\n{order.replace('{question}', question)}"


def ask_notes(notes: Sequence[str], question: str, language: Language, *, last: bool) -> str:
    """The message of a call that combines notes, or that answers from them."""
    text = "\n\n".join(note.strip() for note in notes)
    tag = _tag("notes", [text])
    order = _WORDS[language]["answer" if last else "combine"].replace("{question}", question)
    return f"<{tag}>\n{text}\n</{tag}>\n\n{order}"


def overhead(documents: Sequence[Document], question: str, count: Count, language: Language) -> int:
    """Tokens of everything in a message but the passages, for the longest of the messages."""
    empty = [Passage(number, ()) for number in range(1, len(documents) + 1)]
    texts = (
        ask(documents, empty, question, language, passages_only=True),
        ask_part(documents, empty, question, language, place=100, total=100),
        ask_notes([""], question, language, last=True),
        ask_notes([""], question, language, last=False),
    )
    return max(map(count, texts)) + 8


def _bodies(documents: Sequence[Document], passages: Sequence[Passage]) -> str:
    texts = [
        documents[passage.document - 1].text(span) for passage in passages for span in passage.spans
    ]
    tag = _tag("document", texts)
    several = len(documents) > 1
    grouped: Mapping[int, list[Passage]] = {passage.document: [] for passage in passages}
    for passage in passages:
        grouped[passage.document].append(passage)
    bodies = []
    for number, own in grouped.items():
        name = re.sub(r'["<>\s]+', " ", documents[number - 1].name)[:120]
        start = f'{tag} number="{number}" name="{name}"' if several else tag
        document = documents[number - 1]
        text = "\n".join(_passage(document, item, number if several else None) for item in own)
        bodies.append(f"<{start}>\n{text}\n</{tag}>")
    return "\n\n".join(bodies)


def _passage(document: Document, passage: Passage, number: int | None) -> str:
    lines: list[str] = []
    for span in passage.spans:
        lines.append(mark(span.page, number))
        if span is passage.spans[0]:
            # What it is about often stands only there ("It opened in 1912.").
            lines += [f"({' > '.join(passage.headings)})"] if passage.headings else []
            lines += [passage.lead] if passage.lead else []
        lines.append(document.text(span))
    return "\n".join(lines)


def _tag(name: str, texts: Sequence[str]) -> str:
    """A tag that none of the texts can close."""
    number, tag = 1, name
    while any(f"</{tag}" in text.lower() for text in texts):
        number += 1
        tag = f"{name}-{number}"
    return tag
