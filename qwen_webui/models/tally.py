"""Counts what the manager was asked and what came of it, since the start of the program.

Numbers only, kept by the event loop alone, so that nothing is locked for a token. Who shows them
is measure/monitor/'s.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, deque
from dataclasses import dataclass
from typing import Literal

from qwen_webui.errors import WebUIError
from qwen_webui.types import EngineInfo, Finished, FinishReason, GenerationEvent, TextDelta, Usage

# How a request to the model ended. "cancelled": whoever asked went away or stopped it.
Outcome = FinishReason | Literal["cancelled", "error"]
LoadOutcome = Literal["loaded", "failed", "cancelled"]

MOST_CODES = 64
RECENT = 20  # answers whose first token is remembered
OUR_FAULT = "internal_error"  # errors.WebUIError's own code, for what is none of its kind
# Upper ends of histogram buckets; each is about double the one before.
FIRST_TOKEN_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
REQUEST_SECONDS = (0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
TOKENS_PER_SECOND = (1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 640.0)


@dataclass(frozen=True)
class Served:
    """Which checkpoint answered; the labels of every count. Both are empty when there was none."""

    model: str = ""
    precision: str = ""

    @classmethod
    def of(cls, info: EngineInfo | None) -> Served:
        """The loaded checkpoint's, if there is one."""
        if info is None:
            return cls()
        return cls(info.checkpoint.name, info.checkpoint.precision)


class Histogram:
    """How many values fell in which bucket; `ends` are the buckets' upper ends."""

    def __init__(self, ends: tuple[float, ...]) -> None:
        self.ends = ends
        self.counts = [0] * (len(ends) + 1)  # the last is for values above every end
        self.total = 0.0

    def add(self, value: float) -> None:
        """One more value."""
        self.counts[bisect_left(self.ends, value)] += 1
        self.total += value


class Answered:
    """All that one checkpoint answered."""

    def __init__(self) -> None:
        self.outcomes: Counter[Outcome] = Counter()
        self.prompt_tokens = 0
        self.completion_tokens = 0
        self.cached_tokens = 0
        self.first_token = Histogram(FIRST_TOKEN_SECONDS)
        self.seconds = Histogram(REQUEST_SECONDS)
        self.speed = Histogram(TOKENS_PER_SECOND)


class Tally:
    """`tokens` are those of all answers; `first_tokens` the delays of the last answers, in seconds,
    the newest last; `finished` counts the answers that ended whole."""

    def __init__(self) -> None:
        self.tokens = 0
        self.finished = 0
        self.answered: dict[Served, Answered] = {}
        self.errors: Counter[str] = Counter()
        self.loads: Counter[LoadOutcome] = Counter()
        self.first_tokens: deque[float] = deque(maxlen=RECENT)

    def begin(self) -> Count:
        """For one request, from before it stands in line to its end."""
        return Count(self)

    def of(self, served: Served) -> Answered:
        """What `served` answered; made with the first of it."""
        return self.answered.setdefault(served, Answered())


class Count:
    """One request. `served` is set once the engine is lent."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._tokens = 0
        self._usage: Usage | None = None
        self._outcome: Outcome = "cancelled"
        self.served = Served()

    def saw(self, event: GenerationEvent) -> None:
        """Each event on its way out. A server that does not say which tokens a text is made of is
        counted a token a piece until its last word, which is right."""
        if isinstance(event, TextDelta):
            self._more(len(event.token_ids) or bool(event.text))
        elif isinstance(event, Finished):
            self._more(max(0, event.usage.completion_tokens - self._tokens))
            self._usage, self._outcome = event.usage, event.reason

    def failed(self, error: Exception) -> None:
        """It ended with `error`."""
        self._outcome = "error"
        code = error.code if isinstance(error, WebUIError) else OUR_FAULT
        errors = self._tally.errors
        # Another server may name its errors as it likes; here the names are to stay few.
        errors[code if code in errors or len(errors) < MOST_CODES else OUR_FAULT] += 1

    def end(self) -> None:
        """It is over, however it ended."""
        answered = self._tally.of(self.served)
        answered.outcomes[self._outcome] += 1
        usage = self._usage
        if usage is None:
            return
        self._tally.finished += 1
        self._tally.first_tokens.append(usage.seconds_to_first_token)
        answered.prompt_tokens += usage.prompt_tokens
        answered.cached_tokens += usage.cached_tokens
        answered.first_token.add(usage.seconds_to_first_token)
        answered.seconds.add(usage.seconds)
        if usage.tokens_per_second > 0:
            answered.speed.add(usage.tokens_per_second)

    def _more(self, tokens: int) -> None:
        self._tokens += tokens
        self._tally.tokens += tokens
        self._tally.of(self.served).completion_tokens += tokens
