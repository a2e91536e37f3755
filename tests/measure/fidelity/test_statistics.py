"""The formulas, against cases worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from qwen_webui.measure.fidelity.statistics import (
    bootstrap,
    divergence,
    mean,
    perplexity,
    share,
    share_flipped,
    wilson,
)


def logs(*values: float) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return np.log(np.array([values]))


def test_a_divergence_by_hand() -> None:
    # p = (1/2, 1/4 | 1/4), q = (1/4, 1/4 | 1/2): 1/2 ln 2 + 0 - 1/4 ln 2 = 1/4 ln 2.
    found = divergence(logs(0.5, 0.25), logs(0.25)[0], logs(0.25, 0.25), logs(0.5)[0])
    assert found == pytest.approx([math.log(2) / 4])


def test_nothing_diverges_from_itself_with_or_without_a_tail() -> None:
    assert divergence(logs(0.7, 0.2), logs(0.1)[0], logs(0.7, 0.2), logs(0.1)[0])[0] == 0
    assert divergence(logs(0.7, 0.3), logs(0.0)[0], logs(0.7, 0.3), logs(0.0)[0])[0] == 0
    # What the reference never says costs nothing, whatever the other makes of it.
    assert divergence(logs(1.0, 0.0), logs(0.0)[0], logs(1.0, 0.0), logs(0.0)[0])[0] == 0
    half = divergence(logs(1.0, 0.0), logs(0.0)[0], logs(0.5, 0.25), logs(0.25)[0])
    assert half == pytest.approx([math.log(2)])


def test_joining_ids_to_a_tail_never_raises_the_divergence() -> None:
    draw = np.random.default_rng(1)
    p, q = draw.dirichlet(np.full(40, 0.2), 200), draw.dirichlet(np.full(40, 0.2), 200)
    p = -np.sort(-p)
    lp, lq = np.log(p + 1e-300), np.log(q + 1e-300)
    nothing = np.full(200, -np.inf)
    before = np.zeros(200)
    for kept in (1, 5, 20, 39):
        tails = [np.log(one[:, kept:].sum(1)) for one in (p, q)]
        cut = divergence(lp[:, :kept], tails[0], lq[:, :kept], tails[1])
        assert (cut >= before - 1e-9).all(), "more ids tell more"
        before = cut
    assert (divergence(lp, nothing, lq, nothing) >= before - 1e-9).all()


def test_perplexity_by_hand() -> None:
    # Probabilities 1/2 and 1/8 of what followed: their geometric mean is 1/4.
    found = perplexity(-np.log([0.5, 0.125]), np.array([0, 0]))
    assert (found.value, found.low, found.high, found.n) == (pytest.approx(4), None, None, 2)


def test_flips_have_an_interval_where_none_was_seen() -> None:
    block = np.arange(640) // 64
    none = share_flipped(np.zeros(640, bool), block)
    assert (none.value, none.low) == (0, 0)
    assert none.high == pytest.approx(wilson(0, 640)[1])
    # All in one block: what a sample of single positions would not show.
    lumped = share_flipped(block == 3, block)
    assert lumped.value == pytest.approx(0.1)
    assert lumped.high is not None and lumped.high > wilson(64, 640)[1]


def test_the_interval_of_a_share_is_wilsons() -> None:
    found = share(8, 10)
    assert found is not None and (found.value, found.n) == (0.8, 10)
    assert (found.low, found.high) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert share(0, 0) is None


def test_a_bootstrap_is_the_same_every_time_and_knows_blocks_that_are_alike() -> None:
    values, block = np.random.default_rng(2).normal(size=200), np.arange(200) // 10
    assert bootstrap(values, block) == bootstrap(values, block)
    assert bootstrap(np.full(200, 3.0), block) == (3.0, 3.0)
    assert bootstrap(values, np.zeros(200, int)) == (None, None)
    # Two blocks, 0 and 1: a mean of two draws is 0, 1/2 or 1, the ends once in four times each.
    assert bootstrap(np.array([0.0, 1.0]), np.array([0, 1])) == (0.0, 1.0)


def test_intervals_of_what_hangs_together_hold_the_truth() -> None:
    """Of an autoregressive series, 95 % in about 95 of 100; single positions would be half that."""
    draw = np.random.default_rng(3)
    held = {1: 0, 64: 0}
    series = draw.normal(size=(2_048, 100))
    for place in range(1, 2_048):
        series[place] += 0.8 * series[place - 1]
    for values in series.T:
        for length in held:
            found = bootstrap(values, np.arange(2_048) // length, draws=100)
            assert found[0] is not None and found[1] is not None
            held[length] += found[0] <= 0 <= found[1]
    assert held[64] >= 85 and held[1] <= 70


def test_a_last_block_that_is_shorter_weighs_less() -> None:
    found = mean(np.array([1.0, 1.0, 1.0, 5.0]), np.array([0, 0, 0, 1]))
    assert (found.value, found.low, found.high) == (2.0, 1.0, 5.0)
