"""What the store takes and gives: a message, a conversation, a run, a line of a list.

No SQL and no files here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from qwen_webui.types import Citations, FinishReason, Message, Role, Sources, Usage


@dataclass(frozen=True)
class StoredMessage:
    """One message as it was said and, for an answer, how it came about.

    `stopped` marks an answer that was cut (by the user or by an error): `content` is what had
    arrived, and `finish_reason` is None then. `created` is in seconds since 1970, UTC; 0 lets the
    store put the present time. `sources` and `citations` are of an answer about documents.
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
    sources: Sources | None = None
    citations: Citations | None = None

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


# "valid": finished, and checked against its schema. "stopped": `answer` is what had arrived.
# "failed": so too, and `error` is the code of what went wrong.
RunOutcome = Literal["valid", "stopped", "failed"]


@dataclass(frozen=True)
class JsonRun:
    """One run of the JSON tab: what was asked, word for word, and what came of it.

    `max_new_tokens` None left the length to the program. `closed`: brought to a valid end early,
    to fit it. `id`, `title` and `created` (seconds since 1970, UTC) are the store's to fill.
    """

    prompt: str
    schema: str
    answer: str
    outcome: RunOutcome
    max_new_tokens: int | None = None
    closed: bool = False
    error: str = ""
    model: str | None = None
    precision: str | None = None
    usage: Usage | None = None
    sources: Sources | None = None
    id: str = ""
    title: str = ""
    created: float = 0.0


@dataclass(frozen=True)
class JsonRunEntry:
    """One line of the list of runs."""

    id: str
    title: str
    outcome: RunOutcome
    model: str | None
    created: float


@dataclass(frozen=True)
class StoredDocument:
    """One uploaded document, without its text. `pages` is how many, each of kind `unit`; `bytes`
    the size of the file. One without a conversation is deleted at `expires` (seconds since 1970,
    UTC, as `created`); the others die with theirs. `to_recognise`: pages that only OCR can read.
    `original` false: pasted text, which has no file. `revision` counts what OCR changed."""

    id: str
    name: str
    kind: str
    unit: str
    pages: int
    bytes: int
    created: float
    conversation: str | None = None
    expires: float | None = None
    to_recognise: tuple[int, ...] = ()
    original: bool = True
    revision: int = 0
