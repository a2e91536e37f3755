"""What the store takes and gives: a message, a conversation, a line of the list.

No SQL and no files here.
"""

from __future__ import annotations

from dataclasses import dataclass

from qwen_webui.types import FinishReason, Message, Role, Usage


@dataclass(frozen=True)
class StoredMessage:
    """One message as it was said and, for an answer, how it came about.

    `stopped` marks an answer that was cut (by the user or by an error): `content` is what had
    arrived, and `finish_reason` is None then. `created` is in seconds since 1970, UTC; 0 lets the
    store put the present time.
    """

    role: Role
    content: str
    persona: str | None = None
    model: str | None = None
    precision: str | None = None
    usage: Usage | None = None
    stopped: bool = False
    finish_reason: FinishReason | None = None
    created: float = 0.0

    @property
    def message(self) -> Message:
        """The same for a ChatTurn's history."""
        return Message(self.role, self.content)


@dataclass(frozen=True)
class ConversationEntry:
    """One line of the list. `messages` is a count; times in seconds since 1970, UTC."""

    id: str
    title: str
    persona: str | None
    created: float
    updated: float
    messages: int


@dataclass(frozen=True)
class Conversation:
    """A whole conversation, oldest message first; times in seconds since 1970, UTC."""

    id: str
    title: str
    persona: str | None
    created: float
    updated: float
    messages: tuple[StoredMessage, ...] = ()

    @property
    def history(self) -> tuple[Message, ...]:
        """The messages for a ChatTurn."""
        return tuple(message.message for message in self.messages)
