"""Parts of a plain completion, of the prompt or of what follows it, and their shape on the wire."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from qwen_webui.api.openai.echoes import Echo
from qwen_webui.api.openai.shapes import TextChoice, TextLogprobs
from qwen_webui.types import Finished, TextDelta, Usage


@dataclass(frozen=True)
class Token:
    """`logprob` is None where nothing stands before it; `top` is empty where none is known."""

    text: str
    logprob: float | None
    top: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Piece:
    """Text with its tokens, if they are told; the last piece of an answer has reason and usage."""

    text: str = ""
    tokens: tuple[Token, ...] = ()
    reason: Literal["stop", "length"] | None = None
    usage: Usage | None = None

    @classmethod
    def of_echo(cls, echo: Echo, *, last: bool) -> Piece:
        """The prompt; `last` if nothing follows it."""
        tokens: tuple[Token, ...] = ()
        if echo.logprobs is not None:
            known = (None, *echo.logprobs)
            tokens = tuple(Token(t, value) for t, value in zip(echo.tokens, known, strict=True))
        if not last:
            return cls(echo.text, tokens)
        return cls(echo.text, tokens, "length", Usage(len(echo.tokens), 0, 0, 0.0, 0.0))

    @classmethod
    def of_text(cls, event: TextDelta) -> Piece:
        """What was generated."""
        tokens = tuple(
            Token(told.text, told.logprob, tuple((text, value) for _, text, value in told.top))
            for told in event.logprobs
        )
        return cls(event.text, tokens)

    @classmethod
    def of_end(cls, event: Finished) -> Piece:
        """The end of an answer."""
        assert event.reason != "tool_calls", "without tools there are no calls"
        return cls("", (), event.reason, event.usage)


def joined(pieces: Sequence[Piece]) -> Piece:
    """All pieces of an answer as one."""
    return Piece(
        "".join(piece.text for piece in pieces),
        tuple(token for piece in pieces for token in piece.tokens),
        pieces[-1].reason,
        pieces[-1].usage,
    )


class PieceWriter:
    """Makes the choices of one answer; `logprobs` as it was asked for."""

    def __init__(self, index: int, logprobs: int | None) -> None:
        self._index = index
        self._logprobs = logprobs
        self._offset = 0

    def choice(self, piece: Piece) -> TextChoice:
        """One piece. Offsets count in characters from the start of the answer's text."""
        told = None
        if self._logprobs is not None:
            told = TextLogprobs(
                tokens=[token.text for token in piece.tokens],
                token_logprobs=[token.logprob for token in piece.tokens],
                top_logprobs=[dict(token.top) for token in piece.tokens]
                if self._logprobs
                else None,
                text_offset=self._offsets(piece),
            )
        return TextChoice(
            index=self._index, text=piece.text, logprobs=told, finish_reason=piece.reason
        )

    def _offsets(self, piece: Piece) -> list[int]:
        offsets = []
        for token in piece.tokens:
            offsets.append(self._offset)
            self._offset += len(token.text)
        return offsets
