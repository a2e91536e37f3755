"""The graphics cards that CUDA would show this program, as the driver (NVML) describes them now.

Lists names and memory only; measures nothing over time and touches no card.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

import pynvml


@dataclass(frozen=True)
class Card:
    """One card in CUDA's order; bytes. `error` says why `total` and `free` are 0. `mig`: the card
    is split, and a program gets a slice of it, not this memory."""

    name: str
    uuid: str
    total: int
    free: int
    mig: bool = False
    error: str = ""


def list_cards() -> tuple[Card, ...]:
    """Every card that CUDA_VISIBLE_DEVICES leaves; none without driver or card."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return ()
    try:
        return tuple(_describe(h) for h in _visible(os.environ.get("CUDA_VISIBLE_DEVICES")))
    finally:
        pynvml.nvmlShutdown()


def first_handle(visible: str | None) -> object | None:
    """The NVML handle of CUDA's device 0, if there is one; `visible` is CUDA_VISIBLE_DEVICES.
    NVML must have been initialised."""
    return next(_visible(visible), None)


def _describe(handle: object) -> Card:
    name, uuid = str(pynvml.nvmlDeviceGetName(handle)), str(pynvml.nvmlDeviceGetUUID(handle))
    mig = not uuid.startswith("MIG-") and _is_split(handle)
    try:
        memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
    except pynvml.NVMLError as error:
        return Card(name, uuid, 0, 0, mig, str(error))
    return Card(name, uuid, int(memory.total), int(memory.free), mig)


def _is_split(handle: object) -> bool:
    try:
        current, _ = pynvml.nvmlDeviceGetMigMode(handle)
    except pynvml.NVMLError:
        return False  # most cards know no such mode
    return bool(current == pynvml.NVML_DEVICE_MIG_ENABLE)


def _visible(visible: str | None) -> Iterator[object]:
    """NVML handles in CUDA's order. As CUDA does, the list ends at the first name nobody has."""
    count = pynvml.nvmlDeviceGetCount()
    names = [str(i) for i in range(count)] if visible is None else visible.split(",")
    for name in names:
        handle = _handle(name.strip(), count)
        if handle is None:
            return
        yield handle


def _handle(name: str, count: int) -> object | None:
    handle: object
    if name.isdigit():
        handle = pynvml.nvmlDeviceGetHandleByIndex(int(name)) if int(name) < count else None
        return handle
    if not name.startswith(("GPU-", "MIG-")):
        return None
    for index in range(count):
        handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        if str(pynvml.nvmlDeviceGetUUID(handle)).startswith(name):
            return handle
    if not name.startswith("MIG-"):
        return None
    handle = pynvml.nvmlDeviceGetHandleByUUID(name)
    return handle
