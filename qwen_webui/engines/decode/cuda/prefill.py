"""Many tokens of one sequence at once: fills its pages and computes logits.

The library's own 16-bit products, and kernels for what is between them; a few tokens go through a
decode step instead, a column each.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from qwen_webui.engines.decode.cuda.cache import PAGE, Cache, power_of_two
from qwen_webui.engines.decode.cuda.kernels.prefill import (
    rotate_kernel,
    spread_kernel,
    swiglu_rows_kernel,
)
from qwen_webui.engines.decode.cuda.kernels.prefill_attention import prefill_attention_kernel
from qwen_webui.engines.decode.cuda.step import Start, launched
from qwen_webui.engines.decode.cuda.tiles import Card
from qwen_webui.engines.decode.cuda.weights import Product, Weights

WARPS = 4
BLOCK = 1024
# Tokens of a program of attention: larger ones, with two warp groups, were slower.
ATTENDED = 64


class Prefill:
    """One scratch tensor serves all packed products."""

    def __init__(self, weights: Weights, cache: Cache, card: Card) -> None:
        self._w, self._cache, self._card = weights, cache, card
        packed = [p for _, p in weights.layers[0].products if p.bits < 16]
        size = max((p.rows * p.inputs for p in packed), default=0)
        self._scratch = torch.empty(size, dtype=torch.float16, device=weights.table.device)

    def run(self, tokens: Tensor, pages: Tensor, first: int, every: bool) -> Tensor:
        """tokens [n] at positions from `first` on, which lie in `pages`: float32 logits of the
        last, [vocabulary], or with `every` of all, [n, vocabulary]."""
        w, shape = self._w, self._w.shape
        h = w.table[tokens]
        for index, layer in enumerate(w.layers):
            x = F.rms_norm(h, (shape.hidden,), layer.input_gain, shape.eps)
            x = self._attend(index, self._times(x, layer.qkv), layer.bias, pages, first)
            self._add(h, x, layer.o)
            x = F.rms_norm(h, (shape.hidden,), layer.post_gain, shape.eps)
            self._add(h, self._active(self._times(x, layer.gate_up)), layer.down)
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
        q = empty(1, shape.heads, shape.head)
        self._to_cache(start, 0, q, self._cache.table[0], 0, q)
        both, one = empty(1, 2 * shape.intermediate), empty(1, shape.intermediate)
        start(swiglu_rows_kernel, (1, 1), both, one, SIZE=shape.intermediate, BLOCK=BLOCK)

    def _active(self, gate_up: Tensor) -> Tensor:
        size, count = self._w.shape.intermediate, len(gate_up)
        out = gate_up.new_empty(count, size)
        launched(swiglu_rows_kernel, (count, -(-size // BLOCK)), gate_up, out, SIZE=size,
                 BLOCK=BLOCK)  # fmt: skip
        return out

    def _times(self, x: Tensor, product: Product) -> Tensor:
        return x @ self._dense(product).T

    def _add(self, h: Tensor, x: Tensor, product: Product) -> None:
        """To h, without a pass over memory of its own."""
        torch.addmm(h, x, self._dense(product).T, out=h)

    def _dense(self, product: Product) -> Tensor:
        """The product's weights in 16 bits, until the next are asked for."""
        return product.scales if product.bits == 16 else self._spread(launched, product)

    def _spread(self, start: Start, product: Product) -> Tensor:
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
        """To all that is in the cache, the piece's own keys and values among it."""
        shape, count = self._w.shape, len(qkv)
        q = qkv.new_empty(count, shape.heads, shape.head)
        self._rotate(launched, index, qkv, bias, pages, first, q)
        out = torch.empty_like(q)
        self._to_cache(launched, index, q, pages, first, out)
        return out.view(count, -1)

    def _to_cache(
        self, start: Start, index: int, q: Tensor, pages: Tensor, first: int, out: Tensor
    ) -> None:
        shape, cache = self._w.shape, self._cache
        start(
            prefill_attention_kernel, (-(-len(q) // ATTENDED), shape.heads), q, cache.k[index],
            cache.v[index], pages, out, first, len(q), math.log2(math.e) / math.sqrt(shape.head),
            HEADS=shape.heads, KV_HEADS=shape.kv_heads, HEAD=shape.head, PAGE=PAGE, BLOCK=ATTENDED,
            # Cards before Hopper have no room for a third stage.
            STAGES=3 if self._card.wgmma else 2, num_warps=4,
        )  # fmt: skip
