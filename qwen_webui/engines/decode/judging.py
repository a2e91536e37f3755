"""Keeps one answer to its constraint from the thread that asked, while the device goes on.

The order of questions to the guide is that of the reference path (engines/sampler.py); here each
answer goes to the scheduler as a mask for the next draw.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from qwen_webui.engines.constraint import Guide
from qwen_webui.engines.decode.sampling import Mask
from qwen_webui.engines.decode.sequence import Verdict

# Tokens tried before a constrained answer is brought to its end.
DRAWS = 4
# Tokens that leave no choice, looked up at once.
FAR = 16


class Judge:
    """For one constrained answer; `post` gives verdicts to the scheduler, for the next tokens in
    their order. The guide runs ahead of what was said where there is no choice."""

    def __init__(
        self, guide: Guide, stop_ids: frozenset[int], post: Callable[[list[Verdict]], None]
    ) -> None:
        self._guide, self._stop_ids = guide, stop_ids
        self._post = post
        # What may come where there is a choice, from its verdict on to its token.
        self._words: Tensor | None = None
        self._draws = 0
        # Tokens before that which the guide has taken and nobody has said yet.
        self._settled = 0

    @property
    def complete(self) -> bool:
        """Whether all has been said and nothing can follow."""
        return self._settled == 0 and self._guide.complete

    def first(self) -> list[Verdict]:
        """What may come first."""
        return self._ahead()

    def stands(self, token: int) -> bool:
        """Whether `token` is part of the answer; if not, another is asked for."""
        if self._settled:
            self._settled -= 1
            return True
        assert self._words is not None, "each token has its verdict"
        if self._guide.take(token):
            self._words = None
            return True
        self._draws -= 1
        self._words = self._words.clone()
        self._words[token // 32] &= ~_bit(token)
        mask = Mask(None, self._words)
        if self._draws == 0 or not bool(self._words.any()):
            mask = self._settle(self._guide.close())
        self._post([Verdict(mask, redo=True)])
        return False

    def go_on(self) -> None:
        """The last token stands and more may follow."""
        if self._settled == 0 and self._words is None:
            self._post(self._ahead())

    def _ahead(self) -> list[Verdict]:
        """Up to the next choice."""
        found: list[Verdict] = []
        while len(found) < FAR:
            mask = self._next()
            found.append(Verdict(mask))
            if mask.only is None or mask.only in self._stop_ids or self._guide.complete:
                break
        return found

    def _next(self) -> Mask:
        if self._guide.closing:
            return self._settle(self._guide.close())
        only = self._guide.look()
        if only is not None:
            return self._settle(only if self._guide.take(only) else self._guide.close())
        self._words, self._draws = self._guide.allowed(), DRAWS
        return Mask(None, self._words)

    def _settle(self, token: int) -> Mask:
        """A token that the guide has taken already."""
        self._words = None
        self._settled += 1
        return Mask(token, None)


def _bit(token: int) -> int:
    """Bit `token` % 32 as an int32 has it."""
    bit = 1 << (token % 32)
    return bit - 2**32 if bit >= 2**31 else bit
