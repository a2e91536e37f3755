"""Products of many columns by whole groups of warps: Hopper's wgmma, its inputs in shared memory.

A program computes TILES * 16 rows for all columns, over one of SPLIT shares of the inputs; the last
of the shares to finish adds them up, always in the same order. The compiler's pipeline keeps
STAGES groups of weights and inputs on their way to shared memory. Packed weights go from there to
the registers that the tensor core reads, with no move between lanes.
"""

from __future__ import annotations

# Signatures of kernels, one name a line, would hide the kernels.
# fmt: off
import triton
import triton.language as tl

from qwen_webui.engines.decode.cuda.kernels.loads import load_scales, load_words, scale_of
from qwen_webui.engines.decode.cuda.kernels.unpack import INTERPRETED, fragments

# Groups of weights that are asked for before the kernel before has ended.
AHEAD = tl.constexpr(4)
_PREFETCH = tl.constexpr("prefetch.global.L2 [$1];\nmov.b32 $0, 0;")


@triton.jit
def share_of(GROUPS: tl.constexpr, SPLIT: tl.constexpr):
    """This program's groups of inputs: the first, and the one behind its last."""
    first = 0
    end = GROUPS
    if SPLIT > 1:
        EACH: tl.constexpr = (GROUPS + SPLIT - 1) // SPLIT
        first = tl.program_id(1) * EACH
        end = tl.minimum(first + EACH, GROUPS)
    return first, end


@triton.jit
def prefetch(
        weights, scales, tile, INPUTS: tl.constexpr, BITS: tl.constexpr, TILES: tl.constexpr, SPLIT:
        tl.constexpr
):
    """Bring the first AHEAD groups of this program's weights to the cache of the card."""
    GROUPS: tl.constexpr = INPUTS // 128
    first, _ = share_of(GROUPS, SPLIT)
    if BITS == 16:
        LINES: tl.constexpr = AHEAD * 2
        row = (tile * 16 + tl.arange(0, TILES * 16)).to(tl.int64)[:, None]
        line = tl.minimum(first * 2 + tl.arange(0, LINES), GROUPS * 2 - 1)[None, :]
        place = scales + row * INPUTS + line * 64
    else:
        OF_GROUP: tl.constexpr = BITS * 2
        row = (tile + tl.arange(0, TILES)).to(tl.int64)[:, None]
        line = first * OF_GROUP + tl.arange(0, AHEAD * OF_GROUP)
        line = tl.minimum(line, GROUPS * OF_GROUP - 1)[None, :]
        place = weights + row * (GROUPS * OF_GROUP * 32) + line * 32
    if not INTERPRETED:
        tl.inline_asm_elementwise(_PREFETCH, "=r,l", [place], tl.int32, is_pure=False, pack=1)


@triton.jit
def wide_product(
        x, stride, weights, scales, tile, INPUTS: tl.constexpr, BITS: tl.constexpr, ZERO:
        tl.constexpr, TILES: tl.constexpr, COLUMNS: tl.constexpr, SPLIT: tl.constexpr, STAGES:
        tl.constexpr
):
    """This program's share of rows tile * 16 on: float32 [TILES * 16, COLUMNS]."""
    GROUPS: tl.constexpr = INPUTS // 128
    first, end = share_of(GROUPS, SPLIT)
    column = tl.arange(0, COLUMNS)
    k = tl.arange(0, 128)
    sums = tl.zeros([TILES * 16, COLUMNS], tl.float32)
    if BITS == 16:
        row = (tile * 16 + tl.arange(0, TILES * 16)).to(tl.int64)
        for group in tl.range(first, end, num_stages=STAGES):
            own = tl.load(
                    scales + row[:, None] * INPUTS + group * 128 + k[None, :],
                    eviction_policy="evict_first"
            )
            columns = tl.load(x + column[None, :] * stride + group * 128 + k[:, None])
            sums = tl.dot(own, columns, sums)
    else:
        for group in tl.range(first, end, num_stages=STAGES):
            words = load_words(weights, tile, group, end, GROUPS, BITS, 1, TILES, True, False)
            scale = load_scales(scales, tile, group, end, GROUPS, 1, TILES, True, False)
            found = tl.load(x + column[:, None] * stride + group * 128 + k[None, :])
            #                            0        1  2  3   4   5
            #                            column  jj  t  jl  r2 half
            fine = tl.reshape(found, [COLUMNS, 4, 4, 2, 2, 2])
            columns = tl.reshape(tl.permute(fine, [1, 3, 4, 2, 5, 0]), [128, COLUMNS])
            rows = fragments(words, scale, BITS, ZERO, 1, TILES, tl.float16, True)
            part = tl.dot(tl.reshape(rows, [TILES * 16, 128]), columns)
            factor = scale_of(scale, ZERO, 1, TILES, COLUMNS)
            sums += part * tl.reshape(factor, [TILES * 16, COLUMNS])
    return sums


@triton.jit
def hand_in(
        sums, shares, arrived, TILES: tl.constexpr, COLUMNS: tl.constexpr, SPLIT: tl.constexpr
):
    """Leave a share for whoever comes last: whether that is this program. `arrived` is 0 before."""
    cell = tl.arange(0, TILES * 16)[:, None] * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    share = tl.program_id(0) * SPLIT + tl.program_id(1)
    tl.store(shares + share * (TILES * 16 * COLUMNS) + cell, sums)
    tl.debug_barrier()
    before = tl.atomic_add(arrived + tl.program_id(0), 1, sem="acq_rel")
    return before == SPLIT - 1


@triton.jit
def collect(
        shares, arrived, TILES: tl.constexpr, COLUMNS: tl.constexpr, SPLIT: tl.constexpr
):
    """All shares together; `arrived` is 0 again."""
    tl.debug_barrier()
    cell = tl.arange(0, TILES * 16)[:, None] * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    first = shares + tl.program_id(0) * SPLIT * (TILES * 16 * COLUMNS) + cell
    sums = tl.load(first)
    for share in tl.static_range(1, SPLIT):
        sums += tl.load(first + share * (TILES * 16 * COLUMNS))
    tl.store(arrived + tl.program_id(0), 0)
    return sums
