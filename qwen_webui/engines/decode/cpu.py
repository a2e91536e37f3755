"""Qwen2 on a CPU, written out in PyTorch operators, over a paged cache.

Does what its computer.py says and is what the tests of the scheduler run on. Long prompts and many
rows go through the same operators; nothing is compiled.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import PretrainedConfig

from qwen_webui.engines.decode.computer import Timed
from qwen_webui.engines.decode.cpu_products import Product, dense, product
from qwen_webui.engines.decode.sampling import Sampler
from qwen_webui.engines.decode.source import LayerTensors, Shape, Source, rotation
from qwen_webui.types import Dtype, LoadPlan

PAGE_TOKENS = 16
ROWS = 32
PIECE = 256
# Contexts that the cache holds where memory allows; the system gives it only what is written to.
CONTEXTS = 8
# Of the memory that is available after the weights.
CACHE_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class Layer:
    """One decoder layer; products of one input are one product."""

    qkv: Product
    o: Product
    gate_up: Product
    down: Product
    input_gain: Tensor
    post_gain: Tensor


@dataclass(frozen=True, slots=True)
class Weights:
    """The whole model."""

    shape: Shape
    table: Tensor
    layers: tuple[Layer, ...]
    gain: Tensor
    head: Product

    @property
    def nbytes(self) -> int:
        """Products and table."""
        products = [p for la in self.layers for p in (la.qkv, la.o, la.gate_up, la.down)]
        return sum(p.nbytes for p in (*products, self.head)) + self.table.nbytes


@dataclass(frozen=True, slots=True)
class Step:
    """What all layers of one forward pass share. `own` are the places of the cache that the new
    tokens take; `read`, for each sequence, those that are attended to. With a mask there is one
    sequence of many tokens, else many of one."""

    cos: Tensor
    sin: Tensor
    own: Tensor
    read: tuple[Tensor, ...]
    mask: Tensor | None = None


class CpuComputer:
    """A Computer (computer.py)."""

    device = torch.device("cpu")
    page_tokens = PAGE_TOKENS
    piece = PIECE
    asynchronous = False

    def __init__(
        self, weights: Weights, tables: tuple[Tensor, Tensor], pages: int, rows: int = ROWS
    ) -> None:
        self._w = weights
        self._cos, self._sin = _halved(tables, weights.table.dtype)
        self.rows, self.pages = rows, pages
        self.vocabulary = weights.shape.vocabulary
        self.kernel = weights.layers[0].gate_up.kernel
        self.weights_bytes = weights.nbytes
        shape = weights.shape
        size = (pages * PAGE_TOKENS, shape.kv_heads * shape.head)
        # Not zeros: the system gives memory once it is written to. Nobody reads before that.
        self._k = [torch.empty(size, dtype=weights.table.dtype) for _ in weights.layers]
        self._v = [torch.empty(size, dtype=weights.table.dtype) for _ in weights.layers]
        self.cache_bytes = sum(part.nbytes for part in (*self._k, *self._v))
        self._places: list[Tensor] = [torch.empty(0, dtype=torch.int64)] * rows
        self._timed: Timed | None = None

    def seat(self, row: int, pages: Sequence[int]) -> None:
        """See computer.py."""
        places = torch.tensor(pages)[:, None] * PAGE_TOKENS + torch.arange(PAGE_TOKENS)
        self._places[row] = places.view(-1)

    def prefill(
        self, row: int, token_ids: Sequence[int], start: int, every: bool = False
    ) -> Tensor:
        """See computer.py."""
        began, count = time.monotonic(), len(token_ids)
        places = self._places[row][: start + count]
        # Rows of the mask are the new tokens, columns all up to the last of them.
        mask = torch.ones(count, start + count, dtype=torch.bool).tril_(start)
        positions = slice(start, start + count)
        cos, sin = self._cos[positions], self._sin[positions]
        step = Step(cos, sin, places[start:], (places,), mask)
        hidden = self._forward(torch.tensor(token_ids), step)
        logits = self._logits(hidden if every else hidden[-1:])
        self._timed = Timed(count, time.monotonic() - began)
        return logits if every else logits[0]

    def timed(self) -> Timed | None:
        """See computer.py."""
        timed, self._timed = self._timed, None
        return timed

    def decode(self, rows: Sequence[int], tokens: Tensor, positions: Sequence[int]) -> Tensor:
        """See computer.py."""
        at = torch.tensor(positions)
        read = tuple(
            self._places[row][: position + 1] for row, position in zip(rows, positions, strict=True)
        )
        own = torch.stack([places[-1] for places in read])
        return self._logits(self._forward(tokens, Step(self._cos[at], self._sin[at], own, read)))

    def sampler(self) -> Sampler:
        """See computer.Computer."""
        return Sampler(self.rows, self.vocabulary, self.device)

    def likeliest(self, count: int) -> None:
        """Nothing here finds them on the way."""

    def close(self) -> None:
        """See computer.py."""
        del self._w, self._k, self._v

    def _forward(self, tokens: Tensor, step: Step) -> Tensor:
        """[tokens, hidden] after the last layer, before the last norm."""
        shape = self._w.shape
        h = self._w.table[tokens]
        for place, layer in enumerate(self._w.layers):
            x = F.rms_norm(h, (shape.hidden,), layer.input_gain, shape.eps)
            h = h + layer.o(self._attended(place, layer.qkv(x), step))
            x = F.rms_norm(h, (shape.hidden,), layer.post_gain, shape.eps)
            gate, up = layer.gate_up(x).chunk(2, -1)
            h = h + layer.down(F.silu(gate) * up)
        return h

    def _attended(self, place: int, qkv: Tensor, step: Step) -> Tensor:
        """Rotate, write to the cache, attend: [tokens, heads * head]."""
        shape = self._w.shape
        tokens, turned = len(qkv), shape.heads + shape.kv_heads
        parts = qkv.view(tokens, -1, 2, shape.head // 2)
        rotated = _rotated(parts[:, :turned], step.cos, step.sin)
        q, k = rotated[:, : shape.heads], rotated[:, shape.heads :]
        self._k[place].index_copy_(0, step.own, k.reshape(tokens, -1))
        self._v[place].index_copy_(0, step.own, parts[:, turned:].reshape(tokens, -1))
        if step.mask is not None:
            kept = self._kept(place, step.read[0])
            q = q.transpose(0, 1)[None]
            found = F.scaled_dot_product_attention(q, *kept, attn_mask=step.mask, enable_gqa=True)
            return found[0].transpose(0, 1).reshape(tokens, -1)
        # One by one: together they would be padded, and would not round as each does alone. The
        # heads that share a key stand as if they were its queries.
        q = q.reshape(tokens, 1, shape.kv_heads, -1, shape.head)
        found = torch.cat(
            [
                F.scaled_dot_product_attention(q[row], *self._kept(place, read))
                for row, read in enumerate(step.read)
            ]
        )
        return found.reshape(tokens, -1)

    def _kept(self, place: int, read: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values, [1, KV heads, tokens, head]."""
        size = (1, -1, self._w.shape.kv_heads, self._w.shape.head)
        k, v = self._k[place].index_select(0, read), self._v[place].index_select(0, read)
        return k.view(size).transpose(1, 2), v.view(size).transpose(1, 2)

    def _logits(self, hidden: Tensor) -> Tensor:
        shape = self._w.shape
        return self._w.head(F.rms_norm(hidden, (shape.hidden,), self._w.gain, shape.eps)).float()


def load_computer(
    plan: LoadPlan, config: PretrainedConfig, dtype: Dtype, packed: bool = True
) -> CpuComputer:
    """Weights of `plan` and room for its context. Raises CheckpointError and NotForThisPath."""
    wide: torch.dtype = getattr(torch, dtype)
    source = Source(Path(plan.folder), config)
    shape = source.shape
    table, head = source.table().to(wide), source.head()
    last = dense(table, shared=True) if head is None else dense(head.to(wide))
    source.let_go()
    layers = []
    for at in range(shape.layers):
        layers.append(_layer(source.layer(at), wide, packed))
        source.let_go()
    weights = Weights(shape, table, tuple(layers), source.gain().to(wide), last)
    page = 2 * shape.layers * shape.kv_heads * shape.head * wide.itemsize * PAGE_TOKENS
    one = -(-plan.max_context // PAGE_TOKENS)
    room = int(psutil.virtual_memory().available * CACHE_SHARE) // page
    pages = max(one, min(CONTEXTS * one, room))
    return CpuComputer(weights, rotation(config, plan.max_context), pages)


def _layer(found: LayerTensors, dtype: torch.dtype, packed: bool) -> Layer:
    bias = torch.cat([found.q_bias, found.k_bias, found.v_bias])
    return Layer(
        product([found.q, found.k, found.v], dtype, bias, packed),
        product([found.o], dtype, packed=packed),
        product([found.gate, found.up], dtype, packed=packed),
        product([found.down], dtype, packed=packed),
        found.input_gain.to(dtype),
        found.post_gain.to(dtype),
    )


def _halved(tables: tuple[Tensor, Tensor], dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Of [positions, head], as [positions, 1, 2, head / 2]; sines of the first half are negated,
    for that is what the second half is multiplied by on its way there."""
    cos, sin = (table.view(len(table), 1, 2, -1).to(dtype) for table in tables)
    return cos, torch.cat([-sin[:, :, :1], sin[:, :, 1:]], 2)


def _rotated(parts: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    return (parts * cos + parts.flip(2) * sin).flatten(2)
