"""The card's readings, through NVML. What `nvidia-smi dmon` shows, and who holds the memory.

The driver stays open between readings: to open it takes longer than to read. Never torch: the
web process makes no context on the card.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import PurePath
from typing import Any

import psutil
import pynvml

from qwen_webui.cards import first_handle
from qwen_webui.errors import DeviceUnusable
from qwen_webui.measure.monitor.values import Program, Reading

# What a driver says of a reading that this card, or this account, does not have.
_NOT_TOLD = (
    pynvml.NVML_ERROR_NOT_SUPPORTED,
    pynvml.NVML_ERROR_NO_PERMISSION,
    pynvml.NVML_ERROR_FUNCTION_NOT_FOUND,
    pynvml.NVML_ERROR_NO_DATA,
)


class Card:
    """The card that CUDA takes first. `name` is empty until it was opened."""

    def __init__(self) -> None:
        self.name = ""
        self._handle: object | None = None

    def open(self) -> bool:
        """Whether there is a driver and a card. Opening twice is harmless."""
        if self._handle is not None:
            return True
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError:
            return False
        try:
            self._handle = first_handle(os.environ.get("CUDA_VISIBLE_DEVICES"))
            if self._handle is not None:
                self.name = str(pynvml.nvmlDeviceGetName(self._handle))
        except pynvml.NVMLError:
            self._handle = None
        if self._handle is None:
            self._shut()
        return self._handle is not None

    def read(self, pid: int | None) -> Reading:
        """Now; `engine` is what process `pid` holds. Raises DeviceUnusable when the driver has
        gone away; it must be opened again then."""
        handle = self._handle
        assert handle is not None, "a card is opened before it is read"
        try:
            memory = _told(lambda: pynvml.nvmlDeviceGetMemoryInfo(handle))
            load = _told(lambda: pynvml.nvmlDeviceGetUtilizationRates(handle))
            power = _told(lambda: pynvml.nvmlDeviceGetPowerUsage(handle))
            return Reading(
                memory_used=float(memory.total - memory.free) if memory else None,
                memory_total=float(memory.total) if memory else None,
                engine=self._held(pid),
                utilisation=float(load.gpu) if load else None,
                memory_utilisation=float(load.memory) if load else None,
                power=None if power is None else power / 1000,
                temperature=self._number(
                    pynvml.nvmlDeviceGetTemperature, pynvml.NVML_TEMPERATURE_GPU
                ),
                sm_clock=self._number(pynvml.nvmlDeviceGetClockInfo, pynvml.NVML_CLOCK_SM),
                memory_clock=self._number(pynvml.nvmlDeviceGetClockInfo, pynvml.NVML_CLOCK_MEM),
            )
        except pynvml.NVMLError as error:
            self.close()
            raise DeviceUnusable(f"The NVIDIA driver does not answer ({error}).") from error

    def biggest(self, but: int | None) -> Program | None:
        """Of the other programs on the card the one that holds most, if the driver tells."""
        if self._handle is None:
            return None
        try:
            found = [p for p in self._processes() if p.pid not in (but, os.getpid())]
        except pynvml.NVMLError:
            return None
        known = [p for p in found if p.usedGpuMemory]
        if not known:
            return None
        most = max(known, key=lambda process: process.usedGpuMemory)
        return Program(_name(most.pid), int(most.usedGpuMemory))

    def close(self) -> None:
        """Let the driver go. Closing twice is harmless."""
        if self._handle is not None:
            self._handle = None
            self._shut()

    def _shut(self) -> None:
        try:
            pynvml.nvmlShutdown()
        except pynvml.NVMLError:
            return  # it went away by itself

    def _number(self, ask: Callable[[object, int], Any], what: int) -> float | None:
        value = _told(lambda: ask(self._handle, what))
        return None if value is None else float(value)

    def _held(self, pid: int | None) -> float | None:
        """None, too, in a container whose numbers of processes are not the driver's."""
        if pid is None:
            return None
        own = [p.usedGpuMemory for p in self._processes() if p.pid == pid]
        told = [float(memory) for memory in own if memory is not None]
        return sum(told) if told else None

    def _processes(self) -> list[Any]:
        graphics = _told(lambda: pynvml.nvmlDeviceGetGraphicsRunningProcesses(self._handle))
        compute = _told(lambda: pynvml.nvmlDeviceGetComputeRunningProcesses(self._handle))
        # One that does both is in both lists, with all that it holds.
        return list({p.pid: p for p in (*(graphics or ()), *(compute or ()))}.values())


def _told(ask: Callable[[], Any]) -> Any:
    """What the driver answers; None where this card has no such reading."""
    try:
        return ask()
    except pynvml.NVMLError as error:
        if error.value in _NOT_TOLD:
            return None
        raise


def _name(pid: int) -> str:
    """What the process is called, without its folder; its number where that is not told."""
    try:
        return str(psutil.Process(pid).name())
    except psutil.Error:
        pass
    try:
        told = pynvml.nvmlSystemGetProcessName(pid)
    except pynvml.NVMLError:
        return f"process {pid}"
    return PurePath(str(told).replace("\\", "/").split(" ")[0]).name or f"process {pid}"
