"""One decode step of Qwen2 for a fixed number of rows, as one CUDA graph.

Token, position and pages of every row are read from device memory, so one graph serves every step.
Holds nothing of its own but the graph: the cache (cache.py) and the buffers belong to the caller,
and steps of all sizes share them, for only one runs at a time.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from qwen_webui.engines.decode.cuda.cache import PAGE, Buffers, Cache, power_of_two
from qwen_webui.engines.decode.cuda.kernels.attention import attention_kernel
from qwen_webui.engines.decode.cuda.kernels.fused import (
    embed_kernel,
    greedy_kernel,
    head_kernel,
    qkv_kernel,
    residual_kernel,
    swiglu_kernel,
)
from qwen_webui.engines.decode.cuda.tiles import COLUMNS, Launch
from qwen_webui.engines.decode.cuda.weights import Layer, Product, Weights

# Starts a kernel, or does something else with it (compiling.py): kernel, grid, arguments, options.
Start = Callable[..., None]
ATTENTION_WARPS = 8
SHARES_AT_ONCE = 4


def launched(kernel: Any, grid: tuple[int, ...], *arguments: object, **options: object) -> None:
    """Start it on the current stream."""
    kernel[grid](*arguments, **options)


class DecodeStep:
    """`count` rows at once: logits, and the likeliest token of each, to the buffers."""

    def __init__(
        self, weights: Weights, cache: Cache, buffers: Buffers, logits: Tensor, count: int
    ) -> None:
        self._w, self._cache, self._b = weights, cache, buffers
        self.count, self.logits = count, logits
        self._columns = next(columns for columns in COLUMNS if columns >= count)
        self._shares = buffers.shares(count)
        self._pdl = {"PDL": buffers.card.pdl, "launch_pdl": buffers.card.pdl}
        self._programs = self._launch("head", weights.head).grid[0]
        first = weights.layers[0]
        summing = self._launch("o", first.o).grid[0], self._launch("down", first.down).grid[0]
        # Programs that sum up squares: those of the products that add to h.
        self._span = power_of_two(max(summing))
        self._graph: torch.cuda.CUDAGraph | None = None

    def capture(self) -> None:
        """Record the graph. The rows are the spare one meanwhile; kernels that are not compiled
        yet are compiled now."""
        self._b.spare(self._cache.spare_row)
        self._gather_and_launch()
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        # Other threads may ask the card for its memory meanwhile.
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            self._gather_and_launch()
        self._graph = graph

    def run(self) -> None:
        """One step."""
        assert self._graph is not None, "captured before it is run"
        self._graph.replay()

    def release(self) -> None:
        """Give up the graph."""
        self._graph = None

    def _gather_and_launch(self) -> None:
        rows, pages = self._b.rows[: self.count], self._b.pages[: self.count]
        torch.index_select(self._cache.table, 0, rows, out=pages)
        self.launch(launched)

    def compile(self, start: Start) -> None:
        """Hand each kernel to `start`: every layer is like the first."""
        self._embed(start)
        self._attend(start, 0, self._w.layers[0])
        self._feed_forward(start, self._w.layers[0], self._w.gain)
        self._finish(start)

    def launch(self, start: Start) -> None:
        """All kernels of a step, in order."""
        w = self._w
        self._embed(start)
        for index, layer in enumerate(w.layers):
            following = w.layers[index + 1].input_gain if index + 1 < len(w.layers) else w.gain
            self._attend(start, index, layer)
            self._feed_forward(start, layer, following)
        self._finish(start)

    def _embed(self, start: Start) -> None:
        w, b, shape = self._w, self._b, self._w.shape
        # Pages and positions were written by kernels that know nothing of programmatic launches:
        # the first of ours waits for all of them.
        start(
            embed_kernel, (self.count,), b.tokens, w.table, w.layers[0].input_gain, b.h, b.x,
            b.partial[0], b.partial[1], b.scale[1], HIDDEN=shape.hidden,
            VOCABULARY=shape.vocabulary, SPAN=self._span, WIDE=power_of_two(shape.hidden),
            EPS=shape.eps, num_warps=8, PDL=b.card.pdl, launch_pdl=False,
        )  # fmt: skip

    def _attend(self, start: Start, index: int, layer: Layer) -> None:
        """The first half of a decoder layer."""
        shape, cache, b = self._w.shape, self._cache, self._b
        sizes = {"HEADS": shape.heads, "KV_HEADS": shape.kv_heads, "HEAD": shape.head, "PAGE": PAGE}
        qkv = self._launch("qkv", layer.qkv)
        start(
            qkv_kernel, qkv.grid, *self._of(layer.qkv, b.x), layer.bias, b.partial[0], b.scale[1],
            b.scale[0], b.positions, b.pages, b.pages.shape[1], cache.cos, cache.sin, b.q,
            cache.k[index], cache.v[index], self.count, SPAN=self._span, EPS=shape.eps, **sizes,
            **qkv.options,
        )  # fmt: skip
        start(
            attention_kernel, (shape.kv_heads, self._shares, self.count), b.q, cache.k[index],
            cache.v[index], b.positions, b.pages, b.pages.shape[1], b.attended, b.share_sum,
            b.share_top, b.share_weight, b.arrived, math.log2(math.e) / math.sqrt(shape.head),
            SHARES=self._shares, AT_ONCE=SHARES_AT_ONCE, num_warps=ATTENTION_WARPS,
            num_stages=1, **sizes, **self._pdl,
        )  # fmt: skip
        self._add(start, "o", b.attended, layer.o, layer.post_gain, b.scale[0], b.partial[1])

    def _feed_forward(self, start: Start, layer: Layer, following: Tensor) -> None:
        """The second half; `following` is the gain of the norm after it."""
        shape, b = self._w.shape, self._b
        both = self._launch("gate_up", layer.gate_up)
        start(
            swiglu_kernel, both.grid, *self._of(layer.gate_up, b.x), b.partial[1], b.scale[0],
            b.scale[1], b.mlp, self.count, ROWS=shape.intermediate, SPAN=self._span, EPS=shape.eps,
            **both.options,
        )  # fmt: skip
        self._add(start, "down", b.mlp, layer.down, following, b.scale[1], b.partial[0])

    def _add(
        self, start: Start, name: str, x: Tensor, product: Product, gain: Tensor, scale: Tensor,
        partial: Tensor,
    ) -> None:  # fmt: skip
        """A product whose result is added to h."""
        launch = self._launch(name, product)
        start(
            residual_kernel, launch.grid, *self._of(product, x), self._b.h, gain, scale, self._b.x,
            partial, self.count, ROWS=product.rows, SPAN=self._span, **launch.options,
        )  # fmt: skip

    def _finish(self, start: Start) -> None:
        """Logits, and the likeliest tokens."""
        shape, head, b = self._w.shape, self._w.head, self._b
        launch = self._launch("head", head)
        start(
            head_kernel, launch.grid, *self._of(head, b.x), b.partial[0], b.scale[1], b.scale[0],
            self.logits, b.best, b.best_row, self.count, ROWS=shape.vocabulary,
            PROGRAMS=self._programs, SPAN=self._span, EPS=shape.eps, **launch.options,
        )  # fmt: skip
        start(
            greedy_kernel, (self.count,), b.best, b.best_row, b.likeliest, num_warps=8,
            PROGRAMS=self._programs, WIDE=power_of_two(self._programs), **self._pdl,
        )  # fmt: skip

    def _launch(self, name: str, product: Product) -> Launch:
        return Launch.of(name, product, self._columns, self._b.card)

    def _of(self, product: Product, x: Tensor) -> tuple[object, ...]:
        """What every product is given first. The columns of x lie one input after another; a
        single one fills all columns."""
        stride = 0 if self.count == 1 else product.inputs
        b = self._b
        return x, stride, product.words, product.scales, b.product_shares, b.programs_arrived
