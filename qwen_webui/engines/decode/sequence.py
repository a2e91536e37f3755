"""One request between the thread that asked and the thread that owns the device.

The scheduler moves it from the line to a row and says what comes of it; the thread that asked
reads that and turns it into text. Neither computes here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from queue import SimpleQueue

from torch import Tensor

from qwen_webui.engines.cancelling import Ticket
from qwen_webui.engines.decode.pages import Holding
from qwen_webui.engines.decode.sampling import Choice, Drawing, Mask, Sampler
from qwen_webui.engines.scoring import Reading


@dataclass(frozen=True, slots=True)
class Placed:
    """It waits in line; 1 is next."""

    place: int


@dataclass(frozen=True, slots=True)
class Entered:
    """So many tokens of the prompt are about to be computed, the cached ones counted."""

    tokens: int


@dataclass(frozen=True, slots=True)
class Said:
    """The next token of the answer. Of a constrained one it stands only once it was judged."""

    choice: Choice


@dataclass(frozen=True, slots=True)
class Ended:
    """Nothing comes after it."""

    error: Exception | None = None


News = Placed | Entered | Said | Ended


@dataclass(frozen=True, slots=True)
class Verdict:
    """Of the thread that asked on the last token of a constrained answer: it stands, and `mask`
    is for the next; or, with `redo`, it does not, and `mask` is for another in its place."""

    mask: Mask
    redo: bool = False


@dataclass(slots=True)
class Constrained:
    """What a constrained sequence keeps while its last token is being judged: the logits that it
    was drawn from, and those after it once they are computed. `verdicts` are for the next tokens,
    as far as they are known."""

    verdicts: deque[Verdict]
    drawn_from: Tensor | None = None
    ahead: Tensor | None = None

    @property
    def verdict(self) -> Verdict | None:
        """The next."""
        return self.verdicts[0] if self.verdicts else None


@dataclass(slots=True, eq=False)
class Sequence:
    """An answer in the making: `room` tokens at most. Without a drawing its prompt is
    scored: `reading` takes the logits of every token."""

    prompt: list[int]
    room: int
    stop_ids: frozenset[int]
    ticket: Ticket
    drawing: Drawing | None
    constrained: Constrained | None = None
    news: SimpleQueue[News] = field(default_factory=SimpleQueue)
    holding: Holding | None = None
    row: int = -1
    cached: int = 0
    # Tokens of the prompt that are in the cache.
    entered: int = 0
    # Tokens drawn; on the host those of them that were read.
    drawn: int = 0
    said: list[int] = field(default_factory=list)
    reading: Reading | None = None
    place: int = 0
    # Set by the thread that asked: it wants no more.
    left: bool = False
    over: bool = False

    @property
    def scored(self) -> bool:
        """Whether all of it that is wanted is in the cache, and it is only read."""
        return self.drawing is None and self.entered >= len(self.prompt) - 1

    @property
    def lost(self) -> bool:
        """Whether the sampler has counted a token that never came: drawn again it were another."""
        return self.drawing is not None and self.drawing.index != self.drawn

    @property
    def tokens(self) -> int:
        """Places of the cache that it may come to need."""
        return len(self.prompt) + self.room

    @property
    def position(self) -> int:
        """Where its last drawn token belongs."""
        return len(self.prompt) + self.drawn - 1

    @property
    def computable(self) -> bool:
        """Whether there is a token to compute the next logits from."""
        if self.drawn == 0 or self.drawn >= self.room:
            return False
        if self.constrained is None:
            return True
        return self.constrained.ahead is None and not self.redone

    @property
    def redone(self) -> bool:
        """Whether its last token does not stand."""
        verdict = self.constrained.verdict if self.constrained is not None else None
        return verdict is not None and verdict.redo

    def source(self, sampler: Sampler) -> Tensor | None:
        """What the next token of a constrained answer is drawn from, if its last one was judged.
        What does not stand is unsaid in `sampler`."""
        held, drawing = self.constrained, self.drawing
        if held is None or drawing is None or (verdict := held.verdict) is None:
            return None
        if verdict.redo:
            held.ahead = None
            self.drawn -= 1
            sampler.unsay(drawing, self.said.pop())
        elif held.ahead is None:
            return None
        else:
            held.drawn_from, held.ahead, drawing.attempt = held.ahead, None, 0
        assert held.drawn_from is not None, "a token was drawn from something"
        drawing.mask = verdict.mask
        held.verdicts.popleft()
        return held.drawn_from

    def listen(self) -> Iterator[News]:
        """What comes of it, up to its end. Raises what it ended with."""
        while not isinstance(news := self.news.get(), Ended):
            yield news
        if news.error is not None:
            raise news.error
