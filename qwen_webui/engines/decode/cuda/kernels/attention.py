"""Attention of one new token a sequence over a paged cache, split along the sequence.

A program computes all query heads of one KV head over its share of the pages; the last of them to
finish puts the shares together. A sequence of one share needs no second look at memory.
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
def _attend(query, keys, values, top, weight, total, token, length, softmax_scale):
    """One page more: the largest score so far, and sums of exp2(score - it) and of those times
    the values."""
    scores = tl.dot(query, tl.trans(keys)) * softmax_scale
    scores = tl.where((token < length)[None, :], scores, float("-inf"))
    higher = tl.maximum(top, tl.max(scores, 1))
    fade = tl.exp2(top - higher)
    likely = tl.exp2(scores - higher[:, None])
    weight = weight * fade + tl.sum(likely, 1)
    total = total * fade[:, None] + tl.dot(likely.to(values.dtype), values)
    return higher, weight, total


@triton.jit
def _hand_in(
        share_sum, share_top, share_weight, spot, total, top, weight, real, arrived, shares, HEAD:
        tl.constexpr
):
    """This program's share to its place; whether all the others were there before."""
    d = tl.arange(0, HEAD)
    tl.store(share_sum + spot[:, None] * HEAD + d[None, :], total, mask=real[:, None])
    tl.store(share_top + spot, top)
    tl.store(share_weight + spot, weight)
    tl.debug_barrier()
    return tl.atomic_add(arrived, 1, sem="acq_rel") == shares - 1


@triton.jit
def _joined(
        share_sum, share_top, share_weight, base, shares, real, HEAD: tl.constexpr, SHARES:
        tl.constexpr, AT_ONCE: tl.constexpr
):
    """All shares of one sequence and KV head, from their places from `base` on: [16, HEAD]."""
    row = tl.arange(0, 16)
    d = tl.arange(0, HEAD)
    other = tl.arange(0, SHARES)
    spots = (base + other)[:, None] * 16 + row[None, :]
    arrive = (other < shares)[:, None]
    tops = tl.load(share_top + spots, mask=arrive, other=float("-inf"))
    weights = tl.load(share_weight + spots, mask=arrive, other=0.0)
    top = tl.max(tops, 0)
    weight = tl.sum(weights * tl.exp2(tops - top[None, :]), 0)
    total = tl.zeros([16, HEAD], tl.float32)
    for done in range(0, shares, AT_ONCE):
        for ahead in tl.static_range(AT_ONCE):
            spot = (base + done + ahead) * 16 + row
            there = (done + ahead < shares) & real
            its_top = tl.load(share_top + spot, mask=there, other=float("-inf"))
            place = share_sum + spot[:, None] * HEAD + d[None, :]
            its = tl.load(place, mask=there[:, None], other=0.0)
            total += its * tl.exp2(its_top - top)[:, None]
    return total / weight[:, None]


@triton.jit
def attention_kernel(
        q, k_cache, v_cache, positions, pages, page_stride, out, share_sum, share_top, share_weight,
        arrived, softmax_scale, HEADS: tl.constexpr, KV_HEADS: tl.constexpr, HEAD: tl.constexpr,
        PAGE: tl.constexpr, SHARES: tl.constexpr, AT_ONCE: tl.constexpr, PDL:
        tl.constexpr
):
    """out[column, HEADS * HEAD]. `arrived` [columns, KV_HEADS] is 0 before and after."""
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
        t = tl.arange(0, PAGE)
        real = row < GROUP
        place = column * (HEADS * HEAD) + (own * GROUP + row)[:, None] * HEAD + d[None, :]
        first = share * each
        end = tl.minimum(first + each, full)
        known = tl.minimum(length, end * PAGE)
        table = pages + column * page_stride
        query = tl.load(q + place, mask=real[:, None], other=0.0)
        keys, values = _page_of(k_cache, v_cache, table, first, own, known, KV_HEADS, HEAD, PAGE)
        top = tl.full([16], float("-inf"), tl.float32)
        weight = tl.zeros([16], tl.float32)
        total = tl.zeros([16, HEAD], tl.float32)
        for index in range(first, end):
            # The next page is on its way while this one is computed; past the end, none is.
            next_keys, next_values = _page_of(
                k_cache, v_cache, table, index + 1, own, known, KV_HEADS, HEAD, PAGE
            )
            top, weight, total = _attend(
                query, keys, values, top, weight, total, index * PAGE + t, length, softmax_scale
            )
            keys = next_keys
            values = next_values
        KIND: tl.constexpr = out.dtype.element_ty
        if shares == 1:
            tl.store(out + place, (total / weight[:, None]).to(KIND), mask=real[:, None])
        else:
            base = (column * KV_HEADS + own) * SHARES
            spot = (base + share) * 16 + row
            here = arrived + column * KV_HEADS + own
            if _hand_in(
                share_sum, share_top, share_weight, spot, total, top, weight, real, here, shares,
                HEAD
            ):
                tl.debug_barrier()
                result = _joined(
                    share_sum, share_top, share_weight, base, shares, real, HEAD, SHARES, AT_ONCE
                )
                tl.store(out + place, result.to(KIND), mask=real[:, None])
                tl.store(here, 0)
