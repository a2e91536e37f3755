"""A question about a passage with page marks: the answer quotes the sentence and gives its page."""

from __future__ import annotations

import random

from demo_training import systems
from demo_training.dialogue import Dialogue
from demo_training.events import Story
from demo_training.example import Example, Language, Split
from demo_training.passage import Shape
from demo_training.passage import build as build_passage
from demo_training.reading import Reader, answered
from demo_training.skills.span import EVENTS


def build(rng: random.Random, split: Split, language: Language) -> Example:
    personas = ("general", "analyst", "analyst", "code")
    talk = Dialogue(rng, split, language, systems.draw(rng, split, language, personas))
    if rng.random() < EVENTS:
        story = Story(talk, paged=True)
        reply, row = story.question(True)
        talk.reply(reply)
        assert row is not None, "an answered question has its sentence"
        return talk.finish("quote", {"kind": "quote", "sentence": row.text, "page": row.page})
    paged = rng.random() < 0.85
    passage = build_passage(rng, split, language, Shape(paged=paged, listed=False))
    reader = Reader(talk, passage)
    reader.show()
    reader.ask_some(rng.choice((0, 0, 1, 2, 3, 4, 5)), untold=0.15)
    query = answered(rng, passage)
    talk.reply(reader.question(query, quote=not paged or rng.random() < 0.3))
    assert query.sentence is not None, "an answered question has its sentence"
    check = {"kind": "quote", "sentence": query.sentence.text, "page": query.sentence.page}
    return talk.finish("quote", check)
