"""A token for each column out of its scores: five kernels, whose work is cut up the same way
whatever the batch is. Triton only; sampler.py says what stands where.

No vocabulary is put in order. Scores fall into bins of 1/FINE by (best - score) / temperature, and
every token's probability becomes a whole number, whose sums are the same in any order. Where the
bins that top_k and top_p may need hold no more than MANY tokens, these are sorted and the borders
are exactly those of distribution.py; where they hold more, the bin at the border stays whole, and
the draw goes through the vocabulary in order. A token less likely than 2**-44 of the best is never
drawn there.
"""

from __future__ import annotations

# Signatures of kernels, one name a line, would hide the kernels.
# fmt: off
import triton
import triton.language as tl

# Tokens of a program; bins, and how many of them make a unit of (best - score) / temperature.
BLOCK = tl.constexpr(2048)
BINS = tl.constexpr(2048)
FINE = tl.constexpr(64.0)
# Candidates that are sorted, and how many usually suffice.
FEW = tl.constexpr(128)
MANY = tl.constexpr(1024)
# The best token's probability, as a whole number.
ONE = tl.constexpr(2.0**44)
GREEDY = tl.constexpr(1e-4)

# What is known of a row, by its place in `state`; the first six are float32.
TEMPERATURE = tl.constexpr(0)
TOP_P = tl.constexpr(1)
MIN_P = tl.constexpr(2)
REPETITION = tl.constexpr(3)
PRESENCE = tl.constexpr(4)
FREQUENCY = tl.constexpr(5)
TOP_K = tl.constexpr(6)
SEED_LOW = tl.constexpr(7)
SEED_HIGH = tl.constexpr(8)
INDEX = tl.constexpr(9)
ATTEMPT = tl.constexpr(10)
ONLY = tl.constexpr(11)
PENALIZED = tl.constexpr(12)
BIASED = tl.constexpr(13)
MASKED = tl.constexpr(14)
WIDTH = tl.constexpr(16)


@triton.jit
def number(state, row, place):
    return tl.load(state + row * WIDTH + place).to(tl.float32, bitcast=True)


@triton.jit
def drawing(state, row):
    """Whether anything is drawn: neither greedy nor one token only."""
    only = tl.load(state + row * WIDTH + ONLY)
    return (number(state, row, TEMPERATURE) >= GREEDY) & (only < 0)


@triton.jit
def best_of(tops, column, BLOCKS: tl.constexpr, WIDE: tl.constexpr):
    part = tl.arange(0, WIDE)
    own = tl.load(tops + column * BLOCKS + part, mask=part < BLOCKS, other=float("-inf"))
    return tl.max(own, 0)


@triton.jit
def weighed(scores, best, temperature):
    """(best - score) / temperature, its bin, or BINS where nothing is drawn, and the whole
    probability."""
    distance = (best - scores) / temperature
    possible = (scores > float("-inf")) & (distance < BINS / FINE)
    bins = tl.minimum(distance * FINE, BINS - 1).to(tl.int32)
    mass = (tl.exp(-distance) * ONE).to(tl.int64)
    return distance, tl.where(possible, bins, BINS), tl.where(possible, mass, 0)


@triton.jit
def farthest(state, row):
    """Where min_p ends, as a distance."""
    min_p = number(state, row, MIN_P)
    return tl.where(min_p > 0.0, -tl.log(tl.maximum(min_p, 1e-30)), float("inf"))


@triton.jit
def adjust_kernel(
        logits, rows, state, asked, said, bias, words, scores, tops, places, broken, counts, masses,
        found, VOCABULARY: tl.constexpr, WORDS: tl.constexpr, BLOCKS: tl.constexpr
):
    """scores[column]: the logits with what repeats, bias and mask counted in; the best of each
    block. Clears what the kernels after it count."""
    block = tl.program_id(0)
    column = tl.program_id(1)
    row = tl.load(rows + column)
    token = block * BLOCK + tl.arange(0, BLOCK)
    inside = token < VOCABULARY
    place = column.to(tl.int64) * VOCABULARY + token
    own = tl.load(logits + place, mask=inside, other=float("-inf"))
    finite = (own == own) & (tl.abs(own) < float("inf"))
    wrong = tl.sum((inside & (finite == 0)).to(tl.int32), 0)
    own = tl.where(finite, own, float("-inf"))
    at = row.to(tl.int64) * VOCABULARY + token
    if tl.load(state + row * WIDTH + PENALIZED):
        times = tl.load(said + at, mask=inside, other=0)
        known = tl.load(asked + at, mask=inside, other=0) | (times > 0)
        repetition = number(state, row, REPETITION)
        held = tl.where(own < 0, own * repetition, own / repetition)
        own = tl.where(known, held, own)
        own -= number(state, row, FREQUENCY) * times
        own -= tl.where(times > 0, number(state, row, PRESENCE), 0.0)
    if tl.load(state + row * WIDTH + BIASED):
        own += tl.load(bias + at, mask=inside, other=0.0)
    if tl.load(state + row * WIDTH + MASKED):
        word = tl.load(words + row * WORDS + token // 32, mask=inside, other=0)
        own = tl.where(((word >> (token % 32)) & 1) != 0, own, float("-inf"))
    tl.store(scores + place, own, mask=inside)
    top = tl.max(own, 0)
    first = tl.min(tl.where(own == top, token, VOCABULARY), 0)
    tl.store(tops + column * BLOCKS + block, top)
    tl.store(places + column * BLOCKS + block, first)
    tl.store(broken + column * BLOCKS + block, wrong)
    if block == 0:
        bins = tl.arange(0, BINS)
        tl.store(counts + column * BINS + bins, tl.zeros([BINS], tl.int32))
        tl.store(masses + column * BINS + bins, tl.zeros([BINS], tl.int64))
        tl.store(found + column, 0)


@triton.jit
def bins_kernel(
        rows, state, scores, tops, counts, masses, VOCABULARY: tl.constexpr, BLOCKS: tl.constexpr,
        WIDE: tl.constexpr
):
    """How many tokens each bin holds, and how likely they are together."""
    column = tl.program_id(1)
    row = tl.load(rows + column)
    if drawing(state, row):
        best = best_of(tops, column, BLOCKS, WIDE)
        token = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
        place = column.to(tl.int64) * VOCABULARY + token
        own = tl.load(scores + place, mask=token < VOCABULARY, other=float("-inf"))
        _, bins, mass = weighed(own, best, number(state, row, TEMPERATURE))
        there = bins < BINS
        top_k = tl.load(state + row * WIDTH + TOP_K)
        if (top_k > 0) & (top_k <= BLOCKS):
            # So many blocks have a token at least as good as the best of the last of them: what
            # is worse than that is behind top_k, whatever else there is.
            part = tl.arange(0, WIDE)
            mine = part < BLOCKS
            each = tl.load(tops + column * BLOCKS + part, mask=mine, other=float("-inf"))
            better = tl.sum((each[None, :] > each[:, None]).to(tl.int32), 1)
            least = tl.min(tl.where(better < top_k, each, float("inf")), 0)
            _near, last, _mass = weighed(least, best, number(state, row, TEMPERATURE))
            there = there & (bins <= last)
        tl.atomic_add(counts + column * BINS + bins, 1, mask=there, sem="relaxed")
        tl.atomic_add(masses + column * BINS + bins, mass, mask=there, sem="relaxed")


@triton.jit
def border_kernel(rows, state, counts, masses, cuts, alls):
    """cuts[column]: the last bin that may be needed, and how many tokens there are up to it;
    alls[column]: how likely all are that top_p looks at, where top_k is off."""
    column = tl.program_id(0)
    row = tl.load(rows + column)
    if drawing(state, row):
        bins = tl.arange(0, BINS)
        held = tl.load(counts + column * BINS + bins)
        mass = tl.load(masses + column * BINS + bins)
        up_to = tl.cumsum(held, 0)
        likely = tl.cumsum(mass, 0)
        top_k = tl.load(state + row * WIDTH + TOP_K)
        top_p = number(state, row, TOP_P)
        by_k = BINS - 1
        if top_k > 0:
            by_k = tl.minimum(tl.sum((up_to < top_k).to(tl.int32), 0), BINS - 1)
        tokens = tl.sum(tl.where(bins <= by_k, held, 0), 0)
        total = tl.sum(tl.where(bins <= by_k, mass, 0), 0)
        cut = by_k
        # Where top_k leaves few, the other borders are found among them exactly.
        if (top_k == 0) | (tokens > MANY):
            if top_p < 1.0:
                enough = total.to(tl.float64) * top_p.to(tl.float64)
                cut = tl.minimum(cut, tl.sum((likely.to(tl.float64) < enough).to(tl.int32), 0))
            by_min_p = tl.minimum(farthest(state, row) * FINE, BINS - 1).to(tl.int32)
            cut = tl.minimum(cut, by_min_p)
            tokens = tl.sum(tl.where(bins <= cut, held, 0), 0)
        tl.store(cuts + column * 2, cut)
        tl.store(cuts + column * 2 + 1, tokens)
        tl.store(alls + column, total)


@triton.jit
def gather_kernel(
        rows, state, scores, tops, cuts, found, values, tokens, likely, VOCABULARY: tl.constexpr,
        BLOCKS: tl.constexpr, WIDE: tl.constexpr
):
    """The candidates where they are few, in no order; else how likely each block's are."""
    block = tl.program_id(0)
    column = tl.program_id(1)
    row = tl.load(rows + column)
    if drawing(state, row):
        best = best_of(tops, column, BLOCKS, WIDE)
        token = block * BLOCK + tl.arange(0, BLOCK)
        place = column.to(tl.int64) * VOCABULARY + token
        own = tl.load(scores + place, mask=token < VOCABULARY, other=float("-inf"))
        distance, bins, mass = weighed(own, best, number(state, row, TEMPERATURE))
        kept = bins <= tl.load(cuts + column * 2)
        if tl.load(cuts + column * 2 + 1) > MANY:
            kept = kept & (distance <= farthest(state, row))
            tl.store(likely + column * BLOCKS + block, tl.sum(tl.where(kept, mass, 0), 0))
        else:
            here = tl.sum(kept.to(tl.int32), 0)
            if here > 0:
                first = tl.atomic_add(found + column, here, sem="relaxed")
                spot = column * MANY + first + tl.cumsum(kept.to(tl.int32), 0) - 1
                tl.store(values + spot, own, mask=kept)
                tl.store(tokens + spot, token, mask=kept)
