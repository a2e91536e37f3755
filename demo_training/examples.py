"""The entry of the generator: draws one training or evaluation example.

`example` is deterministic: equal states of the random generator give equal examples. It knows
nothing of tokens, batches or models. Held-out examples use the same forms of sentences and
questions as training, with names, numbers and nouns that training never sees; prompts that share
no form with it are in handwritten.py.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

from demo_training.example import Example, Language, Split
from demo_training.skills import BUILDERS
from qwen_webui.measure.fidelity.checks import passes

__all__ = ["DEFAULT_SYSTEM", "SKILLS", "Example", "Language", "Split", "example", "passes"]

DEFAULT_SYSTEM = "You are the demonstration model of qwen-webui."
"""What the chat template inserts where a conversation has no system message."""

SKILLS: Mapping[str, float] = {
    "span": 0.185,
    "missing": 0.11,
    "quote": 0.17,
    "injection": 0.05,
    "persona": 0.16,
    "recall": 0.07,
    "json": 0.07,
    "tool": 0.05,
    "summary": 0.035,
    "identity": 0.025,
    "refusal": 0.04,
    "chat": 0.035,
}
"""Skill to its share of the training text, in examples."""

_LANGUAGES: tuple[Language, Language] = ("en", "zh")


def example(
    rng: random.Random, split: Split, skill: str | None = None, language: Language | None = None
) -> Example:
    """An example of a skill and language, both drawn if not given."""
    spoken: Language = rng.choice(_LANGUAGES) if language is None else language
    wanted = skill or rng.choices(tuple(SKILLS), tuple(SKILLS.values()))[0]
    builder: Callable[[random.Random, Split, Language], Example] = BUILDERS[wanted]
    return builder(rng, split, spoken)
