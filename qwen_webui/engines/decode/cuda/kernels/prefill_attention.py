"""Attention of a piece of a prompt to the paged cache, its own tokens among it: causal, online.

A program computes BLOCK tokens of one query head. Pages before its first token need no mask; those
after are left out. Keys and values come straight from their pages, however these lie.
"""

from __future__ import annotations

# Signatures of kernels, one name a line, would hide the kernels.
# fmt: off
import triton
import triton.language as tl


@triton.jit
def _attend(
        query, top, weight, total, k_cache, v_cache, table, start, end, position, softmax_scale,
        own, KV_HEADS: tl.constexpr, HEAD: tl.constexpr, PAGE: tl.constexpr, MASK:
        tl.constexpr
):
    """One page of the sequence, from token `start` on."""
    t = tl.arange(0, PAGE)
    page = tl.load(table + start // PAGE).to(tl.int64)
    line = (page * KV_HEADS + own) * (PAGE * HEAD) + t * HEAD
    d = tl.arange(0, HEAD)
    keys = tl.load(k_cache + line[None, :] + d[:, None])
    scores = tl.dot(query, keys)
    if MASK:
        scores = tl.where((start + t)[None, :] <= position[:, None], scores, float("-inf"))
    higher = tl.maximum(top, tl.max(scores, 1))
    likely = tl.exp2(scores * softmax_scale - (higher * softmax_scale)[:, None])
    fade = tl.exp2((top - higher) * softmax_scale)
    weight = weight * fade + tl.sum(likely, 1)
    if MASK:
        # What somebody else left behind the last token may be no number.
        known = (start + t < end)[:, None]
        values = tl.load(v_cache + line[:, None] + d[None, :], mask=known, other=0.0)
    else:
        values = tl.load(v_cache + line[:, None] + d[None, :])
    total = tl.dot(likely.to(values.dtype), values, total * fade[:, None])
    return higher, weight, total


@triton.jit(do_not_specialize=["first", "count"])
def prefill_attention_kernel(
        q, k_cache, v_cache, pages, out, first, count, softmax_scale, HEADS: tl.constexpr, KV_HEADS:
        tl.constexpr, HEAD: tl.constexpr, PAGE: tl.constexpr, BLOCK: tl.constexpr, STAGES:
        tl.constexpr
):
    """out[token, HEADS * HEAD] of `count` queries q[token, HEADS * HEAD] at positions from `first`
    on, whose keys and values are in the cache. softmax_scale is that of powers of two."""
    # Those that see most begin first.
    block = tl.num_programs(0) - 1 - tl.program_id(0)
    head = tl.program_id(1)
    own = head // (HEADS // KV_HEADS)
    row = block * BLOCK + tl.arange(0, BLOCK)
    d = tl.arange(0, HEAD)
    place = row.to(tl.int64)[:, None] * (HEADS * HEAD) + head * HEAD + d[None, :]
    live = (row < count)[:, None]
    query = tl.load(q + place, mask=live, other=0.0)
    position = first + row
    top = tl.full([BLOCK], float("-inf"), tl.float32)
    weight = tl.zeros([BLOCK], tl.float32)
    total = tl.zeros([BLOCK, HEAD], tl.float32)
    # Up to here every token is seen by all of the block.
    common = (first + block * BLOCK + 1) // PAGE * PAGE
    end = first + tl.minimum((block + 1) * BLOCK, count)
    for start in tl.range(0, common, PAGE, num_stages=STAGES):
        top, weight, total = _attend(
                query, top, weight, total, k_cache, v_cache, pages, start, end, position,
                softmax_scale, own, KV_HEADS, HEAD, PAGE, False
        )
    for start in tl.range(common, end, PAGE, num_stages=STAGES):
        top, weight, total = _attend(
                query, top, weight, total, k_cache, v_cache, pages, start, end, position,
                softmax_scale, own, KV_HEADS, HEAD, PAGE, True
        )
    tl.store(out + place, (total / weight[:, None]).to(out.dtype.element_ty), mask=live)
