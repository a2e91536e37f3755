"""Asking an engine and collecting what it says."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qwen_webui.engines.base import Engine
from qwen_webui.tokens import ChatTokenizer
from qwen_webui.types import (
    Finished,
    FinishReason,
    GenerationEvent,
    GenerationRequest,
    Message,
    Sampling,
    TextDelta,
    TokenLogprob,
    Usage,
)

GREEDY = Sampling(temperature=0.0, repetition_penalty=1.0, max_new_tokens=24)


@dataclass(frozen=True)
class Reply:
    """A whole answer and the events it came in."""

    events: tuple[GenerationEvent, ...]

    @property
    def deltas(self) -> list[TextDelta]:
        """The pieces, in order."""
        return [event for event in self.events if isinstance(event, TextDelta)]

    @property
    def text(self) -> str:
        """All pieces together."""
        return "".join(delta.text for delta in self.deltas)

    @property
    def ids(self) -> tuple[int, ...]:
        """All tokens."""
        return tuple(token for delta in self.deltas for token in delta.token_ids)

    @property
    def logprobs(self) -> list[TokenLogprob]:
        """Of all tokens."""
        return [logprob for delta in self.deltas for logprob in delta.logprobs]

    @property
    def finished(self) -> Finished:
        """The last event."""
        last = self.events[-1]
        assert isinstance(last, Finished)
        return last

    @property
    def reason(self) -> FinishReason:
        """Why it ended."""
        return self.finished.reason

    @property
    def usage(self) -> Usage:
        """What it took."""
        return self.finished.usage


def request(
    text: str = "Tell me a story about the sea, please!", **fields: Any
) -> GenerationRequest:
    """One user turn; greedy, short and without penalties unless `fields` of Sampling differ."""
    values = {name: getattr(GREEDY, name) for name in ("temperature", "max_new_tokens")}
    sampling = Sampling(**{"repetition_penalty": 1.0, **values, **fields})
    return GenerationRequest("test", (Message("user", text),), sampling)


def endless(folder: Path) -> GenerationRequest:
    """A turn that the checkpoint in `folder` cannot end: thousands of tokens."""
    ends = ChatTokenizer.load(folder).stop_ids
    return request(max_new_tokens=8192, logit_bias=tuple((end, -100.0) for end in ends))


async def reply(engine: Engine, asked: GenerationRequest) -> Reply:
    """The whole answer."""
    async with aclosing(engine.stream(asked)) as events:
        return Reply(tuple([event async for event in events]))


async def first_delta(events: AsyncGenerator[GenerationEvent, None]) -> TextDelta:
    """Read up to the first token."""
    async for event in events:
        if isinstance(event, TextDelta):
            return event
    raise AssertionError("the stream ended without a token")
