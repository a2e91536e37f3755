"""Things and facts: what passages tell. Words only; it builds no sentences of a passage."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cache

from demo_training import open_words, values
from demo_training.words import table, words

_POSSESSIVE = "{}'s"


@dataclass(frozen=True)
class Attribute:
    """What can be told of a thing: its label, the type of its value, special forms, JSON keys."""

    name: str
    label: str
    value: str
    say: tuple[str, ...] = ()
    ask: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()

    @property
    def of_person(self) -> bool:
        return self.value == "person"


@dataclass(frozen=True)
class Entity:
    """A thing with a name, as it stands within a sentence."""

    kind: str
    name: str
    pronoun: str
    pronoun_possessive: str
    short: str
    """What stands for the name once it is known: "the ship"; a person's is the pronoun."""

    @property
    def start(self) -> str:
        return self.name[0].upper() + self.name[1:]


@dataclass(frozen=True)
class Fact:
    """`attribute` of `entity` is `value`, not `other`; values stand in text word for word."""

    entity: Entity
    attribute: Attribute
    value: str
    other: str | None = None


@cache
def attributes(language: str, kind: str) -> tuple[Attribute, ...]:
    """The attributes with forms of their own that a kind of thing can have."""
    rows = table(language, "attributes")
    return tuple(
        Attribute(
            name=name,
            label=row["label"],
            value=row["value"],
            say=tuple(row["say"]),
            ask=tuple(row["ask"]),
            keys=tuple(row.get("keys", ())),
        )
        for name, row in rows.items()
        if kind in row["kinds"]
    )


@cache
def _taken(language: str) -> frozenset[str]:
    return frozenset(row["label"] for row in table(language, "attributes").values())


@cache
def _labels(language: str, name: str) -> tuple[str, ...]:
    """Open labels of a list, without those that an attribute already has."""
    return tuple(word for word in words(language, name) if word not in _taken(language))


@cache
def _quantities(language: str) -> tuple[Attribute, ...]:
    return tuple(
        Attribute("open", label, row["value"])
        for row in table(language, "quantities")["quantity"]
        for label in row["labels"]
        if label not in _taken(language)
    )


def _new_label(rng: random.Random, language: str) -> str:
    if language == "en":
        return open_words.pseudo_word(rng, "train")
    return open_words.han_word(rng, "train")


def open_attribute(rng: random.Random, language: str) -> Attribute:
    """An attribute that has a label only: a role, a feature, a quantity, or any noun at all.

    Labels are no values: nouns among them are drawn from the trained ones in both splits.
    """
    shape = rng.random()
    if shape < 0.1:
        label = rng.choice(open_words.pool(language, "things", "train"))
        if rng.random() < 0.3:
            label = _new_label(rng, language)
        return Attribute("open", label, rng.choice(("person", "count", "place", "date", "code")))
    if shape < 0.5:
        return Attribute("open", rng.choice(_labels(language, "roles")), "person")
    if shape < 0.75:
        kind = rng.choice(("thing", "thing", "thing", "thing", "animal", "food"))
        return Attribute("open", rng.choice(_labels(language, "features")), kind)
    return rng.choice(_quantities(language))


def attribute_for(rng: random.Random, language: str, kind: str, opened: float = 0.3) -> Attribute:
    """Something that can be told of a thing of `kind`."""
    if rng.random() < opened:
        return open_attribute(rng, language)
    return rng.choice(attributes(language, kind))


def entity(rng: random.Random, split: str, language: str, kind: str | None = None) -> Entity:
    kinds = table(language, "kinds")
    kind = kind or rng.choice(tuple(kinds))
    form: str = rng.choice(kinds[kind]["names"])
    if language == "en":
        return _english(rng, split, kind, form)
    name = form
    if "{n}" in form:
        name = name.replace("{n}", open_words.name_word(rng, split, "zh"))
    if "{N}" in form:
        name = name.replace("{N}", values.noun(rng, split, "zh"))
    if "{A}" in form:
        name = name.replace("{A}", rng.choice(words("zh", "adjectives")))
    if "{P}" in form:
        name = values.person(rng, split, "zh")
    name = name.replace("{d}", str(open_words.number(rng, split, 2, 900)))
    pronoun = rng.choice(("他", "她")) if kind == "person" else "它"
    return Entity(kind, name, pronoun, pronoun + "的", kinds[kind]["short"] or pronoun)


def _english(rng: random.Random, split: str, kind: str, form: str) -> Entity:
    name = form
    if "{n}" in form:
        name = name.replace("{n}", open_words.name_word(rng, split, "en"))
    if "{p}" in form:
        name = values.place(rng, split, "en")
    if "{P}" in form:
        name = values.person(rng, split, "en")
    if "{N}" in form:
        noun = values.noun(rng, split, "en")
        name = name.replace("{N}", noun.title() if kind == "book" else noun)
    if "{A}" in form:
        adjective = rng.choice(words("en", "adjectives"))
        name = name.replace("{A}", adjective.title() if kind == "book" else adjective)
    if "{d}" in form:
        name = name.replace("{d}", str(open_words.number(rng, split, 2, 900)))
    if kind == "person":
        return Entity(kind, name, *rng.choice((("he", "his", "he"), ("she", "her", "she"))))
    short = table("en", "kinds")[kind]["short"]
    if kind == "ship" and rng.random() < 0.3:
        return Entity(kind, name, "she", "her", short)
    return Entity(kind, name, "it", "its", short)


def value_for(rng: random.Random, split: str, language: str, kind: str) -> str:
    """A value of a type; `measure:metres,feet` limits the units."""
    if kind.startswith("measure:"):
        units = kind.partition(":")[2].split(",")
        return values.measure(rng, split, language, units)
    return values.value(rng, split, language, kind)


def fact(rng: random.Random, split: str, language: str, of: Entity, what: Attribute) -> Fact:
    """A fact with a fresh value; a few also have one that is told to be wrong or past."""
    value = value_for(rng, split, language, what.value)
    other = value_for(rng, split, language, what.value) if rng.random() < 0.05 else None
    return Fact(of, what, value, None if other == value else other)
