"""A fact that the user told three or more turns earlier, asked for after other talk."""

from __future__ import annotations

import random
from dataclasses import dataclass

from demo_training import systems, values
from demo_training.chat import beyond, small_talk
from demo_training.dialogue import Dialogue
from demo_training.example import Example, Language, Split
from demo_training.passage import Shape
from demo_training.passage import build as build_passage
from demo_training.questions import dress
from demo_training.reading import Reader
from demo_training.skills.chat import PERSONAS
from demo_training.styles import Reply
from demo_training.words import table
from demo_training.world import open_attribute, value_for


@dataclass(frozen=True)
class Told:
    """Something the user told: how it is said, asked for, and what it is."""

    label: str
    value: str
    words: str
    ask: tuple[str, ...]


def build(rng: random.Random, split: Split, language: Language) -> Example:
    talk = Dialogue(rng, split, language, systems.draw(rng, split, language, PERSONAS, plain=0.8))
    told = tell(rng, split, language)
    talk.user(told.words)
    talk.reply(noted(language, told))
    others = [told]
    for _ in range(rng.choice((2, 2, 3, 3, 4))):
        between(talk, others)
    if rng.random() < 0.15:
        missing = tell(rng, split, language)
        if missing.label not in [one.label for one in others]:
            talk.user(question(rng, language, missing))
            text = table(language, "recall")["forms"]["unknown"].format(l=missing.label)
            talk.reply(Reply(text, missing.label, None, about=_about(language, missing)))
            return talk.finish("recall", {"kind": "missing"})
    said = recall(talk, told)
    return talk.finish("recall", {"kind": "exact", "answer": said})


def tell(rng: random.Random, split: str, language: str) -> Told:
    rows = table(language, "recall")
    forms = rows["forms"]
    if rng.random() < 0.3:
        what = open_attribute(rng, language)
        label, value = what.label, value_for(rng, split, language, what.value)
        tells, asks = forms["tell"], forms["ask"]
    else:
        row = rows[rng.choice([name for name in rows if name != "forms"])]
        label, tells = row["label"], row["tell"]
        asks = row["ask"] + forms["ask"][:3]
        value = (
            values.noun(rng, split, language)
            if row["value"] == "word"
            else values.value(rng, split, language, row["value"])
        )
    form = rng.choice(tells).format(l=label, v=value, an=values.article(value).split(" ")[0])
    words = rng.choice(forms["tell_before"]) + form + rng.choice(forms["tell_after"])
    return Told(label, value, words, tuple(asks))


def noted(language: str, told: Told) -> Reply:
    form = table(language, "recall")["forms"]["told"]
    text = form.format(l=told.label, v=told.value)
    return Reply(text, told.label, told.value, about=_about(language, told))


def _about(language: str, told: Told) -> str:
    return f"your {told.label}" if language == "en" else f"您的{told.label}"


def question(rng: random.Random, language: str, told: Told) -> str:
    text = rng.choice(told.ask).format(l=told.label)
    if rng.random() < 0.5:
        return str(rng.choice(table(language, "recall")["forms"]["ask_before"])) + text
    return text if rng.random() < 0.5 else dress_lightly(rng, language, text)


def dress_lightly(rng: random.Random, language: str, text: str) -> str:
    return dress(rng, language, text) if rng.random() < 0.3 else text.rstrip("?？。.")


def recall(talk: Dialogue, told: Told) -> str:
    """The question for what was told, and the answer."""
    talk.user(question(talk.rng, talk.language, told))
    form = table(talk.language, "recall")["forms"]["answer"]
    text = form.format(l=told.label, v=told.value)
    about = _about(talk.language, told)
    return talk.reply(Reply(text, told.label, told.value, about=about))


def between(talk: Dialogue, others: list[Told]) -> None:
    """One turn of other talk; what it tells is added to `others`."""
    rng = talk.rng
    chance = rng.random()
    if chance < 0.3:
        new = tell(rng, talk.split, talk.language)
        if new.label not in [one.label for one in others]:
            others.append(new)
            talk.user(new.words)
            talk.reply(noted(talk.language, new))
            return
    if chance < 0.5:
        passage = build_passage(
            rng, talk.split, talk.language, Shape(entities=1, facts=2, short=True, paged=False)
        )
        Reader(talk, passage).ask_some(1)
    elif chance < 0.65:
        words, reply = beyond(rng, talk.split, talk.language)
        talk.user(words)
        talk.reply(reply)
    elif chance < 0.75 and len(others) > 1:
        recall(talk, rng.choice(others))
    else:
        _, words, reply = small_talk(rng, talk.split, talk.language)
        talk.user(words)
        talk.reply(reply)
