"""In place of a tokenizer whose files are not on this computer: lengths are guessed.

Only for engines elsewhere, which count for themselves and have the last word. Nothing that needs
real tokens works with it, and says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any, NoReturn

from qwen_webui.errors import InvalidRequest
from qwen_webui.tokens.tokenizer import ChatTokenizer
from qwen_webui.types import Message

# UTF-8 bytes a token. English has about four, Chinese about four and a half: a guess that is
# rather too long leaves history out a little early, one too short is refused elsewhere.
BYTES_PER_TOKEN = 3
# What a template writes around one message.
TOKENS_PER_MESSAGE = 5


class EstimatedTokenizer(ChatTokenizer):
    """Guesses lengths; knows no tokens."""

    exact = False

    def __init__(self) -> None:
        """Nothing is read, so nothing of the base is set up."""

    @property
    def stop_ids(self) -> tuple[int, ...]:
        """None are known."""
        return ()

    @property
    def vocabulary(self) -> int:
        """No token is known."""
        return 0

    def encode_chat(
        self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]] = ()
    ) -> NoReturn:
        """Raises InvalidRequest."""
        raise _unknown()

    def encode_prompt(self, prompt: str | Sequence[int]) -> list[int]:
        """Ids as they are. Raises InvalidRequest for a text."""
        if isinstance(prompt, str):
            raise _unknown()
        return list(prompt)

    def encode(self, text: str) -> NoReturn:
        """Raises InvalidRequest."""
        raise _unknown()

    def count_chat(
        self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]] = ()
    ) -> int:
        """About how many tokens the conversation has."""
        calls = [(call.name, call.arguments) for m in messages for call in m.tool_calls]
        told = "".join(map(str, (*tools, *calls)))
        texts = sum(self.count(message.content) for message in messages) + self.count(told)
        return texts + TOKENS_PER_MESSAGE * (len(messages) + 1)

    def count_prompt(self, prompt: str | Sequence[int]) -> int:
        """About how many tokens a raw prompt has."""
        return self.count(prompt) if isinstance(prompt, str) else len(prompt)

    def count(self, text: str) -> int:
        """About how many tokens a text has."""
        return ceil(len(text.encode("utf-8", "replace")) / BYTES_PER_TOKEN)

    def token_text(self, token_id: int) -> str:
        """Empty: unknown."""
        return ""

    def token_bytes(self, token_id: int) -> bytes:
        """Empty: unknown."""
        return b""


def _unknown() -> InvalidRequest:
    return InvalidRequest(
        "The tokens of this model are not known here: another server computes it, and its "
        "tokenizer's files are not on this computer. Ask for an answer to messages or to a text, "
        "without log-probabilities.",
        code="unsupported_parameter",
    )
