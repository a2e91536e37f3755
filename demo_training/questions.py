"""Puts a question about an attribute of a thing into words, in many ways.

Wordings are composed: a politeness before, one of many frames, a request after, and now and then
the slips of people who type (no capitals, no question mark, a wrong letter). The answer is not
its business.
"""

from __future__ import annotations

import random

from demo_training.words import table
from demo_training.world import Attribute, Entity

_SLIPS = {
    "What": ("Waht", "Wat", "what"),
    "Who": ("Woh", "who"),
    "Where": ("Were", "where"),
    "Which": ("Wich", "which"),
    "Tell": ("Tel", "tell"),
    " is ": (" ist ", " is  "),
    " does ": (" dose ", " do "),
    "How": ("how", "Hwo"),
}


def ask(
    rng: random.Random,
    language: str,
    what: Attribute,
    of: Entity,
    *,
    known: bool = False,
    lone: bool = False,
) -> str:
    """A question. `known`: the question before was about `of`, so a short one may do.

    `lone`: there is no other thing that could be meant, so its name may be left out.
    """
    frames = table(language, "frames")
    if known and rng.random() < 0.45:
        return _put(language, rng.choice(frames["follow"]), what, of)
    chance = rng.random()
    forms = frames["ask"]
    if lone and rng.random() < 0.12:
        forms = frames["lone_person"] if what.of_person and chance < 0.7 else frames["lone"]
    elif what.ask and chance < 0.5:
        forms = what.ask
    elif what.of_person and chance < 0.8:
        forms = frames["ask_person"]
    short = lone and of.kind != "person" and rng.random() < 0.15
    return dress(rng, language, _put(language, rng.choice(forms), what, of, short))


def _put(language: str, form: str, what: Attribute, of: Entity, short: bool = False) -> str:
    label, name = what.label, of.short if short else of.name
    if language == "zh":
        return form.replace("{e}", name).replace("{l}", label)
    return form.format(
        e=name,
        E=name[0].upper() + name[1:],
        s=of.pronoun_possessive if name == of.pronoun else f"{name}'s",
        l=label,
        L=label[0].upper() + label[1:],
    )


def dress(rng: random.Random, language: str, text: str) -> str:
    """Puts politeness around a sentence and slips of the keyboard into it."""
    frames = table(language, "frames")
    before: str = rng.choice(frames["before"])
    after: str = rng.choice(frames["after"])
    if language == "zh":
        return before + _zh_slips(rng, text) + after
    if before.endswith(", "):
        first = text.split(" ", 1)[0]
        if first in ("What", "Who", "Where", "Which", "How", "When", "The", "Tell", "Give"):
            text = text[0].lower() + text[1:]
    return _en_slips(rng, before + text) + after


def _en_slips(rng: random.Random, text: str) -> str:
    chance = rng.random()
    if chance < 0.07:
        return text.lower()
    if chance < 0.13:
        return text.rstrip("?.")
    if chance < 0.16:
        return text.rstrip("?.") + rng.choice(("??", "?!", " ?", "...", "!"))
    if chance < 0.2:
        slips = [word for word in _SLIPS if word in text]
        if slips:
            word = rng.choice(slips)
            return text.replace(word, rng.choice(_SLIPS[word]), 1)
    return text


def _zh_slips(rng: random.Random, text: str) -> str:
    chance = rng.random()
    if chance < 0.08:
        return text.rstrip("？。")
    if chance < 0.2:
        return text.replace("？", "?").replace("，", ",").replace("。", ".")
    if chance < 0.23:
        return text.rstrip("？。") + rng.choice(("？？", "呢？", "呀？", "……", "！"))
    return text
