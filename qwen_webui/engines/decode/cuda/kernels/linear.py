# ruff: noqa: RUF005  (Triton reads tuples joined by +, not unpacked ones)
"""Products of a few columns with quantised or 16-bit weights, on tensor cores. Triton only.

A program computes TILES * 16 output rows for all columns; its warps share the inputs out among
themselves. Weights go from memory to registers in the order of the fragments (packing.py), the
next step's while this step's are multiplied. `begin` and `product` are called by the kernels of the
step and store nothing; `begin` reads nothing that the kernel before writes.
"""

from __future__ import annotations

# Signatures of kernels, one name a line, would hide the kernels.
# fmt: off
import triton
import triton.language as tl
from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait

from qwen_webui.engines.decode.cuda.kernels.unpack import fragments


@triton.jit
def _load(
        place, of, group, GROUPS: tl.constexpr, WARPS: tl.constexpr, MASK: tl.constexpr, policy:
        tl.constexpr
):
    """Masked only where the warps of a last step have no group of their own."""
    if MASK:
        found = tl.load(place, mask=of < GROUPS, other=0, eviction_policy=policy)
    else:
        found = tl.load(place, eviction_policy=policy)
    return found


@triton.jit
def load_words(
        weights, tile, group, GROUPS: tl.constexpr, BITS: tl.constexpr, TILES: tl.constexpr, WARPS:
        tl.constexpr, BY_ROWS: tl.constexpr, MASK: tl.constexpr
):
    """This step's weights. BY_ROWS: group `group` of TILES row tiles a warp from `tile` on; else
    group `group + warp` of the TILES row tiles from `tile` on."""
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
    return _load(place, of, group, GROUPS, WARPS, MASK, "evict_first")


@triton.jit
def load_scales(
        scales, tile, group, GROUPS: tl.constexpr, TILES: tl.constexpr, WARPS: tl.constexpr,
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
    return _load(place, of, group, GROUPS, WARPS, MASK, "")


@triton.jit
def _load_columns(
        x, group, GROUPS: tl.constexpr, stride, WARPS: tl.constexpr, COLUMNS: tl.constexpr, BY_ROWS:
        tl.constexpr, MASK: tl.constexpr
):
    """x of this step as [WARPS, 128, COLUMNS], the inputs in the order of the fragments."""
    g = tl.arange(0, 8)[:, None, None, None, None]
    of = group + (0 if BY_ROWS else 1) * tl.arange(0, WARPS)[None, :, None, None, None]
    jj = tl.arange(0, 4)[None, None, :, None, None]
    block = tl.arange(0, COLUMNS // 8)[None, None, None, :, None]
    k = tl.arange(0, 32)[None, None, None, None, :]
    place = x + (block * 8 + g) * stride + of * 128 + jj * 32 + k
    found = _load(place, of, group, GROUPS, WARPS, MASK, "evict_last")
    #                         0   1     2       3        4  5   6   7
    #                         g  warp  jj     block      t  jl  r2 half
    fine = tl.reshape(found, [8, WARPS, 4, COLUMNS // 8, 4, 2, 2, 2])
    order = tl.permute(fine, [1, 2, 5, 4, 6, 7, 3, 0])
    return tl.reshape(order, [WARPS, 128, COLUMNS])


@triton.jit
def _scale_of(
    scale, ZERO: tl.constexpr, TILES: tl.constexpr, WARPS: tl.constexpr, COLUMNS: tl.constexpr
):
    """[4, 8, WARPS, TILES, 2] to [WARPS, TILES * 16, COLUMNS], as the sums lie."""
    if ZERO:
        scale = (scale & 0xFFFF).to(tl.int16).to(tl.float16, bitcast=True)
    order = tl.permute(scale.to(tl.float32), [2, 3, 4, 1, 0])
    fine = tl.reshape(order, [WARPS, TILES * 16, 1, 4, 1])
    wide = tl.broadcast_to(fine, [WARPS, TILES * 16, COLUMNS // 8, 4, 2])
    return tl.reshape(wide, [WARPS, TILES * 16, COLUMNS])


@triton.jit
def begin(
        weights, scales, tile, INPUTS: tl.constexpr, BITS: tl.constexpr, TILES: tl.constexpr, WARPS:
        tl.constexpr, DEPTH: tl.constexpr, PDL: tl.constexpr
):
    """Send for the weights of the first DEPTH steps, then wait for the kernel before. DEPTH 0
    shares out rows instead of inputs."""
    GROUPS: tl.constexpr = INPUTS // 128
    words = ()
    scale = ()
    if DEPTH == 0:
        words = (load_words(weights, tile, 0, GROUPS, BITS, TILES, WARPS, True, False),)
        if BITS < 16:
            scale = (load_scales(scales, tile, 0, GROUPS, TILES, WARPS, True, False),)
    for step in tl.static_range(min(DEPTH, (GROUPS + WARPS - 1) // WARPS)):
        words = words + (
            load_words(
                    weights, tile, step * WARPS, GROUPS, BITS, TILES, WARPS, False, (step + 1) *
                    WARPS > GROUPS
            ),
        )
        if BITS < 16:
            scale = scale + (
                load_scales(
                        scales, tile, step * WARPS, GROUPS, TILES, WARPS, False, (step + 1) * WARPS
                        > GROUPS
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
        tl.constexpr
):
    """Rows from tile * 16 on times the columns of x, float32: [TILES * 16, COLUMNS], or as many
    for each warp where rows are shared out.

    `begun` is what `begin` returned: weights of DEPTH steps are on their way at any time. stride
    is that between columns of x: 0 for a single one, which then fills all columns.
    """
    if DEPTH == 0:
        sums = _product_by_rows(
            begun, x, stride, weights, scales, tile, INPUTS, BITS, ZERO, TILES, WARPS, COLUMNS
        )
    else:
        sums = _product_by_inputs(
                begun, x, stride, weights, scales, tile, INPUTS, BITS, ZERO, TILES, WARPS, COLUMNS,
                DEPTH
        )
    return sums


@triton.jit
def _product_by_rows(
        begun, x, stride, weights, scales, tile, INPUTS: tl.constexpr, BITS: tl.constexpr, ZERO:
        tl.constexpr, TILES: tl.constexpr, WARPS: tl.constexpr, COLUMNS: tl.constexpr
):
    """All warps want the same x, so it is fetched once: for many columns."""
    GROUPS: tl.constexpr = INPUTS // 128
    DTYPE: tl.constexpr = x.dtype.element_ty
    words = begun[0][0]
    if BITS < 16:
        scale = begun[1][0]
    sums = tl.zeros([WARPS, TILES * 16, COLUMNS], tl.float32)
    # Of many columns and rows there is no room in registers for two steps of x.
    ROOM: tl.constexpr = 32 if BITS == 16 else 64
    AHEAD: tl.constexpr = TILES * COLUMNS <= ROOM
    if AHEAD:
        columns = _load_columns(x, 0, GROUPS, stride, WARPS, COLUMNS, True, False)
    for group in range(GROUPS):
        later = tl.minimum(group + 1, GROUPS - 1)
        if AHEAD:
            next_columns = _load_columns(x, later, GROUPS, stride, WARPS, COLUMNS, True, False)
        else:
            columns = _load_columns(x, group, GROUPS, stride, WARPS, COLUMNS, True, False)
        next_words = load_words(weights, tile, later, GROUPS, BITS, TILES, WARPS, True, False)
        if BITS < 16:
            next_scale = load_scales(scales, tile, later, GROUPS, TILES, WARPS, True, False)
            part = tl.dot(fragments(words, scale, BITS, ZERO, TILES, WARPS, DTYPE), columns)
            sums += part * _scale_of(scale, ZERO, TILES, WARPS, COLUMNS)
            scale = next_scale
        else:
            sums = tl.dot(fragments(words, 0, BITS, ZERO, TILES, WARPS, DTYPE), columns, sums)
        words = next_words
        if AHEAD:
            columns = next_columns
    return tl.reshape(sums, [WARPS * TILES * 16, COLUMNS])


@triton.jit
def _product_by_inputs(
        begun, x, stride, weights, scales, tile, INPUTS: tl.constexpr, BITS: tl.constexpr, ZERO:
        tl.constexpr, TILES: tl.constexpr, WARPS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH:
        tl.constexpr
):
    """Each warp takes every WARPSth group, so that a few rows keep many loads on their way."""
    GROUPS: tl.constexpr = INPUTS // 128
    STEPS: tl.constexpr = (GROUPS + WARPS - 1) // WARPS
    DTYPE: tl.constexpr = x.dtype.element_ty
    # Of many columns and rows there is no room in registers for two steps of x.
    AHEAD: tl.constexpr = TILES * COLUMNS <= 32
    words = begun[0]
    scale = begun[1]
    columns = _load_columns(x, 0, GROUPS, stride, WARPS, COLUMNS, False, WARPS > GROUPS)
    sums = tl.zeros([WARPS, TILES * 16, COLUMNS], tl.float32)
    for step in tl.static_range(STEPS):
        if step + DEPTH < STEPS:
            words = words + (
                load_words(
                        weights, tile, (step + DEPTH) * WARPS, GROUPS, BITS, TILES, WARPS, False,
                        (step + DEPTH + 1) * WARPS > GROUPS
                ),
            )
            if BITS < 16:
                scale = scale + (
                    load_scales(
                            scales, tile, (step + DEPTH) * WARPS, GROUPS, TILES, WARPS, False, (step
                            + DEPTH + 1) * WARPS > GROUPS
                    ),
                )
        if not AHEAD and step > 0:
            columns = _load_columns(
                x, step * WARPS, GROUPS, stride, WARPS, COLUMNS, False, (step + 1) * WARPS > GROUPS
            )
        ahead = columns
        if AHEAD and step + 1 < STEPS:
            ahead = _load_columns(
                    x, (step + 1) * WARPS, GROUPS, stride, WARPS, COLUMNS, False, (step + 2) * WARPS
                    > GROUPS
            )
        if BITS < 16:
            halves = fragments(words[0], scale[0], BITS, ZERO, TILES, WARPS, DTYPE)
            part = tl.dot(halves, columns)
            sums += part * _scale_of(scale[0], ZERO, TILES, WARPS, COLUMNS)
            scale = scale[1:]
        else:
            sums = tl.dot(fragments(words[0], 0, BITS, ZERO, TILES, WARPS, DTYPE), columns, sums)
        words = words[1:]
        columns = ahead
    return tl.sum(sums, 0)


@triton.jit
def plain_kernel(
        x, stride, weights, scales, out, rows, count, INPUTS: tl.constexpr, BITS: tl.constexpr,
        ZERO: tl.constexpr, TILES: tl.constexpr, WARPS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH:
        tl.constexpr, PDL: tl.constexpr
):
    """out[column, row] = the product, float32: what tests and the tuner look at."""
    OWN: tl.constexpr = TILES * WARPS if DEPTH == 0 else TILES
    tile = tl.program_id(0) * OWN
    begun = begin(weights, scales, tile, INPUTS, BITS, TILES, WARPS, DEPTH, PDL)
    sums = product(
        begun, x, stride, weights, scales, tile, INPUTS, BITS, ZERO, TILES, WARPS, COLUMNS, DEPTH
    )
    row = tile * 16 + tl.arange(0, OWN * 16)
    column = tl.arange(0, COLUMNS)
    place = out + column[None, :] * rows + row[:, None]
    tl.store(place, sums, mask=(row < rows)[:, None] & (column < count)[None, :])
