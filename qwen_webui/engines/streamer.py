"""Tokens on their way out of `generate`: text, counts and the reason to stop, a token at a time.

One TokenStreamer for each request, in the thread that generates. Does not choose tokens
(sampler.py) and does not compute them.
"""

from __future__ import annotations

import time
from typing import Protocol

from torch import Tensor
from transformers.generation.streamers import BaseStreamer

from qwen_webui.engines.cancelling import Ticket
from qwen_webui.engines.constraint import Guide
from qwen_webui.engines.progress import Emit
from qwen_webui.engines.stops import StopFilter
from qwen_webui.tokens import ChatTokenizer
from qwen_webui.types import Finished, FinishReason, TextDelta, TokenLogprob, Usage


class AnswerComplete(Exception):
    """Raised out of `generate`, which has no other way to stop now."""


class Chooser(Protocol):
    """Who chose the tokens, as far as their text is concerned."""

    @property
    def guide(self) -> Guide | None:
        """What keeps the answer to its constraint."""
        ...

    @property
    def complete(self) -> bool:
        """Whether nothing can follow the token chosen last."""
        ...

    def report(self) -> tuple[TokenLogprob, ...]:
        """Of the token chosen last; empty unless asked for."""
        ...


class TokenStreamer(BaseStreamer):
    """What `generate` gives its tokens to.

    Not a TextIteratorStreamer: that one decodes the whole line again at each token, holds
    Chinese punctuation back, and knows neither counts nor stop strings. Nor does it need a
    queue: the worker's pipe is one.
    """

    def __init__(
        self,
        tokenizer: ChatTokenizer,
        sampler: Chooser,
        stop: tuple[str, ...],
        ticket: Ticket,
        emit: Emit,
    ) -> None:
        self._first = ticket.issued
        self.count = 0
        # Of the prompt, tokens that need not be computed.
        self.cached = 0
        self._stop_ids = frozenset(tokenizer.stop_ids)
        self._decoder = tokenizer.stream()
        self._sampler = sampler
        self._filter = StopFilter(stop)
        self._ticket = ticket
        self._emit = emit
        self._prompt: int | None = None
        self._reason: FinishReason = "length"

    def put(self, value: Tensor) -> None:
        """First the prompt, then one token a call."""
        if self._prompt is None:
            self._prompt = value.numel()
        else:
            self.push(int(value))

    def push(self, token: int) -> None:
        """One token of the answer. Raises AnswerComplete where nothing may follow it."""
        self._ticket.check()
        if not self.count:
            self._first = time.monotonic()
        if token in self._stop_ids:
            self._reason = "stop"
            return
        self.count += 1
        text = self._filter.push(self._decoder.push(token))
        self._emit(TextDelta(text, (token,), self._sampler.report()))
        if self._filter.stopped or self._sampler.complete:
            self._reason = "stop"
            raise AnswerComplete

    def end(self) -> None:
        """`generate` calls this after its last token; everything waits for `finish`."""

    def finish(self) -> None:
        """Emit what was held back, then the end of the stream."""
        assert self._prompt is not None, "generate gives the prompt first"
        text = self._filter.push(self._decoder.flush()) + self._filter.flush()
        if self._filter.stopped:
            self._reason = "stop"
        if text:
            self._emit(TextDelta(text))
        now = time.monotonic()
        first = self._first if self.count else now
        usage = Usage(
            self._prompt,
            self.count,
            self.cached,
            first - self._ticket.issued,
            now - self._ticket.issued,
        )
        guide = self._sampler.guide
        reason, closed = guide.ending(self._reason) if guide else (self._reason, False)
        self._emit(Finished(reason, usage, closed))
