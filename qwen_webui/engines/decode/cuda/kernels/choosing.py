"""The last kernel of a draw: one token for each column, of the candidates that kernels/sampling.py
found. Triton only."""

from __future__ import annotations

# Signatures of kernels, one name a line, would hide the kernels.
# fmt: off
import triton
import triton.language as tl

from qwen_webui.engines.decode.cuda.kernels.sampling import (
    ATTEMPT,
    BLOCK,
    FEW,
    INDEX,
    MANY,
    ONLY,
    SEED_HIGH,
    SEED_LOW,
    TEMPERATURE,
    TOP_K,
    TOP_P,
    WIDTH,
    drawing,
    farthest,
    number,
    weighed,
)


@triton.jit
def _uniform(state, row):
    """In [0, 1), of 53 bits: philox.py's for this row's seed, index and attempt."""
    low = tl.load(state + row * WIDTH + SEED_LOW).to(tl.uint32, bitcast=True)
    high = tl.load(state + row * WIDTH + SEED_HIGH).to(tl.uint32, bitcast=True)
    seed = low.to(tl.uint64) | (high.to(tl.uint64) << 32)
    index = tl.load(state + row * WIDTH + INDEX)
    attempt = tl.load(state + row * WIDTH + ATTEMPT)
    zero = index * 0
    a, b, _, _ = tl.philox(
        seed, index.to(tl.uint32), zero.to(tl.uint32), attempt.to(tl.uint32), zero.to(tl.uint32)
    )
    whole = (a >> 5).to(tl.int64) * 67108864 + (b >> 6).to(tl.int64)
    return whole.to(tl.float64) * 1.1102230246251565e-16


@triton.jit
def _place_of(mass, uniform):
    """Where a uniform number falls among whole probabilities."""
    total = tl.sum(mass, 0)
    target = tl.minimum((uniform * total.to(tl.float64)).to(tl.int64), total - 1)
    return tl.sum((tl.cumsum(mass, 0) <= target).to(tl.int32), 0)


@triton.jit
def _from_few(
        values, tokens, state, column, row, count, best, total, uniform, SIZE: tl.constexpr
):
    """Put in order by score, the lower token first: the borders of distribution.py, the draw."""
    rank = tl.arange(0, SIZE)
    there = rank < count
    own = tl.load(values + column * MANY + rank, mask=there, other=0.0)
    token = tl.load(tokens + column * MANY + rank, mask=there, other=0)
    # The bits of floats as whole numbers in the same order; the best is to come first.
    bits = own.to(tl.int32, bitcast=True)
    order = -1 - tl.where(bits < 0, bits ^ 0x7FFFFFFF, bits)
    key = (order.to(tl.int64) << 32) | token.to(tl.int64)
    key = tl.sort(tl.where(there, key, 0x7FFFFFFFFFFFFFFF))
    token = key.to(tl.int32)
    order = -1 - (key >> 32).to(tl.int32)
    own = tl.where(order < 0, order ^ 0x7FFFFFFF, order).to(tl.float32, bitcast=True)
    own = tl.where(there, own, float("-inf"))
    distance, _, mass = weighed(own, best, number(state, row, TEMPERATURE))
    top_k = tl.load(state + row * WIDTH + TOP_K)
    if top_k > 0:
        last = tl.minimum(top_k, count) - 1
        least = tl.max(tl.where(rank == last, own, float("-inf")), 0)
        mass = tl.where(own >= least, mass, 0)
        total = tl.sum(mass, 0)
    top_p = number(state, row, TOP_P)
    before = (tl.cumsum(mass, 0) - mass).to(tl.float64)
    # 1 cuts nothing, however sums are rounded; the best is always kept.
    enough = total.to(tl.float64) * tl.where(top_p < 1.0, top_p, 2.0).to(tl.float64)
    kept = (before < enough) | (rank == 0)
    mass = tl.where(kept & (distance <= farthest(state, row)), mass, 0)
    place = _place_of(mass, uniform)
    return tl.sum(tl.where(rank == place, token, 0), 0)


@triton.jit
def _from_many(
        scores, state, column, row, cut, likely, best, uniform, VOCABULARY: tl.constexpr, BLOCKS:
        tl.constexpr, WIDE: tl.constexpr
):
    """In the order of the vocabulary: the block, then the token."""
    part = tl.arange(0, WIDE)
    blocks = tl.load(likely + column * BLOCKS + part, mask=part < BLOCKS, other=0)
    total = tl.sum(blocks, 0)
    target = tl.minimum((uniform * total.to(tl.float64)).to(tl.int64), total - 1)
    sums = tl.cumsum(blocks, 0)
    block = tl.sum((sums <= target).to(tl.int32), 0)
    target -= tl.sum(tl.where(part < block, blocks, 0), 0)
    token = block * BLOCK + tl.arange(0, BLOCK)
    place = column.to(tl.int64) * VOCABULARY + token
    own = tl.load(scores + place, mask=token < VOCABULARY, other=float("-inf"))
    distance, bins, mass = weighed(own, best, number(state, row, TEMPERATURE))
    kept = (bins <= cut) & (distance <= farthest(state, row))
    sums = tl.cumsum(tl.where(kept, mass, 0), 0)
    return block * BLOCK + tl.sum((sums <= target).to(tl.int32), 0)


@triton.jit
def choose_kernel(
        rows, state, scores, tops, places, broken, cuts, alls, values, tokens, likely, said, out,
        VOCABULARY: tl.constexpr, BLOCKS: tl.constexpr, WIDE: tl.constexpr
):
    """out[column]: the token, int64, or -1 where there are no numbers. Remembers that it was
    said; the row goes on to its next index."""
    column = tl.program_id(0)
    row = tl.load(rows + column)
    part = tl.arange(0, WIDE)
    mine = part < BLOCKS
    top = tl.load(tops + column * BLOCKS + part, mask=mine, other=float("-inf"))
    best = tl.max(top, 0)
    where = tl.load(places + column * BLOCKS + part, mask=mine, other=VOCABULARY)
    token = tl.min(tl.where(top == best, where, VOCABULARY), 0)
    wrong = tl.sum(tl.load(broken + column * BLOCKS + part, mask=mine, other=0), 0)
    only = tl.load(state + row * WIDTH + ONLY)
    if only >= 0:
        token = only
    if drawing(state, row) & (wrong == 0):
        uniform = _uniform(state, row)
        count = tl.load(cuts + column * 2 + 1)
        total = tl.load(alls + column)
        if count <= FEW:
            token = _from_few(
                values, tokens, state, column, row, count, best, total, uniform, FEW
            )
        elif count <= MANY:
            token = _from_few(
                values, tokens, state, column, row, count, best, total, uniform, MANY
            )
        else:
            cut = tl.load(cuts + column * 2)
            token = _from_many(
                scores, state, column, row, cut, likely, best, uniform, VOCABULARY, BLOCKS, WIDE
            )
    token = tl.minimum(tl.maximum(token, 0), VOCABULARY - 1)
    place = said + row.to(tl.int64) * VOCABULARY + token
    tl.store(place, tl.load(place) + 1)
    index = state + row * WIDTH + INDEX
    tl.store(index, tl.load(index) + 1)
    tl.store(out + column, tl.where(wrong == 0, token, -1).to(tl.int64))
