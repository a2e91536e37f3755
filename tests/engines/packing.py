"""Quantised layouts packed with plain torch, as the old tools wrote them.

An independent second hand at the two layouts: nothing here uses the libraries that read them.
Rounds to the nearest level (no calibration); `dequantized` is what the packed numbers mean.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)


@dataclass(frozen=True)
class Levels:
    """Integers of a weight [out, in], with a scale and a zero for each group [out, groups]."""

    values: Tensor
    scales: Tensor
    zeros: Tensor
    bits: int
    group: int

    @property
    def dequantized(self) -> Tensor:
        """The weight these levels stand for, float32 [out, in]."""
        wide = (t.repeat_interleave(self.group, dim=1) for t in (self.zeros, self.scales))
        zeros, scales = wide
        return (self.values - zeros).float() * scales.float()


def round_to_nearest(weight: Tensor, bits: int, group: int, symmetric: bool) -> Levels:
    """Levels of `weight` [out, in]; the scales are rounded to float16 first, as stored."""
    out, width = weight.shape
    grouped = weight.float().reshape(out, width // group, group)
    top = 2**bits - 1
    if symmetric:
        scales = grouped.abs().amax(-1) * 2 / top
        zeros = torch.full_like(scales, 2 ** (bits - 1))
    else:
        low, high = grouped.amin(-1).clamp(max=0), grouped.amax(-1).clamp(min=0)
        scales = (high - low) / top
        zeros = (-low / scales).round().clamp(0, top)
    scales = scales.half()
    values = (grouped / scales.float()[..., None]).round() + zeros[..., None]
    values = values.clamp(0, top).reshape(out, width)
    return Levels(values.long(), scales, zeros.long(), bits, group)


def gptq_tensors(levels: Levels, *, zeros_minus_one: bool) -> dict[str, Tensor]:
    """qweight packs along the input, qzeros along the output, 32/bits values an int32."""
    zeros = levels.zeros.T - (1 if zeros_minus_one else 0)
    groups = torch.arange(levels.values.shape[1], dtype=torch.int32) // levels.group
    return {
        "qweight": _pack(levels.values, levels.bits, range(32 // levels.bits)).T.contiguous(),
        "qzeros": _pack(zeros, levels.bits, range(32 // levels.bits)),
        "scales": levels.scales.T.contiguous(),
        "g_idx": groups,
    }


def awq_tensors(levels: Levels) -> dict[str, Tensor]:
    """The `gemm` version: eight output columns an int32, in AWQ's own order."""
    return {
        "qweight": _pack(levels.values.T, levels.bits, AWQ_ORDER),
        "qzeros": _pack(levels.zeros.T, levels.bits, AWQ_ORDER),
        "scales": levels.scales.T.contiguous(),
    }


def _pack(values: Tensor, bits: int, order: range | tuple[int, ...]) -> Tensor:
    """Rows of `values` packed along the last axis; place j of an int32 holds value order[j]."""
    per_word = 32 // bits
    words = (values & (2**bits - 1)).reshape(values.shape[0], -1, per_word)
    packed = torch.zeros(words.shape[:2], dtype=torch.int64)
    for place, source in enumerate(order):
        packed |= words[..., source] << (bits * place)
    return packed.to(torch.uint32).view(torch.int32).contiguous()
