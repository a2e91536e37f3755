"""What is said in a conversation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Role = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True)
class ToolCall:
    """A call of a tool that the model asked for. `arguments` is the JSON object it wrote."""

    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class Message:
    """One turn. Control tokens in `content` are plain text."""

    role: Role
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
