"""A question whose answer stands in the passage; the whole answer must be exact.

Held-out passages have no page marks here: finding the page is measured by quote.py.
"""

from __future__ import annotations

import random

from demo_training import systems
from demo_training.dialogue import Dialogue
from demo_training.events import Story
from demo_training.example import Example, Language, Split
from demo_training.passage import Shape
from demo_training.passage import build as build_passage
from demo_training.reading import Reader, answered, earlier

PERSONAS = ("general", "code", "writing", "extraction", "analyst")
EVENTS = 0.15
"""The share of passages that tell what people did."""
TINY = 0.12
"""The share of passages of one to four sentences."""


def build(rng: random.Random, split: Split, language: Language) -> Example:
    talk = Dialogue(rng, split, language, systems.draw(rng, split, language, PERSONAS))
    paged = split == "train" and rng.random() < 0.12
    if rng.random() < EVENTS:
        story = Story(talk, paged=paged)
        for _ in range(earlier(rng)):
            talk.reply(story.question(rng.random() < 0.67)[0])
        said = talk.reply(story.question(True)[0])
        return talk.finish("span", {"kind": "exact", "answer": said})
    passage = build_passage(rng, split, language, draw_shape(rng, paged))
    reader = Reader(talk, passage)
    reader.show()
    reader.ask_some(earlier(rng))
    said = talk.reply(reader.question(answered(rng, passage)))
    return talk.finish("span", {"kind": "exact", "answer": said})


def draw_shape(rng: random.Random, paged: bool) -> Shape:
    """Any passage, or a tiny one."""
    if rng.random() >= TINY:
        return Shape(paged=paged)
    return Shape(entities=rng.choice((1, 1, 2)), facts=rng.choice((1, 2)), short=True, paged=paged)
