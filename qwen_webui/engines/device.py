"""The device under the worker: whether torch can use it, what it is called, memory measured and
given back. Knows nothing of models."""

from __future__ import annotations

import ctypes
import dataclasses
import gc
import platform
import sys
import threading
from collections.abc import Callable

import psutil
import torch

from qwen_webui.errors import DeviceUnusable
from qwen_webui.memory import machine_memory
from qwen_webui.types import Device, MemoryUse

POLL_SECONDS = 0.2


def require(device: Device) -> torch.device:
    """The torch device, tried out. Raises DeviceUnusable; never falls back to the CPU."""
    if device == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise DeviceUnusable(
            f"The graphics card cannot be used by this installation of torch "
            f"({torch.__version__}). Install a torch built for its driver, or start with "
            "--device cpu."
        )
    try:
        torch.ones(8, device="cuda").sum().item()
    except RuntimeError as error:
        major, minor = torch.cuda.get_device_capability()
        raise DeviceUnusable(
            f"{torch.cuda.get_device_name()} (compute capability {major}.{minor}) is there, but "
            f"torch {torch.__version__} cannot compute on it: {str(error).splitlines()[0]}. "
            "Install a torch built for this card, or start with --device cpu."
        ) from error
    return torch.device("cuda")


def name_of(device: torch.device) -> str:
    """What people call it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return platform.processor() or platform.machine()


def held(device: Device) -> int:
    """Bytes this process holds: allocated by torch on the card, or resident."""
    if device == "cuda":
        return torch.cuda.memory_reserved() if torch.cuda.is_initialized() else 0
    return int(psutil.Process().memory_info().rss)


def measured(device: Device) -> MemoryUse:
    """Now."""
    return dataclasses.replace(machine_memory(device), used_by_engine=held(device))


def give_back() -> None:
    """Return freed memory to the system: neither glibc nor torch does so by itself."""
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)


class Watch:
    """Reports how many bytes this process has taken since the start, while a load goes on.

    Measured from outside, for no library tells: `report` gets bytes, never falling.
    """

    def __init__(self, device: Device, report: Callable[[int], None]) -> None:
        self._device: Device = device
        self._report = report
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._poll, name="watch", daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _poll(self) -> None:
        base, most = held(self._device), 0
        while not self._done.wait(POLL_SECONDS):
            taken = held(self._device) - base
            if taken > most:
                most = taken
                self._report(most)
