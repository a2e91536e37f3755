"""What a prefill needs beside the library's own products and attention: many columns at once.

Packed weights are spread out to 16 bits a layer at a time; rows come out in the packed order, and
the kernels after a product read them so.
"""

from __future__ import annotations

import triton
import triton.language as tl

from qwen_webui.engines.decode.cuda.kernels.loads import load_scales, load_words
from qwen_webui.engines.decode.cuda.kernels.unpack import fragments


@triton.jit
def spread_kernel(
    weights,
    scales,
    out,
    INPUTS: tl.constexpr,
    BITS: tl.constexpr,
    ZERO: tl.constexpr,
    WARPS: tl.constexpr,
):
    """out[row, INPUTS] float16 = scale * (value - zero), rows in packed order."""
    GROUPS: tl.constexpr = INPUTS // 128
    tile = tl.program_id(0)
    group = tl.program_id(1) * WARPS
    words = load_words(weights, tile, group, GROUPS, GROUPS, BITS, 1, WARPS, False, True)
    scale = load_scales(scales, tile, group, GROUPS, GROUPS, 1, WARPS, False, True)
    halves = fragments(words, scale, BITS, ZERO, 1, WARPS, tl.float16, False)
    if ZERO:
        scale = (scale & 0xFFFF).to(tl.int16).to(tl.float16, bitcast=True)
    #             4 8 WARPS 1 2 -> WARPS, row, 1, t, 1, 1
    factor = tl.reshape(tl.permute(scale, [2, 3, 4, 1, 0]), [WARPS, 16, 1, 4, 1, 1])
    #             warp row jj jl t (r2, half) -> warp row jj t jl (r2, half), which is natural
    fine = tl.permute(tl.reshape(halves, [WARPS, 16, 4, 2, 4, 4]), [0, 1, 2, 4, 3, 5])
    dense = tl.reshape(fine * factor, [WARPS, 16, 128])
    of = group + tl.arange(0, WARPS)[:, None, None]
    row = tl.arange(0, 16)[None, :, None]
    k = of * 128 + tl.arange(0, 128)[None, None, :]
    tl.store(out + (tile * 16 + row).to(tl.int64) * INPUTS + k, dense, mask=of < GROUPS)


@triton.jit(do_not_specialize=["first"])
def rotate_kernel(
    qkv,
    bias,
    cos,
    sin,
    pages,
    first,
    q,
    k_cache,
    v_cache,
    HEADS: tl.constexpr,
    KV_HEADS: tl.constexpr,
    HEAD: tl.constexpr,
    PAGE: tl.constexpr,
    WIDE: tl.constexpr,
):
    """One token: bias and rotation; q in its natural order, k and v to their page."""
    token = tl.program_id(0)
    position = first + token
    KIND: tl.constexpr = q.dtype.element_ty
    ALL: tl.constexpr = HEADS + 2 * KV_HEADS
    HALF: tl.constexpr = HEAD // 2
    head = tl.arange(0, WIDE)[:, None]
    d = tl.arange(0, HALF)[None, :]
    real = (head < ALL) & (d < HALF)
    place = qkv + token.to(tl.int64) * (ALL * HEAD) + head * HEAD + d // 8 * 16 + d % 8
    a = tl.load(place, mask=real, other=0.0).to(tl.float32)
    b = tl.load(place + 8, mask=real, other=0.0).to(tl.float32)
    a = (a + tl.load(bias + head * HEAD + d, mask=real, other=0.0)).to(KIND).to(tl.float32)
    b += tl.load(bias + head * HEAD + HALF + d, mask=real, other=0.0)
    b = b.to(KIND).to(tl.float32)
    turned = head < HEADS + KV_HEADS
    c = tl.where(turned, tl.load(cos + position * HALF + d).to(tl.float32), 1.0)
    s = tl.where(turned, tl.load(sin + position * HALF + d).to(tl.float32), 0.0)
    low = (a * c - b * s).to(KIND)
    high = (b * c + a * s).to(KIND)
    to_q = q + token.to(tl.int64) * (HEADS * HEAD) + head * HEAD + d
    tl.store(to_q, low, mask=real & (head < HEADS))
    tl.store(to_q + HALF, high, mask=real & (head < HEADS))
    page = tl.load(pages + position // PAGE).to(tl.int64)
    own = tl.where(turned, head - HEADS, head - HEADS - KV_HEADS)
    slot = ((page * KV_HEADS + own) * PAGE + position % PAGE) * HEAD + d
    is_k = real & turned & (head >= HEADS)
    is_v = real & (head >= HEADS + KV_HEADS)
    tl.store(k_cache + slot, low, mask=is_k)
    tl.store(k_cache + slot + HALF, high, mask=is_k)
    tl.store(v_cache + slot, low, mask=is_v)
    tl.store(v_cache + slot + HALF, high, mask=is_v)


@triton.jit
def swiglu_rows_kernel(gate_up, out, SIZE: tl.constexpr, BLOCK: tl.constexpr):
    """out[token, SIZE] of interleaved gate and up."""
    token = tl.program_id(0).to(tl.int64)
    i = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    mask = i < SIZE
    place = gate_up + token * (2 * SIZE) + i // 8 * 16 + i % 8
    gate = tl.load(place, mask=mask, other=0.0).to(tl.float32)
    up = tl.load(place + 8, mask=mask, other=0.0)
    active = (gate / (1.0 + tl.exp(-gate))).to(up.dtype)
    tl.store(out + token * SIZE + i, active * up, mask=mask)
