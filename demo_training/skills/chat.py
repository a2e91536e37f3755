"""Small talk: greetings, thanks, questions about what the model can do."""

from __future__ import annotations

import random

from demo_training import systems
from demo_training.chat import beyond, small_talk
from demo_training.dialogue import Dialogue
from demo_training.example import Example, Language, Split

PERSONAS = ("general", "code", "writing", "extraction", "analyst")


def build(rng: random.Random, split: Split, language: Language) -> Example:
    talk = Dialogue(rng, split, language, systems.draw(rng, split, language, PERSONAS, plain=0.8))
    for _ in range(rng.choice((0, 0, 1, 2))):
        if rng.random() < 0.3:
            words, reply = beyond(rng, split, language)
        else:
            _, words, reply = small_talk(rng, split, language)
        talk.user(words)
        talk.reply(reply)
    _, words, reply = small_talk(rng, split, language)
    talk.user(words)
    said = talk.reply(reply)
    return talk.finish("chat", {"kind": "exact", "answer": said})
