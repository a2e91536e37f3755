"""The values of the page's fields, checked and made into values.

A browser may send anything, so every value is looked at here before the assistant looks at it.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from qwen_webui.errors import InvalidRequest
from qwen_webui.personas import Persona, Personas
from qwen_webui.store import Conversation
from qwen_webui.types import Message, Sampling

# No persona id can look like this.
CUSTOM = ":custom"
# The sliders, in the order in which they stand and are sent.
SLIDERS = ("temperature", "top_p", "top_k", "repetition_penalty", "max_new_tokens")
_WHOLE = {"top_k", "max_new_tokens"}
MAX_DOCUMENTS = 100
_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class Role:
    """Who answers: a persona's id, or the exact text of a system message of the user's own."""

    persona: str | None
    system: str | None

    @classmethod
    def read(cls, personas: Personas, persona: object, system: object) -> Role:
        """From the selector and the text beside it. Raises InvalidRequest and NotFound."""
        if persona == CUSTOM:
            return cls(None, system if isinstance(system, str) else "")
        if not isinstance(persona, str):
            raise InvalidRequest("Choose a role from the list.", param="persona")
        return cls(personas.get(persona).id, None)

    def describe(self, personas: Personas) -> Persona | None:
        """The persona, unless the message is the user's own."""
        return personas.get(self.persona) if self.persona else None


def read_sampling(values: tuple[object, ...], shown: Sampling) -> Sampling:
    """What the user set: sliders that stand where `shown` put them count as left alone.

    `values` are the sliders' in their order, then the seed's text. Raises InvalidRequest with the
    code `bad_number` and the field's name.
    """
    *sliders, seed = values
    moved: dict[str, Any] = {}
    for name, value in zip(SLIDERS, sliders, strict=True):
        number = _number(name, value)
        if not math.isclose(number, shown_value(name, shown), abs_tol=1e-9):
            moved[name] = number
    return Sampling(seed=_seed(seed), **moved)


def document_ids(sent: object) -> tuple[str, ...]:
    """The ids in a list that the page sent, each once. Whether they are there, and whose they are,
    the shelf knows. Raises InvalidRequest."""
    ids = sent if isinstance(sent, list) else [None]
    if len(ids) > MAX_DOCUMENTS or not all(isinstance(i, str) and _ID.fullmatch(i) for i in ids):
        raise InvalidRequest("The page is out of date. Reload it.", param="documents")
    return tuple(dict.fromkeys(ids))


def shown_value(name: str, sampling: Sampling) -> float:
    """Where a slider stands for these defaults; a length of 0 is "as much as fits"."""
    value = getattr(sampling, name)
    return 0.0 if value is None else float(value)


def _number(name: str, value: object) -> float | int:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise InvalidRequest("This is not a number.", code="bad_number", param=name)
    return int(value) if name in _WHOLE and float(value).is_integer() else value


def _seed(value: object) -> int | None:
    text = "" if value is None else str(value).strip()
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 19:
        raise InvalidRequest("This is not a whole number.", code="bad_number", param="seed")
    return int(text)


def history(conversation: Conversation, keep: int | None = None) -> tuple[Message, ...]:
    """What was said, without the records of system messages; the first `keep` entries only."""
    said = conversation.messages[:keep]
    return tuple(m.message for m in said if m.role in ("user", "assistant") and m.content)
