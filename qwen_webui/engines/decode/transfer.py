"""Small lists of numbers on their way to the device, without waiting for what it computes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def sent(
    numbers: Sequence[int] | Sequence[float],
    device: torch.device,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """`numbers` on `device`. From memory that is not pinned a copy to a card would wait until all
    that was asked of it is done."""
    pinned = device.type == "cuda"
    here = torch.tensor(numbers, dtype=dtype, pin_memory=pinned)
    return here.to(device, non_blocking=True) if pinned else here
