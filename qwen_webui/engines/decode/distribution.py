"""Which tokens may be drawn, and how likely each: temperature, top_k, top_p and min_p for a batch.

The order and the borders are those of transformers' warpers, which the tests hold it to. Draws
nothing (sampling.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from qwen_webui.engines.decode.transfer import sent

# Below it float32 overflows, and the draw is greedy anyway.
LEAST_TEMPERATURE = 1e-4
# Rows with a top_k up to half of this are cut to so many candidates; equal scores at the border
# stay together as long as they are no more than that.
NARROW = 128


@dataclass(frozen=True, slots=True)
class Shaping:
    """What makes a request's distribution out of scores. top_k 0, top_p 1 and min_p 0 are off."""

    temperature: float
    top_k: int
    top_p: float
    min_p: float

    @property
    def greedy(self) -> bool:
        """Whether the best token is taken."""
        return self.temperature < LEAST_TEMPERATURE

    @property
    def width(self) -> int:
        """How many candidates must be put in order: NARROW, 0 for none, -1 for all."""
        if 0 < self.top_k <= NARROW // 2:
            return NARROW
        return 0 if self.top_k == 0 and self.top_p >= 1.0 else -1


class Candidates(NamedTuple):
    """Float64 probabilities that sum to 1, and their tokens; both [rows, candidates]."""

    probabilities: Tensor
    tokens: Tensor


def candidates(scores: Tensor, shapings: list[Shaping]) -> Candidates:
    """Of `scores` [rows, vocabulary]; all rows of one width, none greedy."""
    width = shapings[0].width
    scaled = scores / _column([s.temperature for s in shapings], scores)
    vocabulary = scores.shape[1]
    if width == 0:
        values, tokens = scaled, torch.arange(vocabulary, device=scores.device).expand_as(scaled)
    elif 0 < width < vocabulary:
        values, tokens = torch.topk(scaled, width)
    else:
        values, tokens = torch.sort(scaled, descending=True, stable=True)
    if width:
        values = _within_top_k(values, [s.top_k for s in shapings])
        values = _within_top_p(values, _column([s.top_p for s in shapings], scores))
    if any(s.min_p for s in shapings):
        probabilities = torch.softmax(values, -1)
        least = probabilities.amax(-1, keepdim=True) * _column([s.min_p for s in shapings], scores)
        values = values.masked_fill(probabilities < least, -torch.inf)
    return Candidates(torch.softmax(values.double(), -1), tokens)


def drawn(found: Candidates, uniforms: Tensor) -> Tensor:
    """One token a row, [rows]: where the uniform number falls among the summed probabilities."""
    sums = found.probabilities.cumsum(-1)
    places = torch.searchsorted(sums, uniforms[:, None] * sums[:, -1:], right=True)
    # A number just below 1 may be rounded to the sum of all: the last that is possible then.
    last = (sums < sums[:, -1:]).sum(-1, keepdim=True)
    return found.tokens.gather(1, torch.minimum(places, last))[:, 0]


def _within_top_k(values: Tensor, top_k: list[int]) -> Tensor:
    """Descending `values`; 0 stands for all. Those equal to the last are kept."""
    most = values.shape[1]
    last = sent([min(k or most, most) - 1 for k in top_k], values.device)
    return values.masked_fill(values < values.gather(1, last[:, None]), -torch.inf)


def _within_top_p(values: Tensor, top_p: Tensor) -> Tensor:
    """Descending `values`: as long as those before are less likely than top_p together."""
    probabilities = torch.softmax(values, -1)
    over = probabilities.cumsum(-1) - probabilities >= top_p
    # The best is always kept, and 1 cuts nothing, however sums are rounded.
    over[:, 0] = False
    return values.masked_fill(over & (top_p < 1.0), -torch.inf)


def _column(numbers: list[float], like: Tensor) -> Tensor:
    return sent(numbers, like.device)[:, None]
