"""The products of a decode step with what surrounds them: norm, rotation, SwiGLU, residual.

A norm never needs a pass of its own. Who writes the residual stream h also writes h * gain *
(the rstd of the norm before), which is of the order of 1 whatever h is, and the sum of squares
of its own rows; who reads it adds up those sums and corrects its result by one factor. What does
not fit the range of its type becomes infinite and then not a number: nothing is clamped.
"""

from __future__ import annotations

# Signatures of kernels, one name a line, would hide the kernels.
# fmt: off
import triton
import triton.language as tl
from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait

from qwen_webui.engines.decode.cuda.kernels.linear import begin, product
from qwen_webui.engines.decode.cuda.kernels.wide import collect, hand_in

# The input of a product is kept this much smaller, so that a residual stream that grows by orders
# of magnitude in one layer still fits float16; what it costs at the small end is below rounding.
HEADROOM = tl.constexpr(2.0**-6)


@triton.jit
def _norm_inputs(partial, scale, count, SPAN: tl.constexpr, COLUMNS: tl.constexpr):
    """The sums of squares of SPAN programs at most, and the scale that x was given."""
    column = tl.arange(0, COLUMNS)
    part = tl.arange(0, SPAN)
    mask = (column < count)[:, None]
    squares = tl.load(partial + column[:, None] * SPAN + part[None, :], mask=mask, other=0.0)
    return squares, tl.load(scale + column, mask=column < count, other=1.0)


@triton.jit
def _norm_factor(
        squares, previous, rstd_out, count, INPUTS: tl.constexpr, COLUMNS: tl.constexpr, EPS:
        tl.constexpr
):
    """What a product of normalised input is to be multiplied with; kept for the next norm."""
    column = tl.arange(0, COLUMNS)
    total = tl.sum(squares, 1)
    rstd = tl.where(total < float("inf"), tl.rsqrt(total / INPUTS + EPS), float("nan"))
    if tl.program_id(0) == 0:
        tl.store(rstd_out + column, rstd * HEADROOM, mask=column < count)
    return rstd / previous


@triton.jit
def _halves_of_tile(sums, TILES: tl.constexpr, COLUMNS: tl.constexpr):
    """[TILES * 16, COLUMNS] to the first and the second eight rows: [TILES * 8, COLUMNS] each."""
    fine = tl.permute(tl.reshape(sums, [TILES, 2, 8, COLUMNS]), [0, 2, 3, 1])
    first, second = tl.split(fine)
    return tl.reshape(first, [TILES * 8, COLUMNS]), tl.reshape(second, [TILES * 8, COLUMNS])


@triton.jit
def embed_kernel(
        tokens, table, gain, h, x, partial, other_partial, scale, HIDDEN: tl.constexpr, VOCABULARY:
        tl.constexpr, SPAN: tl.constexpr, WIDE: tl.constexpr, EPS: tl.constexpr, PDL: tl.constexpr
):
    """The first h of one column, and its norm. Clears the sums of squares: a step of another size
    may have left more of them. A token that does not exist reads the table's edge."""
    if PDL:
        gdc_launch_dependents()
        gdc_wait()
    column = tl.program_id(0)
    token = tl.load(tokens + column).to(tl.int64)
    token = tl.minimum(tl.maximum(token, 0), VOCABULARY - 1)
    k = tl.arange(0, WIDE)
    mask = k < HIDDEN
    row = tl.load(table + token * HIDDEN + k, mask=mask, other=0.0)
    wide = row.to(tl.float32)
    square = tl.sum(wide * wide, 0)
    rstd = tl.where(square < float("inf"), tl.rsqrt(square / HIDDEN + EPS), float("nan"))
    rstd *= HEADROOM
    tl.store(h + column * HIDDEN + k, row, mask=mask)
    own = wide * rstd * tl.load(gain + k, mask=mask, other=0.0).to(tl.float32)
    tl.store(x + column * HIDDEN + k, own.to(x.dtype.element_ty), mask=mask)
    part = tl.arange(0, SPAN)
    tl.store(partial + column * SPAN + part, tl.where(part == 0, square, 0.0))
    tl.store(other_partial + column * SPAN + part, tl.zeros([SPAN], tl.float32))
    tl.store(scale + column, rstd)


@triton.jit
def _store_heads(
        low, high, head, d, position, pages, page_stride, q, k_cache, v_cache, count, HEADS:
        tl.constexpr, KV_HEADS: tl.constexpr, HEAD: tl.constexpr, PAGE: tl.constexpr, COLUMNS:
        tl.constexpr
):
    """Rows d and HEAD / 2 + d of the heads `head`: queries to q, keys and values to their page."""
    HALF: tl.constexpr = HEAD // 2
    column = tl.arange(0, COLUMNS)
    live = (column < count)[None, :]
    turned = (head < HEADS + KV_HEADS)[:, None] & live
    is_q = (head < HEADS)[:, None] & live
    place = q + column[None, :] * (HEADS * HEAD) + (head * HEAD + d)[:, None]
    tl.store(place, low, mask=is_q)
    tl.store(place + HALF, high, mask=is_q)
    page = tl.load(pages + column * page_stride + position // PAGE, mask=column < count, other=0)
    is_k = turned & (head >= HEADS)[:, None]
    is_v = (head >= HEADS + KV_HEADS)[:, None] & live
    own = tl.where(head >= HEADS + KV_HEADS, head - HEADS - KV_HEADS, head - HEADS)
    slot = (page.to(tl.int64)[None, :] * KV_HEADS + own[:, None]) * PAGE
    slot = (slot + (position % PAGE)[None, :]) * HEAD + d[:, None]
    tl.store(k_cache + slot, low, mask=is_k)
    tl.store(k_cache + slot + HALF, high, mask=is_k)
    tl.store(v_cache + slot, low, mask=is_v)
    tl.store(v_cache + slot + HALF, high, mask=is_v)


@triton.jit
def qkv_kernel(
        x, stride, weights, scales, shares, arrived, bias, partial, scale, rstd_out, positions,
        pages, page_stride, cos, sin, q, k_cache, v_cache, count, INPUTS: tl.constexpr, HEADS:
        tl.constexpr, KV_HEADS: tl.constexpr, HEAD: tl.constexpr, PAGE: tl.constexpr, SPAN:
        tl.constexpr, EPS: tl.constexpr, BITS: tl.constexpr, ZERO: tl.constexpr, TILES:
        tl.constexpr, WARPS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr, SPLIT:
        tl.constexpr, STAGES: tl.constexpr, PDL: tl.constexpr
):
    """Norm, QKV with bias, rotation; q to its buffer, k and v to their page of the cache.

    Each tile of 16 rows holds rows d..d+7 and d+HEAD/2.. of one head.
    """
    tile = tl.program_id(0) * TILES
    begun = begin(weights, scales, tile, INPUTS, BITS, TILES, WARPS, DEPTH, SPLIT, STAGES, PDL)
    if STAGES == 0:
        squares, previous = _norm_inputs(partial, scale, count, SPAN, COLUMNS)
    sums = product(
            begun, x, stride, weights, scales, tile, INPUTS, BITS, ZERO, TILES, WARPS, COLUMNS,
            DEPTH, SPLIT, STAGES
    )
    if SPLIT > 1:
        if not hand_in(sums, shares, arrived, TILES, COLUMNS, SPLIT):
            return
        sums = collect(shares, arrived, TILES, COLUMNS, SPLIT)
    if STAGES:
        # Held through the product, they would take the registers of other programs.
        squares, previous = _norm_inputs(partial, scale, count, SPAN, COLUMNS)
    factor = _norm_factor(squares, previous, rstd_out, count, INPUTS, COLUMNS, EPS)
    low, high = _halves_of_tile(sums * factor[None, :], TILES, COLUMNS)
    PER: tl.constexpr = HEAD // 16
    HALF: tl.constexpr = HEAD // 2
    row = tl.arange(0, TILES * 8)
    of = tile + row // 8
    head = of // PER
    d = of % PER * 8 + row % 8
    KIND: tl.constexpr = q.dtype.element_ty
    low = (low + tl.load(bias + head * HEAD + d).to(tl.float32)[:, None]).to(KIND)
    high = (high + tl.load(bias + head * HEAD + HALF + d).to(tl.float32)[:, None]).to(KIND)
    column = tl.arange(0, COLUMNS)
    live = (column < count)[None, :]
    position = tl.load(positions + column, mask=column < count, other=0)
    angle = position[None, :] * HALF + d[:, None]
    turned = (head < HEADS + KV_HEADS)[:, None] & live
    c = tl.load(cos + angle, mask=turned, other=1.0).to(tl.float32)
    s = tl.load(sin + angle, mask=turned, other=0.0).to(tl.float32)
    a = low.to(tl.float32)
    b = high.to(tl.float32)
    low = (a * c - b * s).to(KIND)
    high = (b * c + a * s).to(KIND)
    _store_heads(
        low, high, head, d, position, pages, page_stride, q, k_cache, v_cache, count, HEADS,
        KV_HEADS, HEAD, PAGE, COLUMNS
    )


@triton.jit
def residual_kernel(
        x, stride, weights, scales, shares, arrived, h, gain, scale, x_out, partial, count, ROWS:
        tl.constexpr, SPAN: tl.constexpr, INPUTS: tl.constexpr, BITS: tl.constexpr, ZERO:
        tl.constexpr, TILES: tl.constexpr, WARPS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH:
        tl.constexpr, SPLIT: tl.constexpr, STAGES: tl.constexpr, PDL: tl.constexpr
):
    """h += the product; the input of the next norm's product and its sums of squares."""
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
    live = (column < count)[None, :]
    place = column[None, :] * ROWS + row[:, None]
    before = tl.load(h + place, mask=live, other=0.0).to(tl.float32)
    KIND: tl.constexpr = h.dtype.element_ty
    after = (before + sums.to(KIND).to(tl.float32)).to(KIND)
    tl.store(h + place, after, mask=live)
    wide = after.to(tl.float32)
    previous = tl.load(scale + column, mask=column < count, other=1.0)
    own = wide * tl.load(gain + row).to(tl.float32)[:, None] * previous[None, :]
    tl.store(x_out + place, own.to(KIND), mask=live)
    tl.store(
        partial + column * SPAN + tl.program_id(0), tl.sum(wide * wide, 0), mask=column < count
    )


@triton.jit
def swiglu_kernel(
        x, stride, weights, scales, shares, arrived, partial, scale, rstd_out, out, count, ROWS:
        tl.constexpr, SPAN: tl.constexpr, EPS: tl.constexpr, INPUTS: tl.constexpr, BITS:
        tl.constexpr, ZERO: tl.constexpr, TILES: tl.constexpr, WARPS: tl.constexpr, COLUMNS:
        tl.constexpr, DEPTH: tl.constexpr, SPLIT: tl.constexpr, STAGES: tl.constexpr, PDL:
        tl.constexpr
):
    """Norm, gate and up, SwiGLU: out[column, ROWS]. A tile holds 8 rows of each."""
    tile = tl.program_id(0) * TILES
    begun = begin(weights, scales, tile, INPUTS, BITS, TILES, WARPS, DEPTH, SPLIT, STAGES, PDL)
    if STAGES == 0:
        squares, previous = _norm_inputs(partial, scale, count, SPAN, COLUMNS)
    sums = product(
            begun, x, stride, weights, scales, tile, INPUTS, BITS, ZERO, TILES, WARPS, COLUMNS,
            DEPTH, SPLIT, STAGES
    )
    if SPLIT > 1:
        if not hand_in(sums, shares, arrived, TILES, COLUMNS, SPLIT):
            return
        sums = collect(shares, arrived, TILES, COLUMNS, SPLIT)
    if STAGES:
        # Held through the product, they would take the registers of other programs.
        squares, previous = _norm_inputs(partial, scale, count, SPAN, COLUMNS)
    factor = _norm_factor(squares, previous, rstd_out, count, INPUTS, COLUMNS, EPS)
    gate, up = _halves_of_tile(sums * factor[None, :], TILES, COLUMNS)
    KIND: tl.constexpr = out.dtype.element_ty
    gate = gate.to(KIND).to(tl.float32)
    active = (gate / (1.0 + tl.exp(-gate))).to(KIND).to(tl.float32)
    result = (active * up.to(KIND).to(tl.float32)).to(KIND)
    row = tile * 8 + tl.arange(0, TILES * 8)
    column = tl.arange(0, COLUMNS)
    tl.store(out + column[None, :] * ROWS + row[:, None], result, mask=(column < count)[None, :])


@triton.jit
def head_kernel(
        x, stride, weights, scales, shares, arrived, partial, scale, rstd_out, logits, best,
        best_row, count, ROWS: tl.constexpr, PROGRAMS: tl.constexpr, SPAN: tl.constexpr, EPS:
        tl.constexpr, INPUTS: tl.constexpr, BITS: tl.constexpr, ZERO: tl.constexpr, TILES:
        tl.constexpr, WARPS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr, SPLIT:
        tl.constexpr, STAGES: tl.constexpr, PDL: tl.constexpr
):
    """Norm and language head: logits[column, ROWS] float32, and each program's best row. The best
    value is not a number where any of its logits is none."""
    tile = tl.program_id(0) * TILES
    begun = begin(weights, scales, tile, INPUTS, BITS, TILES, WARPS, DEPTH, SPLIT, STAGES, PDL)
    if STAGES == 0:
        squares, previous = _norm_inputs(partial, scale, count, SPAN, COLUMNS)
    sums = product(
            begun, x, stride, weights, scales, tile, INPUTS, BITS, ZERO, TILES, WARPS, COLUMNS,
            DEPTH, SPLIT, STAGES
    )
    if SPLIT > 1:
        if not hand_in(sums, shares, arrived, TILES, COLUMNS, SPLIT):
            return
        sums = collect(shares, arrived, TILES, COLUMNS, SPLIT)
    if STAGES:
        # Held through the product, they would take the registers of other programs.
        squares, previous = _norm_inputs(partial, scale, count, SPAN, COLUMNS)
    factor = _norm_factor(squares, previous, rstd_out, count, INPUTS, COLUMNS, EPS)
    sums = sums * factor[None, :]
    row = tile * 16 + tl.arange(0, TILES * 16)
    column = tl.arange(0, COLUMNS)
    live = column < count
    place = logits + column.to(tl.int64)[None, :] * ROWS + row[:, None]
    tl.store(place, sums, mask=live[None, :])
    # The index of what is not a number could be anything.
    number = sums == sums
    value, index = tl.max(tl.where(number, sums, float("-inf")), 0, return_indices=True)
    broken = tl.sum((number == 0).to(tl.int32), 0) > 0
    value = tl.where(broken, float("nan"), value)
    tl.store(best + column * PROGRAMS + tl.program_id(0), value, mask=live)
    tl.store(best_row + column * PROGRAMS + tl.program_id(0), tile * 16 + index, mask=live)


@triton.jit
def greedy_kernel(
        best, best_row, likeliest, PROGRAMS: tl.constexpr, WIDE: tl.constexpr, PDL: tl.constexpr
):
    """likeliest[column] int64; -1 where any of its logits is not a number."""
    if PDL:
        gdc_launch_dependents()
        gdc_wait()
    column = tl.program_id(0)
    part = tl.arange(0, WIDE)
    value = tl.load(best + column * PROGRAMS + part, mask=part < PROGRAMS, other=float("-inf"))
    number = value == value
    place = tl.argmax(tl.where(number, value, float("-inf")), 0)
    token = tl.load(best_row + column * PROGRAMS + tl.minimum(place, PROGRAMS - 1))
    broken = tl.sum((number == 0).to(tl.int32), 0) > 0
    tl.store(likeliest + column, tl.where(broken, -1, token).to(tl.int64))
