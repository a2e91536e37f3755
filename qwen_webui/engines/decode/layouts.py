"""The two published layouts of packed weights, unpacked: GPTQ (4 and 8 bits) and AWQ gemm.

Plain torch on any device. Multiplies nothing, and packs nothing again for a kernel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)


@dataclass(frozen=True, slots=True)
class Plain:
    """Unpacked: values [rows, inputs] uint8, scales and zeros [rows, groups] float16 and uint8."""

    values: Tensor
    scales: Tensor
    zeros: Tensor
    bits: int

    @property
    def group(self) -> int:
        """Inputs that share a scale."""
        return self.values.shape[1] // self.scales.shape[1]

    def dense(self, dtype: torch.dtype = torch.float64) -> Tensor:
        """The weights themselves: scale times (value - zero), each group of inputs its own."""
        rows, inputs = self.values.shape
        found = self.values.view(rows, -1, self.group).to(dtype)
        found.sub_(self.zeros[:, :, None].to(dtype)).mul_(self.scales[:, :, None].to(dtype))
        return found.view(rows, inputs)


Linear = Tensor | Plain


def unpack_gptq(
    qweight: Tensor, qzeros: Tensor, scales: Tensor, bits: int, stored_minus_one: bool
) -> Plain:
    """qweight [inputs * bits / 32, rows] packs inputs; qzeros [groups, rows * bits / 32] packs
    rows; `stored_minus_one` is GPTQ v1, which stores each zero less one."""
    values = _spread(qweight, bits).permute(0, 2, 1).reshape(-1, qweight.shape[1])
    zeros = _spread(qzeros, bits).reshape(qzeros.shape[0], -1)
    # uint8 wraps at 256, which is what 8 bits do.
    zeros = (zeros + int(stored_minus_one)) & (2**bits - 1)
    return Plain(values.T.contiguous(), scales.T.contiguous().half(), zeros.T.contiguous(), bits)


def unpack_awq(qweight: Tensor, qzeros: Tensor, scales: Tensor) -> Plain:
    """qweight [inputs, rows / 8] and qzeros [groups, rows / 8]: eight rows a word, interleaved."""
    place = torch.tensor(AWQ_ORDER, device=qweight.device).argsort()

    def rows_of(words: Tensor) -> Tensor:
        return _spread(words, 4)[..., place].reshape(words.shape[0], -1).T.contiguous()

    return Plain(rows_of(qweight), scales.T.contiguous().half(), rows_of(qzeros), 4)


def take_rows(plain: Plain, order: Tensor) -> Plain:
    """The same product with its output rows in another order."""
    return Plain(plain.values[order], plain.scales[order], plain.zeros[order], plain.bits)


def joined(parts: Sequence[Linear]) -> Linear:
    """Several products of one input as one: their rows one after another."""
    dense = [part for part in parts if isinstance(part, Tensor)]
    packed = [part for part in parts if isinstance(part, Plain)]
    assert not (dense and packed), "products of one input are packed alike"
    if dense:
        return torch.cat(dense)
    return Plain(
        torch.cat([part.values for part in packed]),
        torch.cat([part.scales for part in packed]),
        torch.cat([part.zeros for part in packed]),
        packed[0].bits,
    )


def _spread(words: Tensor, bits: int) -> Tensor:
    """The values of each word along a new last dimension, lowest bits first. By bytes, which every
    machine that torch runs on has in this order: ten times as quick as shifting the words."""
    values = words.contiguous().view(torch.uint8)
    if bits == 4:
        values = torch.stack([values & 15, values >> 4], -1)
    return values.view(*words.shape, 32 // bits)
