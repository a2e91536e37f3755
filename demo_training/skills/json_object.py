"""Fills a JSON object from one or two sentences: every field right, nothing else written."""

from __future__ import annotations

import random
from typing import Any

from demo_training import systems
from demo_training.dialogue import Dialogue
from demo_training.example import Example, Language, Split
from demo_training.passage import draw_facts
from demo_training.sentences import about, filler, say, say_all
from demo_training.skills.span import PERSONAS
from demo_training.styles import dump
from demo_training.words import table
from demo_training.world import Attribute, Fact, attribute_for, entity


def build(rng: random.Random, split: Split, language: Language) -> Example:
    talk = Dialogue(rng, split, language, systems.draw(rng, split, language, PERSONAS, plain=0.7))
    bare = talk.persona == "extraction" and rng.random() < 0.45
    for _ in range(rng.choice((0, 0, 0, 1, 2))):
        fill_object(talk, bare)
    value = fill_object(talk, bare)
    return talk.finish("json", {"kind": "json", "value": value})


def fill_object(talk: Dialogue, bare: bool) -> dict[str, Any]:
    """One turn that asks for an object, and the object. `bare`: no keys are named."""
    rng, split, language = talk.rng, talk.split, talk.language
    of = entity(rng, split, language)
    facts = draw_facts(rng, split, language, [of], 3)[0]
    text = _text(talk, facts)
    name_key = rng.choice(table(language, "json")["name_key"])
    fields: list[tuple[str, str | None]] = [(name_key, of.name)]
    for one in facts:
        key = _key(rng, language, one.attribute)
        taken = key in [name for name, _ in fields]
        fields.append((one.attribute.label if taken else key, one.value))
    if bare:
        fields[0] = (table(language, "json")["name_key"][0], of.name)
        fields = fields[:1] + [(one.attribute.label, one.value) for one in facts]
        talk.user(rng.choice(table(language, "json")["bare"]).replace("{t}", text))
    else:
        if rng.random() < 0.25:
            absent = attribute_for(rng, language, of.kind)
            if absent.label not in [one.attribute.label for one in facts]:
                fields.append((absent.label, None))
        if len(fields) > 2 and rng.random() < 0.25:
            fields.pop(rng.randrange(len(fields)))
        if rng.random() < 0.5:
            rng.shuffle(fields)
    value: dict[str, Any] = dict(fields)
    if not bare:
        form: str = rng.choice(table(language, "json")["ask"])
        if "{s}" in form:
            value = {key: _typed(found) for key, found in value.items()}
        keys = rng.choice((", ", ", ", " / ") if language == "en" else ("、", "，", ", ")).join(
            value
        )
        shown = form.replace("{k}", keys).replace("{o}", _empty(rng, value))
        talk.user(shown.replace("{s}", dump(_schema(value))).replace("{t}", text))
    talk.say(dump(value))
    return value


def _text(talk: Dialogue, facts: list[Fact]) -> str:
    rng, language = talk.rng, talk.language
    many = 2 if rng.random() < 0.4 else 1
    parts = [say_all(rng, language, facts[:many])]
    parts += [say(rng, language, one, pronoun=rng.random() < 0.5) for one in facts[many:]]
    if rng.random() < 0.3:
        parts.insert(0, about(rng, talk.split, language, facts[0].entity))
    if rng.random() < 0.15:
        parts.append(filler(rng, talk.split, language))
    return (" " if language == "en" else "").join(parts)


def _key(rng: random.Random, language: str, what: Attribute) -> str:
    """The label or another name as a key; in English often joined by underscores."""
    label = rng.choice(what.keys) if what.keys and rng.random() < 0.4 else what.label
    if language == "zh":
        return label
    label = label.replace("'s", "")
    return label.replace(" ", "_") if rng.random() < 0.6 else label


def _typed(found: str | None) -> str | int | None:
    return int(found) if found is not None and found.isdigit() and found[0] != "0" else found


def _empty(rng: random.Random, value: dict[str, Any]) -> str:
    nothing = rng.choice((None, "", "...", "?"))
    return dump({key: nothing for key in value})


def _schema(value: dict[str, Any]) -> dict[str, Any]:
    kinds = {
        key: {"type": "integer" if isinstance(found, int) else "string"}
        for key, found in value.items()
    }
    return {"type": "object", "properties": kinds, "required": list(value)}
