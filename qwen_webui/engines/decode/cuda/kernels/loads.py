"""A group of weights, its scales and its inputs from memory to registers, as packing.py laid them.

A program has WARPS * TILES tiles of 16 rows in each group. Where BY_ROWS, warp w has TILES of
them from `tile + w * TILES` on, all in group `group`; else all warps have the same TILES tiles, and
warp w has group `group + w`, and nothing of groups from `end` on.
"""

from __future__ import annotations

# Signatures of kernels, one name a line, would hide the kernels.
# fmt: off
import triton
import triton.language as tl


@triton.jit
def _load(place, of, end, MASK: tl.constexpr, policy: tl.constexpr):
    """Masked only where the warps of a last step have no group of their own."""
    if MASK:
        found = tl.load(place, mask=of < end, other=0, eviction_policy=policy)
    else:
        found = tl.load(place, eviction_policy=policy)
    return found


@triton.jit
def load_words(
        weights, tile, group, end, GROUPS: tl.constexpr, BITS: tl.constexpr, TILES: tl.constexpr,
        WARPS: tl.constexpr, BY_ROWS: tl.constexpr, MASK: tl.constexpr
):
    """Weights: packed ones [WARPS, words, 128], 16-bit ones two a word in their fragments."""
    if BITS == 16:
        g = tl.arange(0, 8)[:, None, None, None, None]
        warp = tl.arange(0, WARPS)[None, :, None, None, None]
        row = tl.arange(0, TILES * 2)[None, None, :, None, None]
        jj = tl.arange(0, 4)[None, None, None, :, None]
        k = tl.arange(0, 16)[None, None, None, None, :]
        of = group + (0 if BY_ROWS else 1) * warp
        first = tile + (TILES if BY_ROWS else 0) * warp
        line = (first * 16 + row * 8 + g).to(tl.int64)
        place = weights + line * (GROUPS * 64) + (of * 64 + jj * 16 + k)
    else:
        REPS: tl.constexpr = BITS // 2
        warp = tl.arange(0, WARPS)[:, None, None]
        of = group + (0 if BY_ROWS else 1) * warp
        first = tile + (TILES if BY_ROWS else 0) * warp
        rep = tl.arange(0, TILES * REPS)[None, :, None]
        start = ((first + rep // REPS).to(tl.int64) * GROUPS + of) * (REPS * 128)
        place = weights + start + rep % REPS * 128 + tl.arange(0, 128)[None, None, :]
    return _load(place, of, end, MASK, "evict_first")


@triton.jit
def load_scales(
        scales, tile, group, end, GROUPS: tl.constexpr, TILES: tl.constexpr, WARPS: tl.constexpr,
        BY_ROWS: tl.constexpr, MASK: tl.constexpr
):
    """[4, 8, WARPS, TILES, 2]: of the two rows of each lane."""
    t = tl.arange(0, 4)[:, None, None, None, None]
    g = tl.arange(0, 8)[None, :, None, None, None]
    warp = tl.arange(0, WARPS)[None, None, :, None, None]
    m = tl.arange(0, TILES)[None, None, None, :, None]
    r1 = tl.arange(0, 2)[None, None, None, None, :]
    of = group + (0 if BY_ROWS else 1) * warp
    first = tile + (TILES if BY_ROWS else 0) * warp
    place = scales + ((first + m) * GROUPS + of) * 16 + g * 2 + t * 0 + r1
    return _load(place, of, end, MASK, "")


@triton.jit
def load_columns(
        x, group, end, stride, WARPS: tl.constexpr, COLUMNS: tl.constexpr, MASK: tl.constexpr
):
    """x of groups `group + warp`: [WARPS, 128, COLUMNS], inputs in the order of the fragments."""
    g = tl.arange(0, 8)[:, None, None, None, None]
    of = group + tl.arange(0, WARPS)[None, :, None, None, None]
    jj = tl.arange(0, 4)[None, None, :, None, None]
    block = tl.arange(0, COLUMNS // 8)[None, None, None, :, None]
    k = tl.arange(0, 32)[None, None, None, None, :]
    place = x + (block * 8 + g) * stride + of * 128 + jj * 32 + k
    found = _load(place, of, end, MASK, "evict_last")
    #                         0   1     2       3        4  5   6   7
    #                         g  warp  jj     block      t  jl  r2 half
    fine = tl.reshape(found, [8, WARPS, 4, COLUMNS // 8, 4, 2, 2, 2])
    order = tl.permute(fine, [1, 2, 5, 4, 6, 7, 3, 0])
    return tl.reshape(order, [WARPS, 128, COLUMNS])


@triton.jit
def scale_of(
        scale, ZERO: tl.constexpr, TILES: tl.constexpr, WARPS: tl.constexpr, COLUMNS: tl.constexpr
):
    """What load_scales returned as [WARPS, TILES * 16, COLUMNS], as the sums lie."""
    if ZERO:
        scale = (scale & 0xFFFF).to(tl.int16).to(tl.float16, bitcast=True)
    order = tl.permute(scale.to(tl.float32), [2, 3, 4, 1, 0])
    fine = tl.reshape(order, [WARPS, TILES * 16, 1, 4, 1])
    wide = tl.broadcast_to(fine, [WARPS, TILES * 16, COLUMNS // 8, 4, 2])
    return tl.reshape(wide, [WARPS, TILES * 16, COLUMNS])
