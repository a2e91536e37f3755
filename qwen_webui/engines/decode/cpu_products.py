"""Linear layers on a CPU by PyTorch's own operators: dense, 4 bits by groups, 8 bits by rows.

The packed operators are quick in bfloat16 alone (in float32 torch has a plain loop for them, some
fifteen times slower), so what goes in is rounded to it whatever the model computes in. There is no
operator for 8 bits by groups: those weights are rescaled by rows once, a little less exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from qwen_webui.engines.decode.layouts import Linear, Plain, joined

# What bfloat16 weights of this operator may have for groups.
GROUPS = (32, 64, 128, 256)


class Product(Protocol):
    """x [tokens, inputs] to [tokens, outputs], in the dtype of x."""

    kernel: str

    def __call__(self, x: Tensor) -> Tensor: ...

    @property
    def nbytes(self) -> int: ...


@dataclass(slots=True)
class Dense:
    """Weights as they are."""

    weight: Tensor
    bias: Tensor | None = None
    kernel = "torch dense"

    def __call__(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)

    @property
    def nbytes(self) -> int:
        return self.weight.nbytes


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
        return Dense(linear.to(dtype), bias)
    rows, inputs = linear.values.shape
    if packed and linear.bits == 8 and inputs % 16 == 0:
        return Int8(linear, bias)
    if packed and linear.bits == 4 and linear.group in GROUPS and rows % 32 == 0:
        return Int4(linear, bias)
    return Dense(linear.dense(torch.float32).to(dtype), bias)
