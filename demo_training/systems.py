"""Draws system messages: none, plain ones, each persona's own words, and other wordings of them.

Which style a message asks for is all that is told about it.
"""

from __future__ import annotations

import random
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from demo_training import open_words
from demo_training.grammar import expand, fill
from demo_training.words import table

_PERSONAS = Path(__file__).resolve().parents[1] / "personas"


@dataclass(frozen=True)
class System:
    """A system message (`None`: none given) and the persona whose style it asks for."""

    persona: str
    text: str | None


@cache
def persona_text(persona: str, language: str) -> str:
    """The system message of personas/PERSONA.toml, word for word."""
    with (_PERSONAS / f"{persona}.toml").open("rb") as file:
        return str(tomllib.load(file)["system"][language])


def draw(
    rng: random.Random, split: str, language: str, personas: Sequence[str], plain: float = 0.6
) -> System:
    """A system message; with probability `plain` one without a persona's style."""
    other = {"en": "zh", "zh": "en"}[language]
    if "general" in personas and rng.random() < plain:
        chance = rng.random()
        if chance < 0.4:
            return System("general", None)
        if chance < 0.6:
            spoken = language if rng.random() < 0.7 else other
            return System("general", persona_text("general", spoken))
        spoken = language if rng.random() < 0.85 else other
        form = rng.choice(table(spoken, "systems")["plain"])
        return System("general", _fill(rng, split, spoken, expand(rng, form)))
    return of_persona(rng, split, language, rng.choice(personas))


def of_persona(rng: random.Random, split: str, language: str, persona: str) -> System:
    """A system message that asks for the style of `persona`, mostly in its own words."""
    other = {"en": "zh", "zh": "en"}[language]
    spoken = language if rng.random() < 0.8 else other
    if rng.random() < 0.75:
        return System(persona, persona_text(persona, spoken))
    form = rng.choice(table(spoken, "systems")[persona])
    return System(persona, _fill(rng, split, spoken, expand(rng, form)))


def _fill(rng: random.Random, split: str, language: str, text: str) -> str:
    def name() -> str:
        return open_words.name_word(rng, split, language)

    return fill(text, {"n": name})
