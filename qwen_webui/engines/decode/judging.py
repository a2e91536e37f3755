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


class Judge:
    """For one constrained answer; `post` gives a verdict to the scheduler."""

    def __init__(self, guide: Guide, post: Callable[[Verdict], None]) -> None:
        self._guide = guide
        self._post = post
        self._words: Tensor | None = None
        self._draws = 0

    def first(self) -> Verdict:
        """What may come first."""
        return Verdict(self._ahead())

    def stands(self, token: int) -> bool:
        """Whether `token` is part of the answer; if not, another is asked for."""
        if self._words is None or self._guide.take(token):
            return True
        self._draws -= 1
        self._words = self._words.clone()
        self._words[token // 32] &= ~_bit(token)
        if self._draws == 0 or not bool(self._words.any()):
            self._post(Verdict(self._settled(self._guide.close()), redo=True))
        else:
            self._post(Verdict(Mask(None, self._words), redo=True))
        return False

    def go_on(self) -> None:
        """The last token stands and more may follow."""
        self._post(Verdict(self._ahead()))

    def _ahead(self) -> Mask:
        if self._guide.closing:
            return self._settled(self._guide.close())
        only = self._guide.look()
        if only is not None:
            return self._settled(only if self._guide.take(only) else self._guide.close())
        self._words, self._draws = self._guide.allowed(), DRAWS
        return Mask(None, self._words)

    def _settled(self, token: int) -> Mask:
        """A token that the guide has taken already."""
        self._words = None
        return Mask(token, None)


def _bit(token: int) -> int:
    """Bit `token` % 32 as an int32 has it."""
    bit = 1 << (token % 32)
    return bit - 2**32 if bit >= 2**31 else bit
