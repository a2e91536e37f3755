"""What an engine, or the line before it, says while it answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from qwen_webui.types.reading import Citations, Sources

FinishReason = Literal["stop", "length", "tool_calls"]


@dataclass(frozen=True)
class Usage:
    """Token counts and wall-clock seconds of one answer, as measured in the worker. An answer made
    by several calls has the sum of their tokens, seconds from the start of the first one, and in
    `decode_seconds` how long tokens came in all calls."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    seconds_to_first_token: float
    seconds: float
    decode_seconds: float | None = None

    @property
    def tokens_per_second(self) -> float:
        """Decode speed: tokens after the first over the time after the first."""
        decode = self.decode_seconds
        if decode is None:
            decode = self.seconds - self.seconds_to_first_token
        return (self.completion_tokens - 1) / decode if decode > 0 else 0.0


@dataclass(frozen=True)
class TokenLogprob:
    """Natural-log probability of one token, with the alternatives that were asked for."""

    token_id: int
    text: str
    logprob: float
    top: tuple[tuple[int, str, float], ...] = ()


@dataclass(frozen=True)
class Queued:
    """The request waits; `place` 1 is next. `why` says for which job, where it is one."""

    place: int
    why: str | None = None


@dataclass(frozen=True)
class Progress:
    """`done` of `total` in `unit` (bytes, tokens) of the work that `stage` names."""

    stage: str
    done: int
    total: int
    unit: str


@dataclass(frozen=True)
class LeftOut:
    """Whole turns of history, oldest first, that did not fit and were not sent."""

    turns: int
    tokens: int


@dataclass(frozen=True)
class TextDelta:
    """Text to append; empty while a character or a stop string is incomplete."""

    text: str
    token_ids: tuple[int, ...] = ()
    logprobs: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True)
class ToolCallDelta:
    """A piece of the call at `index` (0 is the first of the answer), made of the text by chat/, not
    by an engine. The first piece of a call has its `name`; `arguments` is JSON text to append."""

    index: int
    name: str = ""
    arguments: str = ""


@dataclass(frozen=True)
class Finished:
    """Exactly once, last. A cancelled stream has none. `closed`: the answer was brought to a valid
    end early, because a constraint's budget of tokens would have cut it."""

    reason: FinishReason
    usage: Usage
    closed: bool = False


# Sources and Citations are made by chat/, of a question about documents, not by an engine.
GenerationEvent = (
    Queued | Progress | LeftOut | Sources | TextDelta | ToolCallDelta | Citations | Finished
)
