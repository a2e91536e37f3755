"""A Qwen2 checkpoint's tensors as the decode kernels want them: rows in their order, words packed.

Reads through source.py, straight onto the card. Says why where a checkpoint does not fit; needs
no Triton and no card itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from qwen_webui.engines.decode.cuda import packing
from qwen_webui.engines.decode.cuda.packing import GROUP, ROWS
from qwen_webui.engines.decode.layouts import Linear, joined, take_rows
from qwen_webui.engines.decode.source import LayerTensors, NotForThisPath, Shape, Source

HEAD_SIZES = (64, 128)
# Query heads that share a KV head lie in the rows of one tile.
MOST_SHARING = 16
# Bytes that torch may hold for nobody while a checkpoint is read.
SLACK = 256 << 20


@dataclass(frozen=True, slots=True)
class Product:
    """One linear layer: words are int32, of 16-bit weights [rows, inputs / 2] as they are, and
    `scales` are then the weights themselves."""

    words: Tensor
    scales: Tensor
    bits: int
    zero: bool
    rows: int
    inputs: int

    @property
    def bytes(self) -> int:
        """Read once a step."""
        return self.words.nbytes + (0 if self.bits == 16 else self.scales.nbytes)


@dataclass(frozen=True, slots=True)
class Layer:
    """One decoder layer."""

    qkv: Product
    bias: Tensor
    o: Product
    gate_up: Product
    down: Product
    input_gain: Tensor
    post_gain: Tensor

    @property
    def products(self) -> tuple[tuple[str, Product], ...]:
        """By the names of tiles.py."""
        return (
            ("qkv", self.qkv),
            ("o", self.o),
            ("gate_up", self.gate_up),
            ("down", self.down),
        )


@dataclass(frozen=True, slots=True)
class Weights:
    """The whole model. `head` may be the table itself."""

    shape: Shape
    table: Tensor
    layers: tuple[Layer, ...]
    gain: Tensor
    head: Product

    @property
    def dtype(self) -> torch.dtype:
        """What is computed in: float16 or bfloat16."""
        return self.table.dtype

    @property
    def bytes_a_step(self) -> int:
        """All that a step must read of them."""
        return self.head.bytes + sum(p.bytes for x in self.layers for _, p in x.products)

    @property
    def bytes(self) -> int:
        """On the card; the table once."""
        tied = self.head.words.data_ptr() == self.table.data_ptr()
        return self.bytes_a_step + (0 if tied else self.table.nbytes)


def require_shape(shape: Shape) -> None:
    """Raises NotForThisPath for sizes that tiles of 16 rows and groups of 128 do not divide."""
    if shape.head not in HEAD_SIZES:
        raise NotForThisPath(f"its heads have size {shape.head}")
    if shape.heads % shape.kv_heads or shape.heads // shape.kv_heads > MOST_SHARING:
        raise NotForThisPath(f"{shape.heads} heads share {shape.kv_heads} of keys")
    for name, size in (
        ("hidden size", shape.hidden),
        ("intermediate size", shape.intermediate),
        ("attention's width", shape.heads * shape.head),
    ):
        if size % GROUP:
            raise NotForThisPath(f"its {name} {size} is not a multiple of {GROUP}")
    if shape.vocabulary % ROWS:
        raise NotForThisPath(f"its vocabulary {shape.vocabulary} is not a multiple of {ROWS}")


def head_order(heads: int, head: int) -> Tensor:
    """Rows of heads such that each tile of 16 holds d..d+7 and d+head/2.. of one head."""
    rows = torch.arange(heads * head).view(heads, 2, head // 16, 8)
    return rows.permute(0, 2, 1, 3).reshape(-1)


def gate_up_order(intermediate: int) -> Tensor:
    """Rows of gate, then up, such that each tile of 16 holds eight of gate and the same of up."""
    return torch.arange(2 * intermediate).view(2, -1, 8).permute(1, 0, 2).reshape(-1)


def ordered(linear: Linear, order: Tensor | None) -> Linear:
    """With its output rows in `order`."""
    if order is None:
        return linear
    if isinstance(linear, Tensor):
        return linear[order.to(linear.device)]
    return take_rows(linear, order.to(linear.values.device))


def product(linear: Linear, dtype: torch.dtype = torch.float16) -> Product:
    """Any linear layer whose rows are in their order. Raises NotForThisPath."""
    if isinstance(linear, Tensor):
        dense = linear.to(dtype).contiguous()
        rows, inputs = dense.shape
        return Product(dense.view(torch.int32), dense, 16, False, rows, inputs)
    if linear.group != GROUP:
        raise NotForThisPath(f"its groups are of {linear.group} inputs, not {GROUP}")
    if dtype != torch.float16:
        raise NotForThisPath("packed weights are computed in float16 only")
    packed = packing.pack(linear)
    return Product(
        packed.words, packed.scales, packed.bits, packed.zeros, packed.rows, packed.inputs
    )


def fused(shape: Shape, found: LayerTensors) -> Iterator[tuple[str, Linear]]:
    """The four products of a layer as the kernels compute them, rows in their order, one at a
    time: together they would take the memory of a layer once more."""
    order = head_order(shape.heads + 2 * shape.kv_heads, shape.head)
    yield "qkv", ordered(joined([found.q, found.k, found.v]), order)
    yield "o", found.o
    both = joined([found.gate, found.up])
    yield "gate_up", ordered(both, gate_up_order(shape.intermediate))
    yield "down", found.down


def layer(shape: Shape, found: LayerTensors, dtype: torch.dtype = torch.float16) -> Layer:
    """One decoder layer, packed where its tensors are."""
    products = {name: product(linear, dtype) for name, linear in fused(shape, found)}
    return Layer(
        bias=torch.cat([found.q_bias, found.k_bias, found.v_bias]).to(dtype),
        input_gain=found.input_gain.to(dtype),
        post_gain=found.post_gain.to(dtype),
        **products,
    )


def read(source: Source, dtype: torch.dtype) -> Weights:
    """All of a checkpoint. Raises CheckpointError, NotForThisPath, torch.OutOfMemoryError."""
    shape = source.shape
    require_shape(shape)
    table = source.table().to(dtype)
    head = source.head()
    layers = []
    for place in range(shape.layers):
        layers.append(layer(shape, source.layer(place), dtype))
        if table.is_cuda and torch.cuda.memory_reserved() > torch.cuda.memory_allocated() + SLACK:
            # Blocks of what stood between fit nothing of the next layer.
            torch.cuda.empty_cache()
    gain = source.gain().to(dtype)
    return Weights(
        shape, table, tuple(layers), gain, product(table if head is None else head, dtype)
    )
