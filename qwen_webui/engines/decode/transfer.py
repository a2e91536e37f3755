"""Small tensors on their way to the device and back, without waiting for what it computes."""

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


def fetched(there: Tensor) -> Tensor:
    """A copy in the host's memory. Of a card's it is whole once an event recorded after it has
    come; nobody waits before that."""
    if there.device.type != "cuda":
        return there
    here = torch.empty_like(there, device="cpu", pin_memory=True)
    return here.copy_(there, non_blocking=True)
