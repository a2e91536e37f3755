"""Collects the turns of a conversation and hands them over as an example."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from demo_training.example import Example, Language, Split
from demo_training.styles import Reply, styled
from demo_training.systems import System


@dataclass
class Dialogue:
    """A conversation under construction: who speaks which language, in which style."""

    rng: random.Random
    split: Split
    language: Language
    system: System
    turns: list[dict[str, Any]] = field(default_factory=list)
    tools: tuple[dict[str, Any], ...] = ()
    last_only: bool = False

    @property
    def persona(self) -> str:
        return self.system.persona

    def user(self, text: str) -> None:
        self.turns.append({"role": "user", "content": text})

    def say(self, text: str) -> str:
        """The assistant's answer, word for word."""
        self.turns.append({"role": "assistant", "content": text})
        return text

    def reply(self, reply: Reply) -> str:
        """The assistant's answer in the style of the persona."""
        return self.say(styled(self.persona, self.language, reply))

    def call(self, name: str, arguments: Mapping[str, Any]) -> None:
        function = {"name": name, "arguments": dict(arguments)}
        call = {"type": "function", "function": function}
        self.turns.append({"role": "assistant", "content": "", "tool_calls": [call]})

    def result(self, value: Mapping[str, Any]) -> None:
        """What a called tool gave back."""
        content = json.dumps(value, ensure_ascii=False)
        self.turns.append({"role": "tool", "content": content})

    def finish(self, skill: str, check: Mapping[str, Any]) -> Example:
        messages = list(self.turns)
        if self.system.text is not None:
            messages.insert(0, {"role": "system", "content": self.system.text})
        assert messages[-1]["role"] == "assistant", "an example ends with the answer"
        return Example(
            skill=skill,
            language=self.language,
            messages=tuple(messages),
            check=check,
            tools=self.tools,
            last_only=self.last_only,
        )
