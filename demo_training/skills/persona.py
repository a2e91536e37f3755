"""Answers in the style of the selected persona, also after a switch in mid-conversation.

After a switch the earlier answers have another persona's style: they are context, not examples to
learn from (`last_only`).
"""

from __future__ import annotations

import random

from demo_training import systems
from demo_training.chat import beyond, small_talk
from demo_training.dialogue import Dialogue
from demo_training.example import Example, Language, Split
from demo_training.passage import Passage, Shape
from demo_training.passage import build as build_passage
from demo_training.persona_tasks import comment, program, translation
from demo_training.reading import Reader
from demo_training.skills.json_object import fill_object
from demo_training.skills.recall import between
from demo_training.styles import PERSONAS


def build(rng: random.Random, split: Split, language: Language) -> Example:
    persona = rng.choice(PERSONAS)
    system = systems.of_persona(rng, split, language, persona)
    if persona == "general":
        system = systems.draw(rng, split, language, ("general",), plain=1)
    talk = Dialogue(rng, split, language, system)
    shape = Shape(entities=rng.choice((1, 1, 2)), facts=rng.choice((1, 2, 4)), short=True)
    passage = build_passage(rng, split, language, shape)
    if rng.random() < 0.6:
        _before(talk, passage)
        talk.last_only = True
    else:
        for _ in range(rng.choice((0, 0, 1, 2))):
            turn(talk, None)
    turn(talk, passage)
    check = {"kind": "style", "persona": persona, "language": language}
    return talk.finish("persona", check)


def _before(talk: Dialogue, passage: Passage) -> None:
    """Turns under other personas, which the last one comes after."""
    rng = talk.rng
    now = talk.system
    for _ in range(rng.choice((1, 1, 1, 2))):
        other = rng.choice([one for one in PERSONAS if one != now.persona])
        talk.system = systems.System(other, None)
        for _ in range(rng.choice((1, 1, 2))):
            turn(talk, passage if rng.random() < 0.4 else None)
    talk.system = now


def turn(talk: Dialogue, passage: Passage | None) -> None:
    """One question and its answer in the style of the persona who answers now."""
    rng, split, language = talk.rng, talk.split, talk.language
    chance = rng.random()
    if talk.persona == "translator":
        words, said = translation(rng, split, language)
        talk.user(words)
        talk.say(said)
    elif talk.persona == "code" and chance < 0.4:
        words, said = program(rng, split, language)
        talk.user(words)
        talk.say(said)
    elif talk.persona == "writing" and chance < 0.4:
        words, reply = comment(rng, split, language)
        talk.user(words)
        talk.reply(reply)
    elif talk.persona == "extraction" and chance < 0.3:
        fill_object(talk, bare=rng.random() < 0.6)
    elif chance < 0.55:
        shape = Shape(entities=rng.choice((1, 1, 2)), facts=rng.choice((1, 1, 2, 4)), short=True)
        Reader(talk, passage or build_passage(rng, split, language, shape)).ask_some(1)
    elif chance < 0.7:
        words, reply = beyond(rng, split, language)
        talk.user(words)
        talk.reply(reply)
    elif chance < 0.8:
        between(talk, [])
    else:
        _, words, reply = small_talk(rng, split, language)
        talk.user(words)
        talk.reply(reply)
