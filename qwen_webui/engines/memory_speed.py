"""How fast the device's memory copies: the limit of every answer, measured. Knows no models."""

from __future__ import annotations

import time

import psutil
import torch

from qwen_webui.engines.device import give_back, require
from qwen_webui.memory import machine_memory
from qwen_webui.types import Device

# Far more than any cache holds, and never more than this share of what is free.
BYTES, SHARE = 1 << 30, 0.2
SECONDS, LEAST = 1.0, 5


def copy_rate(device: Device) -> float:
    """Bytes a second, read and written, of the best of about a second of copies.

    On a CPU with all its cores. There a write may read first, so that the memory carries up to
    half more than is counted. Raises DeviceUnusable, or torch's error where memory is short.
    """
    where = require(device)
    size = min(BYTES, int(machine_memory(device).free * SHARE))
    threads = torch.get_num_threads()
    if device == "cpu":
        torch.set_num_threads(max(1, psutil.cpu_count(logical=False) or 1))
    try:
        source = torch.ones(size, dtype=torch.uint8, device=where)
        target = torch.zeros_like(source)
        return 2 * size / min(_durations(source, target, device))
    finally:
        torch.set_num_threads(threads)
        source = target = torch.empty(0)
        give_back()


def _durations(source: torch.Tensor, target: torch.Tensor, device: Device) -> list[float]:
    found: list[float] = []
    while len(found) < LEAST or sum(found) < SECONDS:
        before = _done(device)
        target.copy_(source)
        found.append(_done(device) - before)
    return found


def _done(device: Device) -> float:
    """The time, once the device has done what it was told."""
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()
