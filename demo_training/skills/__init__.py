"""One module a skill; each builds an example of its skill with `build`."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

from demo_training.example import Example, Language, Split
from demo_training.skills import (
    chat,
    identity,
    injection,
    json_object,
    missing,
    persona,
    quote,
    recall,
    refusal,
    span,
    summary,
    tool,
)

BUILDERS: Mapping[str, Callable[[random.Random, Split, Language], Example]] = {
    "span": span.build,
    "missing": missing.build,
    "quote": quote.build,
    "injection": injection.build,
    "persona": persona.build,
    "recall": recall.build,
    "json": json_object.build,
    "tool": tool.build,
    "summary": summary.build,
    "identity": identity.build,
    "refusal": refusal.build,
    "chat": chat.build,
}
