"""The formulas: divergence, flips, perplexity, and the intervals around them.

Arrays in, values out. Sources stand in definitions.py; runs no model.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qwen_webui.measure.fidelity.report import Figure

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Integers = NDArray[np.int64]

BLOCK = 64
DRAWS = 2_000
SEED = 0
Z95 = 1.959964


@dataclass(frozen=True)
class Positions:
    """Of each position of a text: bootstrap block, minus log-probability of the token that follows
    by the reference and by the quantised checkpoint, divergence, and whether the argmax differs."""

    block: Integers
    reference: Floats
    quantised: Floats
    divergence: Floats
    flipped: Bools


def divergence(logp: Floats, tail_p: Floats, logq: Floats, tail_q: Floats) -> Floats:
    """D(p || q) in nats of each row, over the ids [rows, ids] and all others as one ("tail").

    Joining ids never raises a divergence (the data-processing inequality), so this is a lower
    bound of the one over the whole vocabulary. Rounding of float32 log-probabilities leaves up to
    about 1e-6 a row, of either sign.
    """
    p, tail = np.exp(logp), np.exp(tail_p)
    with np.errstate(invalid="ignore"):  # minus infinity on both sides, which costs nothing
        inside = np.where(p > 0, p * (logp - logq), 0.0).sum(-1)
        outside = np.where(tail > 0, tail * (tail_p - tail_q), 0.0)
    found: Floats = inside + outside
    return found


def mean(values: Floats | Bools, block: Integers) -> Figure:
    """The mean with the interval of a bootstrap over blocks."""
    value = float(np.mean(values, dtype=float))
    low, high = bootstrap(values, block)
    return Figure(value, low, high, len(values))


def share_flipped(flipped: Bools, block: Integers) -> Figure:
    """As `mean`; where next to nothing flips, resampling sees no spread and Wilson's stands."""
    found = mean(flipped, block)
    low, high = wilson(int(flipped.sum()), len(flipped))
    if found.low is None or found.high is None:
        return Figure(found.value, low, high, found.n)
    return Figure(found.value, min(low, found.low), max(high, found.high), found.n)


def perplexity(surprise: Floats, block: Integers) -> Figure:
    """exp of the mean of minus log-probabilities, and of its interval's ends."""
    found = mean(surprise, block)
    low = None if found.low is None else math.exp(found.low)
    high = None if found.high is None else math.exp(found.high)
    return Figure(math.exp(found.value), low, high, found.n)


def bootstrap(
    values: Floats | Bools, block: Integers, draws: int = DRAWS, seed: int = SEED
) -> tuple[float | None, float | None]:
    """The 2.5 and 97.5 percentiles of means of blocks drawn again; None from a single block."""
    _, at = np.unique(block, return_inverse=True)
    sums, counts = np.bincount(at, weights=values), np.bincount(at)
    if len(counts) < 2:
        return None, None
    chosen = np.random.default_rng(seed).integers(0, len(counts), (draws, len(counts)))
    means = sums[chosen].sum(1) / counts[chosen].sum(1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def share(passed: int, total: int) -> Figure | None:
    """A share with Wilson's interval; None of nothing."""
    if not total:
        return None
    return Figure(passed / total, *wilson(passed, total), total)


def wilson(passed: int, total: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a rate (E. B. Wilson, 1927)."""
    rate = passed / total
    middle = rate + Z95 * Z95 / (2 * total)
    spread = Z95 * math.sqrt(rate * (1 - rate) / total + Z95 * Z95 / (4 * total * total))
    scale = 1 + Z95 * Z95 / total
    return max((middle - spread) / scale, 0.0), min((middle + spread) / scale, 1.0)
