"""Many tokens of one sequence at once: fills its pages and computes logits.

The library's own 16-bit products and flash attention; a few tokens go through a decode step
instead, a column each.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from qwen_webui.engines.decode.cuda.cache import PAGE, Cache, power_of_two
from qwen_webui.engines.decode.cuda.kernels.prefill import (
    rotate_kernel,
    spread_kernel,
    swiglu_rows_kernel,
)
from qwen_webui.engines.decode.cuda.step import Start, launched
from qwen_webui.engines.decode.cuda.weights import Product, Weights

WARPS = 4
BLOCK = 1024


class Prefill:
    """One scratch tensor serves all packed products, two the keys and values of any layer: a
    tensor for each length would leave torch with memory that fits no other."""

    def __init__(self, weights: Weights, cache: Cache) -> None:
        self._w, self._cache = weights, cache
        packed = [p for _, p in weights.layers[0].products if p.bits < 16]
        size = max((p.rows * p.inputs for p in packed), default=0)
        self._scratch = torch.empty(size, dtype=torch.float16, device=weights.table.device)
        shape, width = weights.shape, cache.table.shape[1]
        self._before = cache.k.new_empty(2, shape.kv_heads, width, PAGE, shape.head)

    def run(self, tokens: Tensor, pages: Tensor, first: int, every: bool) -> Tensor:
        """tokens [n] at positions from `first` on, which lie in `pages`: float32 logits of the
        last, [vocabulary], or with `every` of all, [n, vocabulary]."""
        w, shape = self._w, self._w.shape
        h = w.table[tokens]
        for index, layer in enumerate(w.layers):
            x = F.rms_norm(h, (shape.hidden,), layer.input_gain, shape.eps)
            x = self._attend(index, self._times(x, layer.qkv), layer.bias, pages, first)
            h += self._times(x, layer.o)
            x = F.rms_norm(h, (shape.hidden,), layer.post_gain, shape.eps)
            h += self._times(self._active(self._times(x, layer.gate_up)), layer.down)
        x = F.rms_norm(h if every else h[-1:], (shape.hidden,), w.gain, shape.eps)
        logits = torch.mm(x, w.head.scales.T, out_dtype=torch.float32)
        return logits if every else logits[0]

    def compile(self, start: Start) -> None:
        """Hand all kernels to `start`, on tensors of the right kinds."""
        shape, layer = self._w.shape, self._w.layers[0]
        for _, product in layer.products:
            if product.bits < 16:
                self._spread(start, product)
        wide = (shape.heads + 2 * shape.kv_heads) * shape.head
        empty = self._w.table.new_empty
        self._rotate(start, 0, empty(1, wide), layer.bias, self._cache.table[0], 0,
                     empty(1, shape.heads, shape.head))  # fmt: skip
        both, one = empty(1, 2 * shape.intermediate), empty(1, shape.intermediate)
        start(swiglu_rows_kernel, (1, 1), both, one, SIZE=shape.intermediate, BLOCK=BLOCK)

    def _active(self, gate_up: Tensor) -> Tensor:
        size, count = self._w.shape.intermediate, len(gate_up)
        out = gate_up.new_empty(count, size)
        launched(swiglu_rows_kernel, (count, -(-size // BLOCK)), gate_up, out, SIZE=size,
                 BLOCK=BLOCK)  # fmt: skip
        return out

    def _times(self, x: Tensor, product: Product) -> Tensor:
        if product.bits == 16:
            return x @ product.scales.T
        return x @ self._spread(launched, product).T

    def _spread(self, start: Start, product: Product) -> Tensor:
        """The product's weights in 16 bits, until the next is spread."""
        dense = self._scratch[: product.rows * product.inputs].view(product.rows, product.inputs)
        start(
            spread_kernel, (product.rows // 16, -(-product.inputs // (128 * WARPS))),
            product.words, product.scales, dense, INPUTS=product.inputs, BITS=product.bits,
            ZERO=product.zero, WARPS=WARPS, num_warps=WARPS,
        )  # fmt: skip
        return dense

    def _rotate(
        self, start: Start, index: int, qkv: Tensor, bias: Tensor, pages: Tensor, first: int,
        q: Tensor,
    ) -> None:  # fmt: skip
        shape, cache = self._w.shape, self._cache
        total = shape.heads + 2 * shape.kv_heads
        start(
            rotate_kernel, (len(qkv),), qkv, bias, cache.cos, cache.sin, pages, first, q,
            cache.k[index], cache.v[index], HEADS=shape.heads, KV_HEADS=shape.kv_heads,
            HEAD=shape.head, PAGE=PAGE, WIDE=power_of_two(total), num_warps=8,
        )  # fmt: skip

    def _attend(self, index: int, qkv: Tensor, bias: Tensor, pages: Tensor, first: int) -> Tensor:
        """Of the piece to itself, and to what is in the cache before it."""
        shape, cache, count = self._w.shape, self._cache, len(qkv)
        q = qkv.new_empty(count, shape.heads, shape.head)
        self._rotate(launched, index, qkv, bias, pages, first, q)
        since = first // PAGE
        used = pages[since : -(-(first + count) // PAGE)]
        own = slice(first - since * PAGE, first - since * PAGE + count)
        k, v = (_kept(kept, used)[:, own] for kept in (cache.k[index], cache.v[index]))
        sharing = shape.heads // shape.kv_heads
        found, weight = _flash(
            q.transpose(0, 1), *(x.repeat_interleave(sharing, 0) for x in (k, v)), causal=True
        )
        if first:
            used = pages[: -(-first // PAGE)]
            k, v = (
                _kept(kept, used, place)[:, :first]
                for kept, place in zip((cache.k[index], cache.v[index]), self._before, strict=True)
            )
            # All heads that share keys ask at once: nothing here depends on who comes when.
            asked = q.view(count, shape.kv_heads, sharing, shape.head).permute(1, 2, 0, 3)
            before, before_weight = _flash(
                asked.reshape(shape.kv_heads, sharing * count, shape.head), k, v, causal=False
            )
            share = torch.sigmoid(weight - before_weight.view_as(weight))[..., None].to(q.dtype)
            found = torch.lerp(before.view_as(found), found, share)
        return found.transpose(0, 1).reshape(count, -1)


def _kept(cache: Tensor, pages: Tensor, place: Tensor | None = None) -> Tensor:
    """Of one layer's keys or values, [pages, KV heads, PAGE, head], those of a sequence:
    [KV heads, tokens, head]; in `place` [KV heads, most pages, PAGE, head] if there is one."""
    by_head = cache.transpose(0, 1)
    if place is None:
        return by_head[:, pages].flatten(1, 2)
    place = place[:, : len(pages)]
    torch.index_select(by_head, 1, pages, out=place)
    return place.flatten(1, 2)


def _flash(q: Tensor, k: Tensor, v: Tensor, *, causal: bool) -> tuple[Tensor, Tensor]:
    """Attention [heads, tokens, head] and the logarithm of its weights' sum, float32 [heads,
    tokens]. One kernel for every length: torch's own choice is sometimes a library that plans
    anew, for most of a second, whenever a length is new to it."""
    found, weight, *_ = torch.ops.aten._scaled_dot_product_flash_attention(
        q[None], k[None], v[None], 0.0, causal, False
    )
    return found[0], weight[0]
