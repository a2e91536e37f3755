"""Writes single sentences of a passage: one that tells a fact, one that tells two, and filler.

Where they stand, on which page and in which order, is decided in passage.py.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

from demo_training import open_words, values
from demo_training.values import article
from demo_training.words import table, words
from demo_training.world import Entity, Fact

_SMALL = re.compile(
    r"(The|As|According|Everyone|It|If|A|Since|Officially|For|On|When|From|With|At|In|To|Visitors"
    r"|Inside|There|Last|What|Most|Call|Use|Boats|Readers|Whoever|Work|Nothing|Entry|Under|Some|We"
    r"|Remember|Nobody|You|Until|After|By|Founded|Opened|Designed|Written|Built|Admission|Tickets"
    r"|Someone|Workers|Guests|Published|When|Ask)\b"
)
"""First words of forms that are no names: small in the middle of a sentence."""


def say(rng: random.Random, language: str, told: Fact, pronoun: bool = False) -> str:
    """A sentence that tells a fact, about the thing by name or, if `pronoun`, without it."""
    frames = table(language, "frames")
    what = told.attribute
    forms = frames["say"]
    chance = rng.random()
    if told.other:
        forms = frames["say_other"]
    elif what.say and chance < 0.6:
        forms = what.say
    elif what.of_person and chance < 0.85:
        forms = frames["say_person"]
    form = rng.choice(forms)
    if pronoun and form.startswith(("{e}", "{E}", "{S}")):
        return write(language, form, told, "short" if rng.random() < 0.35 else "pronoun")
    return write(language, form, told)


def say_all(rng: random.Random, language: str, told: Sequence[Fact], pronoun: bool = False) -> str:
    """One sentence that tells one fact, or two facts about the same thing."""
    text = say(rng, language, told[0], pronoun)
    if len(told) == 1:
        return text
    of, more = told[0].entity, say(rng, language, told[1])
    start = f"{of.start} "
    if rng.random() < 0.25 and more.startswith(start if language == "en" else of.name):
        label, value = told[0].attribute.label, told[0].value
        if language == "en":
            return f"{of.start}, whose {label} is {value}, {more.removeprefix(start)}"
        return f"{label}为{value}的{more}"
    return join(language, of, text, more)


def join(language: str, of: Entity, text: str, more: str) -> str:
    """Two sentences about the same thing as one, the name told once where that can be done."""
    if language == "zh":
        if text.startswith((of.name, of.pronoun, of.short)):
            more = more.removeprefix(of.name).removeprefix("的")
        return f"{text[:-1]}，{more}"
    if more.startswith(f"{of.start}'s "):
        return f"{text[:-1]} and {of.pronoun_possessive} {more.removeprefix(of.start)[3:]}"
    rest = more.removeprefix(of.start)
    if rest != more and rest[0] == " " and rest[1].isalpha():
        starts = tuple(f"{word[0].upper()}{word[1:]} " for word in (of.name, of.pronoun, of.short))
        if text.startswith(starts) and not text.startswith(("It is said", "It was ")):
            return f"{text[:-1]} and {rest[1:]}"
    if rest != more:
        return f"{text[:-1]}, and {of.name}{rest}"
    small = more[0].lower() + more[1:] if _SMALL.match(more) else more
    return f"{text[:-1]}, and {small}"


def write(language: str, form: str, told: Fact, by: str = "name") -> str:
    """Puts a fact into one of its forms; `by` name, pronoun or short name."""
    of, label, value = told.entity, told.attribute.label, told.value
    if language == "zh":
        name = {"name": of.name, "pronoun": of.pronoun, "short": of.short}[by]
        return form.format(e=name, l=label, v=value, x=told.other)
    name, possessive = {
        "name": (of.name, f"{of.name}'s"),
        "pronoun": (of.pronoun, of.pronoun_possessive),
        "short": (of.short, of.pronoun_possessive if of.short == of.pronoun else f"{of.short}'s"),
    }[by]
    text = form.format(
        e=name,
        E=name[0].upper() + name[1:],
        s=possessive,
        S=possessive[0].upper() + possessive[1:],
        v=value,
        x=told.other,
        l=label,
        L=label[0].upper() + label[1:],
        an="an" if value[0] in "aeiou" else "a",
    )
    return text if text.startswith(value) else text[0].upper() + text[1:]


def filler(rng: random.Random, split: str, language: str, form: str | None = None) -> str:
    """A sentence that tells nothing that is asked for."""
    form = form or str(rng.choice(table(language, "frames")["filler"]))
    if "{" not in form:
        return form
    draw = values.value
    text = form.format(
        A=article(rng.choice(words("en", "adjectives"))).capitalize(),
        n=open_words.name_word(rng, split, language),
        n2=open_words.name_word(rng, split, language),
        p=draw(rng, split, language, "place"),
        P=draw(rng, split, language, "person"),
        P2=draw(rng, split, language, "person"),
        t=draw(rng, split, language, "thing"),
        t2=draw(rng, split, language, "thing"),
        c=draw(rng, split, language, "count"),
        f=draw(rng, split, language, "food"),
    )
    return text[0].upper() + text[1:]


def about(rng: random.Random, split: str, language: str, of: Entity) -> str:
    """A sentence that says what the thing is."""
    form: str = rng.choice(table(language, "kinds")[of.kind]["about"])
    noun = values.noun(rng, split, language) if "{N}" in form else ""
    adjective = rng.choice(words("en", "adjectives")) if "{A" in form else "x"
    return form.format(e=of.name, E=of.start, N=noun, A=adjective, A1=article(adjective))
