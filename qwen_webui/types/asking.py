"""What is asked: by a front end, by a program, and of an engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from qwen_webui.types.messages import Message
from qwen_webui.types.sampling import UNSET, Sampling

# "auto": the model decides; "required": at least one call; any other text: a call of that tool.
ToolChoice = str


@dataclass(frozen=True)
class ChatTurn:
    """What a front end asks. `system` (exact text) wins over `persona` (an id); with neither, the
    template's default line stands. Without `fit_history` an over-long history is an error."""

    text: str
    history: tuple[Message, ...] = ()
    persona: str | None = None
    system: str | None = None
    language: Literal["en", "zh"] = "en"
    sampling: Sampling = UNSET
    tools: tuple[Mapping[str, Any], ...] = ()
    fit_history: bool = True
    request_id: str = ""


@dataclass(frozen=True)
class Ask:
    """What a program asks: messages as they are, in any order that the template takes, or a raw
    `prompt` (text, whose control tokens count, or token ids) that no template touches. Nothing is
    added and nothing is left out to make it fit."""

    messages: tuple[Message, ...] = ()
    prompt: str | tuple[int, ...] | None = None
    sampling: Sampling = UNSET
    tools: tuple[Mapping[str, Any], ...] = ()
    tool_choice: ToolChoice = "auto"
    parallel_calls: bool = True
    request_id: str = ""


@dataclass(frozen=True)
class GenerationRequest:
    """What an engine is asked. `sampling` is complete. With a raw `prompt` (see Ask) there are no
    messages and no tools."""

    id: str
    messages: tuple[Message, ...]
    sampling: Sampling
    tools: tuple[Mapping[str, Any], ...] = ()
    prompt: str | tuple[int, ...] | None = None
