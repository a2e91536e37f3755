# ruff: noqa: RUF005  (Triton reads tuples joined by +, not unpacked ones)
"""Products of a few columns with quantised or 16-bit weights, on tensor cores. Triton only.

A program computes TILES * 16 output rows for all columns; its warps share the inputs out among
themselves. Weights go from memory to registers in the order of the fragments (packing.py), the
next step's while this step's are multiplied. With STAGES the product is made as wide.py says.
`begin` and `product` are called by the kernels of the step and store nothing; `begin` reads nothing
that the kernel before writes.
"""

from __future__ import annotations

# Signatures of kernels, one name a line, would hide the kernels.
# fmt: off
import triton
import triton.language as tl
from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait

from qwen_webui.engines.decode.cuda.kernels.loads import (
    load_columns,
    load_scales,
    load_words,
    scale_of,
)
from qwen_webui.engines.decode.cuda.kernels.unpack import fragments
from qwen_webui.engines.decode.cuda.kernels.wide import (
    collect,
    hand_in,
    prefetch,
    share_of,
    wide_product,
)


@triton.jit
def begin(
        weights, scales, tile, INPUTS: tl.constexpr, BITS: tl.constexpr, TILES: tl.constexpr, WARPS:
        tl.constexpr, DEPTH: tl.constexpr, SPLIT: tl.constexpr, STAGES: tl.constexpr, PDL:
        tl.constexpr
):
    """Send for the weights of the first DEPTH steps, then wait for the kernel before."""
    words = ()
    scale = ()
    if STAGES:
        if PDL:
            prefetch(weights, scales, tile, INPUTS, BITS, TILES, SPLIT)
    else:
        GROUPS: tl.constexpr = INPUTS // 128
        EACH: tl.constexpr = (GROUPS + SPLIT - 1) // SPLIT
        FEWEST: tl.constexpr = GROUPS - (SPLIT - 1) * EACH
        first, end = share_of(GROUPS, SPLIT)
        for step in tl.static_range(min(DEPTH, (EACH + WARPS - 1) // WARPS)):
            words = words + (
                load_words(
                        weights, tile, first + step * WARPS, end, GROUPS, BITS, TILES, WARPS, False,
                        (step + 1) * WARPS > FEWEST
                ),
            )
            if BITS < 16:
                scale = scale + (
                    load_scales(
                            scales, tile, first + step * WARPS, end, GROUPS, TILES, WARPS, False,
                            (step + 1) * WARPS > FEWEST
                    ),
                )
    if PDL:
        gdc_launch_dependents()
        gdc_wait()
    return words, scale


@triton.jit
def product(
        begun, x, stride, weights, scales, tile, INPUTS: tl.constexpr, BITS: tl.constexpr, ZERO:
        tl.constexpr, TILES: tl.constexpr, WARPS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH:
        tl.constexpr, SPLIT: tl.constexpr, STAGES: tl.constexpr
):
    """Rows from tile * 16 on times the columns of x, float32: [TILES * 16, COLUMNS]; with SPLIT
    this program's share of them.

    `begun` is what `begin` returned: weights of DEPTH steps are on their way at any time. stride
    is that between columns of x: 0 for a single one, which then fills all columns.
    """
    if STAGES:
        sums = wide_product(
                x, stride, weights, scales, tile, INPUTS, BITS, ZERO, TILES, COLUMNS, SPLIT, STAGES
        )
    else:
        sums = _narrow_product(
                begun, x, stride, weights, scales, tile, INPUTS, BITS, ZERO, TILES, WARPS, COLUMNS,
                DEPTH, SPLIT
        )
    return sums


@triton.jit
def _narrow_product(
        begun, x, stride, weights, scales, tile, INPUTS: tl.constexpr, BITS: tl.constexpr, ZERO:
        tl.constexpr, TILES: tl.constexpr, WARPS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH:
        tl.constexpr, SPLIT: tl.constexpr
):
    """Each warp takes every WARPSth group of the program's share, so that a few rows keep many
    loads on their way."""
    GROUPS: tl.constexpr = INPUTS // 128
    EACH: tl.constexpr = (GROUPS + SPLIT - 1) // SPLIT
    # Groups of the last share, which may have fewer.
    FEWEST: tl.constexpr = GROUPS - (SPLIT - 1) * EACH
    STEPS: tl.constexpr = (EACH + WARPS - 1) // WARPS
    DTYPE: tl.constexpr = x.dtype.element_ty
    # Of many columns and rows there is no room in registers for two steps of x.
    AHEAD: tl.constexpr = TILES * COLUMNS <= 32
    words = begun[0]
    scale = begun[1]
    first, end = share_of(GROUPS, SPLIT)
    columns = load_columns(x, first, end, stride, WARPS, COLUMNS, WARPS > FEWEST)
    sums = tl.zeros([WARPS, TILES * 16, COLUMNS], tl.float32)
    for step in tl.static_range(STEPS):
        if step + DEPTH < STEPS:
            words = words + (
                load_words(
                        weights, tile, first + (step + DEPTH) * WARPS, end, GROUPS, BITS, TILES,
                        WARPS, False, (step + DEPTH + 1) * WARPS > FEWEST
                ),
            )
            if BITS < 16:
                scale = scale + (
                    load_scales(
                            scales, tile, first + (step + DEPTH) * WARPS, end, GROUPS, TILES, WARPS,
                            False, (step + DEPTH + 1) * WARPS > FEWEST
                    ),
                )
        if not AHEAD and step > 0:
            columns = load_columns(
                    x, first + step * WARPS, end, stride, WARPS, COLUMNS, (step + 1) * WARPS >
                    FEWEST
            )
        ahead = columns
        if AHEAD and step + 1 < STEPS:
            ahead = load_columns(
                    x, first + (step + 1) * WARPS, end, stride, WARPS, COLUMNS, (step + 2) * WARPS >
                    FEWEST
            )
        if BITS < 16:
            halves = fragments(words[0], scale[0], BITS, ZERO, TILES, WARPS, DTYPE, False)
            part = tl.dot(halves, columns)
            sums += part * scale_of(scale[0], ZERO, TILES, WARPS, COLUMNS)
            scale = scale[1:]
        else:
            halves = fragments(words[0], 0, BITS, ZERO, TILES, WARPS, DTYPE, False)
            sums = tl.dot(halves, columns, sums)
        words = words[1:]
        columns = ahead
    return tl.sum(sums, 0)


@triton.jit
def plain_kernel(
        x, stride, weights, scales, shares, arrived, out, rows, count, INPUTS: tl.constexpr, BITS:
        tl.constexpr, ZERO: tl.constexpr, TILES: tl.constexpr, WARPS: tl.constexpr, COLUMNS:
        tl.constexpr, DEPTH: tl.constexpr, SPLIT: tl.constexpr, STAGES: tl.constexpr, PDL:
        tl.constexpr
):
    """out[column, row] = the product, float32: what tests and the check after a load look at."""
    tile = tl.program_id(0) * TILES
    begun = begin(weights, scales, tile, INPUTS, BITS, TILES, WARPS, DEPTH, SPLIT, STAGES, PDL)
    sums = product(
            begun, x, stride, weights, scales, tile, INPUTS, BITS, ZERO, TILES, WARPS, COLUMNS,
            DEPTH, SPLIT, STAGES
    )
    if SPLIT > 1:
        if not hand_in(sums, shares, arrived, TILES, COLUMNS, SPLIT):
            return
        sums = collect(shares, arrived, TILES, COLUMNS, SPLIT)
    row = tile * 16 + tl.arange(0, TILES * 16)
    column = tl.arange(0, COLUMNS)
    place = out + column[None, :] * rows + row[:, None]
    tl.store(place, sums, mask=(row < rows)[:, None] & (column < count)[None, :])
