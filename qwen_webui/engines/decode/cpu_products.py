"""Linear layers on a CPU by PyTorch's own operators: dense, 4 bits by groups, 8 bits by rows.

The packed operators are quick in bfloat16 alone (in float32 torch has a plain loop for them, some
fifteen times slower), so what goes in is rounded to it whatever the model computes in. There is no
operator for 8 bits by groups: those weights are rescaled by rows once, a little less exact.

Dense products of some size go to oneDNN, in the layout it asks for: F.linear takes float32 to MKL,
which on AMD processors needs several times as long for a few rows (docs/log.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from qwen_webui.engines.decode.layouts import Linear, Plain, joined
from qwen_webui.memory import packs_on_cpu

# Weights of a product from which on oneDNN is the faster one; below, its call costs more than it
# saves.
LARGE = 1 << 19
# For which oneDNN lays weights out; others take the same layout.
ROWS = 8


class Product(Protocol):
    """x [tokens, inputs] to [tokens, outputs], in the dtype of x."""

    kernel: str

    def __call__(self, x: Tensor) -> Tensor: ...

    @property
    def nbytes(self) -> int: ...


@dataclass(slots=True)
class Dense:
    """Weights as they are; `shared` ones are counted where they come from."""

    weight: Tensor
    bias: Tensor | None = None
    shared: bool = False
    kernel = "torch dense"

    def __call__(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)

    @property
    def nbytes(self) -> int:
        return 0 if self.shared else self.weight.nbytes


class Blocked:
    """Dense weights for oneDNN: laid out anew, or as they are where the embeddings are `shared`."""

    kernel = "torch onednn"

    def __init__(self, weight: Tensor, bias: Tensor | None, shared: bool = False) -> None:
        self.nbytes = 0 if shared else weight.nbytes
        self._weight = weight if shared else _blocked(weight)
        self._bias = bias

    def __call__(self, x: Tensor) -> Tensor:
        found: Tensor = torch.ops.mkldnn._linear_pointwise(
            x, self._weight, self._bias, "none", [], ""
        )
        return found


class Int4:
    """Scale and zero for each group of inputs."""

    kernel = "torch int4pack"

    def __init__(self, plain: Plain, bias: Tensor | None) -> None:
        self._words = torch.ops.aten._convert_weight_to_int4pack_for_cpu(plain.values.int(), 1)
        scales = plain.scales.float().T
        # The operator takes the middle, 8, off each value and adds what is given here.
        offsets = (8 - plain.zeros.T.float()) * scales
        self._scales = torch.stack([scales, offsets], -1).bfloat16().contiguous()
        self._group = plain.group
        self._bias = bias

    def __call__(self, x: Tensor) -> Tensor:
        found: Tensor = torch.ops.aten._weight_int4pack_mm_for_cpu(
            x.bfloat16(), self._words, self._group, self._scales
        ).to(x.dtype)
        return found if self._bias is None else found.add_(self._bias)

    @property
    def nbytes(self) -> int:
        return int(self._words.nbytes + self._scales.nbytes)


class Int8:
    """One scale for each output."""

    kernel = "torch int8pack"

    def __init__(self, plain: Plain, bias: Tensor | None) -> None:
        dense = plain.dense(torch.float32)
        low, high = dense.aminmax(dim=1)
        self._scales = (torch.maximum(-low, high) / 127).clamp_min(1e-10).bfloat16()
        # Divided by the scale as rounded: what rounding took from it the values give back.
        dense.div_(self._scales.float()[:, None]).round_().clamp_(-128, 127)
        self._values = dense.char()
        self._bias = bias

    def __call__(self, x: Tensor) -> Tensor:
        found: Tensor = torch.ops.aten._weight_int8pack_mm(
            x.bfloat16(), self._values, self._scales
        ).to(x.dtype)
        return found if self._bias is None else found.add_(self._bias)

    @property
    def nbytes(self) -> int:
        return int(self._values.nbytes + self._scales.nbytes)


def product(
    parts: list[Linear], dtype: torch.dtype, bias: Tensor | None = None, packed: bool = True
) -> Product:
    """The products of one input as one; without `packed`, or where an operator does not take the
    shape, of the dense weights."""
    linear = joined(parts)
    bias = None if bias is None else bias.to(dtype)
    if isinstance(linear, Tensor):
        return dense(linear.to(dtype), bias)
    rows, inputs = linear.values.shape
    if packed and packs_on_cpu(linear.bits, rows, inputs, linear.group):
        return Int8(linear, bias) if linear.bits == 8 else Int4(linear, bias)
    return dense(linear.dense(torch.float32).to(dtype), bias)


def dense(weight: Tensor, bias: Tensor | None = None, shared: bool = False) -> Product:
    """By oneDNN where it is quicker; `shared` weights stay as they are."""
    if weight.numel() < LARGE or not _onednn_takes(weight.dtype):
        return Dense(weight, bias, shared)
    return Blocked(weight, bias, shared)


def _onednn_takes(dtype: torch.dtype) -> bool:
    if not torch.backends.mkldnn.is_available():
        return False
    return dtype == torch.float32 or (
        dtype == torch.bfloat16 and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    )


def _blocked(weight: Tensor) -> Tensor:
    found: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), ROWS)
    return found
