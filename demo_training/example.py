"""The value that the generator makes: one conversation and how its last answer is scored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Language = Literal["en", "zh"]
Split = Literal["train", "heldout"]


@dataclass(frozen=True)
class Example:
    """A conversation whose last message is the assistant answer that `check` scores.

    Messages are of the OpenAI form. All assistant turns may be trained on, unless `last_only`:
    then the earlier ones were given under another system message and only the last one may.
    """

    skill: str
    language: Language
    messages: tuple[dict[str, Any], ...]
    check: Mapping[str, Any]
    tools: tuple[dict[str, Any], ...] = ()
    last_only: bool = False
