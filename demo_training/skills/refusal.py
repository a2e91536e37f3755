"""A question that the model was not made for, alone or in the middle of other talk."""

from __future__ import annotations

import random

from demo_training import systems
from demo_training.chat import NO_PASSAGE, beyond, small_talk
from demo_training.dialogue import Dialogue
from demo_training.example import Example, Language, Split
from demo_training.passage import Shape
from demo_training.passage import build as build_passage
from demo_training.persona_tasks import program
from demo_training.reading import Reader
from demo_training.skills.chat import PERSONAS


def build(rng: random.Random, split: Split, language: Language) -> Example:
    talk = Dialogue(rng, split, language, systems.draw(rng, split, language, PERSONAS, plain=0.8))
    chance = rng.random()
    after_passage = chance < 0.12
    if after_passage:
        reader = Reader(talk, build_passage(rng, split, language, Shape(facts=2, short=True)))
        reader.show()
        reader.ask_some(1)
    elif chance < 0.35:
        _, words, reply = small_talk(rng, split, language)
        talk.user(words)
        talk.reply(reply)
    kind = NO_PASSAGE if not after_passage and rng.random() < 0.12 else None
    words, reply = beyond(rng, split, language, kind)
    if talk.persona != "code" and rng.random() < 0.06:
        reply = beyond(rng, split, language, "code")[1]
        words = program(rng, split, language)[0]
    talk.user(words)
    talk.reply(reply)
    return talk.finish("refusal", {"kind": "refusal"})
