"""A question that the passage does not answer; half of them fit another thing in it."""

from __future__ import annotations

import random

from demo_training import systems
from demo_training.dialogue import Dialogue
from demo_training.events import Story
from demo_training.example import Example, Language, Split
from demo_training.passage import build as build_passage
from demo_training.reading import Reader, earlier, unanswered
from demo_training.skills.span import EVENTS, PERSONAS, draw_shape


def build(rng: random.Random, split: Split, language: Language) -> Example:
    talk = Dialogue(rng, split, language, systems.draw(rng, split, language, PERSONAS))
    if rng.random() < EVENTS:
        story = Story(talk, paged=rng.random() < 0.15)
        for _ in range(earlier(rng)):
            talk.reply(story.question(rng.random() < 0.67)[0])
        talk.reply(story.question(False)[0])
        return talk.finish("missing", {"kind": "missing"})
    passage = build_passage(rng, split, language, draw_shape(rng, rng.random() < 0.15))
    reader = Reader(talk, passage)
    reader.show()
    reader.ask_some(earlier(rng))
    talk.reply(reader.question(unanswered(rng, split, language, passage)))
    return talk.finish("missing", {"kind": "missing"})
