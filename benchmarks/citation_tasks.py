"""What benchmarks/citations.py asks: documents of several pages, and a question about one of them.

Made by the generator of the embedded checkpoint's training text, of names and values that training
never saw. The same ones in every run; what is asked of a model, and how answers are judged, is the
benchmark's.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from demo_training.passage import Passage, Shape
from demo_training.passage import build as build_passage
from demo_training.questions import ask
from demo_training.reading import Query, answered, unanswered
from demo_training.skills.injection import instruction
from qwen_webui.documents import Document, Page

PAGES = (3, 12)
SPLIT = "heldout"
SEED = "citations"


@dataclass(frozen=True)
class Task:
    """One document and one question. `value` None: the document does not tell it; `payload`: what
    only an answer that obeys the document would hold."""

    kind: str
    language: str
    document: Document
    question: str
    value: str | None = None
    sentence: str = ""
    page: int = 0
    payload: str = ""


def tasks(kind: str, language: str, count: int) -> Iterator[Task]:
    """The same ones in every run."""
    for number in range(count):
        yield task(random.Random(f"{SEED} {kind} {language} {number}"), kind, language)


def task(rng: random.Random, kind: str, language: str) -> Task:
    """A document whose pages are about different things, and a question about one of them."""
    order, payload = instruction(rng, SPLIT, language) if kind == "injection" else ("", "")
    many = rng.randint(*PAGES)
    place = rng.randrange(many)
    pages: list[Passage] = []
    while len(pages) < many:
        extra = (order,) if order and len(pages) == place else ()
        new = build_passage(rng, SPLIT, language, Shape(paged=False, listed=False, extra=extra))
        if not any(_meet(new, old) for old in pages):
            pages.append(new)
    texts = tuple(Page(at, page.text) for at, page in enumerate(pages, 1))
    document = Document("document.pdf", "pdf", "page", texts)
    while True:
        told = kind != "missing"
        query = (
            answered(rng, pages[place]) if told else unanswered(rng, SPLIT, language, pages[place])
        )
        text = ask(rng, language, query.attribute, query.entity)
        if told and payload and payload in f"{query.value}{text}":
            continue
        return _task(kind, language, document, text, query, place + 1, payload)


def _task(
    kind: str,
    language: str,
    document: Document,
    text: str,
    query: Query,
    page: int,
    payload: str,
) -> Task:
    sentence = query.sentence.text if query.sentence is not None else ""
    return Task(kind, language, document, text, query.value, sentence, page, payload)


def _meet(one: Passage, other: Passage) -> bool:
    """Whether they tell of the same thing: then a question would have two answers."""
    names = [(a.name, b.name) for a in one.entities for b in other.entities]
    return any(a in b or b in a for a, b in names)
