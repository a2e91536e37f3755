"""The events of chat answers, put into OpenAI's chunks or gathered into one completion."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from qwen_webui.api.openai.shapes import (
    CallDelta,
    CallOut,
    ChoiceDelta,
    ChoiceOut,
    Delta,
    FunctionDelta,
    FunctionOut,
    LogprobsOut,
    MessageOut,
    TokenOut,
)
from qwen_webui.tokens import ChatTokenizer
from qwen_webui.types import Finished, TextDelta, TokenLogprob, ToolCallDelta


def call_id() -> str:
    """A name for a call; the answer with its result refers to it."""
    return f"call_{secrets.token_hex(12)}"


class ChoiceWriter:
    """Makes the chunks of one answer; the first has the role."""

    def __init__(self, index: int, tokenizer: ChatTokenizer) -> None:
        self._index = index
        self._tokenizer = tokenizer
        self._begun = False
        self._calls: set[int] = set()

    def chunks(self, event: TextDelta | ToolCallDelta | Finished) -> list[ChoiceDelta]:
        """What to send for one event."""
        made: list[ChoiceDelta] = []
        if not self._begun:
            self._begun = True
            content = None if isinstance(event, ToolCallDelta) else ""
            made.append(self._choice(Delta(role="assistant", content=content)))
        if isinstance(event, Finished):
            made.append(self._choice(Delta(), reason=event))
        elif isinstance(event, ToolCallDelta):
            made.append(self._choice(Delta(tool_calls=[self._call(event)])))
        elif event.text or event.logprobs:
            told = logprobs_of(event.logprobs, self._tokenizer) if event.logprobs else None
            made.append(self._choice(Delta(content=event.text), logprobs=told))
        return made

    def _call(self, event: ToolCallDelta) -> CallDelta:
        if event.index in self._calls:
            more = FunctionDelta(arguments=event.arguments)
            return CallDelta(index=event.index, function=more)
        self._calls.add(event.index)
        first = FunctionDelta(name=event.name, arguments=event.arguments)
        return CallDelta(index=event.index, id=call_id(), type="function", function=first)

    def _choice(
        self, delta: Delta, *, logprobs: LogprobsOut | None = None, reason: Finished | None = None
    ) -> ChoiceDelta:
        return ChoiceDelta(
            index=self._index,
            delta=delta,
            logprobs=logprobs,
            finish_reason=reason.reason if reason else None,
        )


@dataclass
class Gathered:
    """One answer while it comes."""

    text: list[str] = field(default_factory=list)
    names: dict[int, str] = field(default_factory=dict)
    arguments: dict[int, list[str]] = field(default_factory=dict)
    logprobs: list[TokenLogprob] = field(default_factory=list)
    finished: Finished | None = None

    def take(self, event: TextDelta | ToolCallDelta | Finished) -> None:
        """Add what came."""
        if isinstance(event, TextDelta):
            self.text.append(event.text)
            self.logprobs += event.logprobs
        elif isinstance(event, ToolCallDelta):
            if event.index not in self.names:
                self.names[event.index] = event.name
            self.arguments.setdefault(event.index, []).append(event.arguments)
        else:
            self.finished = event

    @property
    def end(self) -> Finished:
        """How it ended."""
        assert self.finished is not None, "an answer that raises nothing ends with Finished"
        return self.finished

    def choice(self, index: int, tokenizer: ChatTokenizer, *, logprobs: bool) -> ChoiceOut:
        """The whole answer."""
        text = "".join(self.text)
        message = MessageOut(role="assistant", content=text, refusal=None)
        if self.names:
            message.content = text or None
            message.tool_calls = [
                CallOut(
                    id=call_id(),
                    type="function",
                    function=FunctionOut(name=name, arguments="".join(self.arguments[place])),
                )
                for place, name in self.names.items()
            ]
        return ChoiceOut(
            index=index,
            message=message,
            logprobs=logprobs_of(self.logprobs, tokenizer) if logprobs else None,
            finish_reason=self.end.reason,
        )


def logprobs_of(
    told: tuple[TokenLogprob, ...] | list[TokenLogprob], tokenizer: ChatTokenizer
) -> LogprobsOut:
    """As OpenAI's clients read them."""
    return LogprobsOut(content=[TokenOut.of(one, tokenizer) for one in told], refusal=None)
