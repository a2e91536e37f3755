"""Attention of one new token a sequence over a paged cache, split along the sequence.

A program computes all query heads of one KV head over its share of the pages. Then the shares are
put together: many where all programs run at once (MEET) by programs that wait for all of them, a
query head each, others by the last to finish. A sequence of one share needs neither.
"""

from __future__ import annotations

# Signatures of kernels, one name a line, would hide the kernels.
# fmt: off
import triton
import triton.language as tl
from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait


@triton.jit
def _page_of(
        k_cache, v_cache, table, index, own, known, KV_HEADS: tl.constexpr, HEAD: tl.constexpr,
        PAGE: tl.constexpr
):
    """Keys and values [PAGE, HEAD] of a sequence's page `index`; 0 from token `known` on."""
    token = index * PAGE + tl.arange(0, PAGE)
    page = tl.load(table + index, mask=index * PAGE < known, other=0).to(tl.int64)
    cell = tl.arange(0, PAGE)[:, None] * HEAD + tl.arange(0, HEAD)[None, :]
    place = (page * KV_HEADS + own) * (PAGE * HEAD) + cell
    inside = (token < known)[:, None]
    keys = tl.load(k_cache + place, mask=inside, other=0.0)
    values = tl.load(v_cache + place, mask=inside, other=0.0)
    return keys, values


@triton.jit
def _attend(
        query, keys, values, top, weight, total, index, length, softmax_scale, PAGE: tl.constexpr
):
    """One page more: the largest score so far, and sums of exp2(score - it) and of those times
    the values."""
    t = index * PAGE + tl.arange(0, PAGE)
    scores = tl.dot(query, tl.trans(keys)) * softmax_scale
    scores = tl.where((t < length)[None, :], scores, float("-inf"))
    higher = tl.maximum(top, tl.max(scores, 1))
    fade = tl.exp2(top - higher)
    likely = tl.exp2(scores - higher[:, None])
    weight = weight * fade + tl.sum(likely, 1)
    total = tl.dot(likely.to(values.dtype), values, total * fade[:, None])
    return higher, weight, total


@triton.jit
def _joined(
        share_sum, share_top, share_weight, base, shares, real, HEAD: tl.constexpr, AT_ONCE:
        tl.constexpr
):
    """All shares of one sequence and KV head, from their places from `base` on: [16, HEAD]."""
    row = tl.arange(0, 16)
    d = tl.arange(0, HEAD)
    top = tl.full([16], float("-inf"), tl.float32)
    weight = tl.zeros([16], tl.float32)
    total = tl.zeros([16, HEAD], tl.float32)
    for done in range(0, shares, AT_ONCE):
        for ahead in tl.static_range(AT_ONCE):
            spot = (base + done + ahead) * 16 + row
            there = (done + ahead < shares) & real
            place = share_sum + spot[:, None] * HEAD + d[None, :]
            its_top = tl.load(share_top + spot, mask=there, other=float("-inf"))
            its_weight = tl.load(share_weight + spot, mask=there, other=0.0)
            its = tl.load(place, mask=there[:, None], other=0.0)
            higher = tl.maximum(top, its_top)
            fade = tl.exp2(top - higher)
            rise = tl.exp2(its_top - higher)
            weight = weight * fade + its_weight * rise
            total = total * fade[:, None] + its * rise[:, None]
            top = higher
    return total / weight[:, None]


@triton.jit
def _joined_head(
        share_sum, share_top, share_weight, base, shares, row, HEAD: tl.constexpr, SHARES:
        tl.constexpr
):
    """All shares of one query head: [HEAD]."""
    other = tl.arange(0, SHARES)
    there = other < shares
    spots = (base + other) * 16 + row
    # Past the first-level cache, which knows nothing of what other programs wrote.
    tops = tl.load(share_top + spots, mask=there, other=float("-inf"), cache_modifier=".cg")
    weights = tl.load(share_weight + spots, mask=there, other=0.0, cache_modifier=".cg")
    place = share_sum + spots[:, None] * HEAD + tl.arange(0, HEAD)[None, :]
    sums = tl.load(place, mask=there[:, None], other=0.0, cache_modifier=".cg")
    fade = tl.exp2(tops - tl.max(tops, 0))
    return tl.sum(sums * fade[:, None], 0) / tl.sum(weights * fade, 0)


@triton.jit
def attention_kernel(
        q, k_cache, v_cache, positions, pages, page_stride, out, share_sum, share_top, share_weight,
        arrived, softmax_scale, HEADS: tl.constexpr, KV_HEADS: tl.constexpr, HEAD: tl.constexpr,
        PAGE: tl.constexpr, SHARES: tl.constexpr, AT_ONCE: tl.constexpr, MEET: tl.constexpr, STAGES:
        tl.constexpr, PDL: tl.constexpr
):
    """out[column, HEADS * HEAD]. `arrived` [columns, KV_HEADS, 2] is 0 before and after: programs
    that have computed, and programs that have gone."""
    own = tl.program_id(0)
    share = tl.program_id(1)
    column = tl.program_id(2)
    GROUP: tl.constexpr = HEADS // KV_HEADS
    length = tl.load(positions + column) + 1
    full = (length + PAGE - 1) // PAGE
    each = (full + SHARES - 1) // SHARES
    shares = (full + each - 1) // each
    if PDL:
        gdc_launch_dependents()
        gdc_wait()
    if share < shares:
        row = tl.arange(0, 16)
        d = tl.arange(0, HEAD)
        real = row < GROUP
        place = column * (HEADS * HEAD) + (own * GROUP + row)[:, None] * HEAD + d[None, :]
        first = share * each
        end = tl.minimum(first + each, full)
        known = tl.minimum(length, end * PAGE)
        table = pages + column * page_stride
        query = tl.load(q + place, mask=real[:, None], other=0.0)
        top = tl.full([16], float("-inf"), tl.float32)
        weight = tl.zeros([16], tl.float32)
        total = tl.zeros([16, HEAD], tl.float32)
        if STAGES:
            for index in tl.range(first, end, num_stages=STAGES):
                keys, values = _page_of(
                    k_cache, v_cache, table, index, own, known, KV_HEADS, HEAD, PAGE
                )
                top, weight, total = _attend(
                    query, keys, values, top, weight, total, index, length, softmax_scale, PAGE
                )
        else:
            keys, values = _page_of(
                k_cache, v_cache, table, first, own, known, KV_HEADS, HEAD, PAGE
            )
            for index in range(first, end):
                # The next page is on its way while this one is computed; past the end, none is.
                next_keys, next_values = _page_of(
                    k_cache, v_cache, table, index + 1, own, known, KV_HEADS, HEAD, PAGE
                )
                top, weight, total = _attend(
                    query, keys, values, top, weight, total, index, length, softmax_scale, PAGE
                )
                keys = next_keys
                values = next_values
        KIND: tl.constexpr = out.dtype.element_ty
        if shares == 1:
            tl.store(out + place, (total / weight[:, None]).to(KIND), mask=real[:, None])
        else:
            base = (column * KV_HEADS + own) * SHARES
            spot = (base + share) * 16 + row
            tl.store(share_sum + spot[:, None] * HEAD + d[None, :], total, mask=real[:, None])
            tl.store(share_top + spot, top)
            tl.store(share_weight + spot, weight)
            tl.debug_barrier()
            here = arrived + (column * KV_HEADS + own) * 2
            before = tl.atomic_add(here, 1, sem="acq_rel")
            if MEET and shares > AT_ONCE:
                while before < shares:
                    before = tl.atomic_add(here, 0, sem="acquire")
                for one in range(share, GROUP, shares):
                    result = _joined_head(
                        share_sum, share_top, share_weight, base, shares, one, HEAD, SHARES
                    )
                    to = out + (column * HEADS + own * GROUP + one) * HEAD + d
                    tl.store(to, result.to(KIND))
                if tl.atomic_add(here + 1, 1, sem="acq_rel") == shares - 1:
                    tl.store(here, 0)
                    tl.store(here + 1, 0)
            elif before == shares - 1:
                tl.debug_barrier()
                result = _joined(
                    share_sum, share_top, share_weight, base, shares, real, HEAD, AT_ONCE
                )
                tl.store(out + place, result.to(KIND), mask=real[:, None])
                tl.store(here, 0)
