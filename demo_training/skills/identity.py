"""What the model is, and how to load a real one."""

from __future__ import annotations

import random

from demo_training import systems
from demo_training.chat import small_talk
from demo_training.dialogue import Dialogue
from demo_training.example import Example, Language, Split
from demo_training.skills.chat import PERSONAS


def build(rng: random.Random, split: Split, language: Language) -> Example:
    talk = Dialogue(rng, split, language, systems.draw(rng, split, language, PERSONAS, plain=0.8))
    if rng.random() < 0.4:
        _, words, reply = small_talk(rng, split, language)
        talk.user(words)
        talk.reply(reply)
    intent = rng.choice(("identity", "identity", "load"))
    _, words, reply = small_talk(rng, split, language, intent)
    talk.user(words)
    talk.reply(reply)
    if intent == "identity":
        return talk.finish("identity", {"kind": "identity"})
    return talk.finish("identity", {"kind": "contains", "all": ["--quantize gptq-int4"]})
