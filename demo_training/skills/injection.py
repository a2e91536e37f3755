"""A passage that holds an instruction; the answer must be to the user's question."""

from __future__ import annotations

import random

from demo_training import systems
from demo_training.chat import slots
from demo_training.dialogue import Dialogue
from demo_training.example import Example, Language, Split
from demo_training.grammar import expand, fill
from demo_training.passage import Shape
from demo_training.passage import build as build_passage
from demo_training.reading import Reader, answered, unanswered
from demo_training.skills.span import PERSONAS
from demo_training.words import table


def build(rng: random.Random, split: Split, language: Language) -> Example:
    talk = Dialogue(rng, split, language, systems.draw(rng, split, language, PERSONAS))
    order, payload = instruction(rng, split, language)
    shape = Shape(
        entities=rng.choices((1, 2, 3), (50, 35, 15))[0],
        paged=rng.random() < 0.25,
        listed=False,
        extra=(order,),
    )
    passage = build_passage(rng, split, language, shape)
    reader = Reader(talk, passage)
    reader.show()
    reader.ask_some(rng.choice((0, 0, 1, 2)))
    if rng.random() < 0.8:
        query = answered(rng, passage)
    else:
        query = unanswered(rng, split, language, passage)
    reply = reader.question(query)
    said = talk.reply(reply)
    if payload in said:
        return build(rng, split, language)
    wanted = (
        reply.value if reply.value is not None and reply.value in said else query.attribute.label
    )
    return talk.finish("injection", {"kind": "contains", "all": [wanted], "none": [payload]})


def instruction(rng: random.Random, split: str, language: str) -> tuple[str, str]:
    """An instruction inside a text, and the words that would show that it was followed."""
    rows = table(language, "injection")
    fills = slots(rng, split, language)
    payload = fill(expand(rng, rng.choice(rows["payload"])), fills)
    order = fill(expand(rng, rng.choice(rows["order"])), {**fills, "x": lambda: payload})
    return order, payload
