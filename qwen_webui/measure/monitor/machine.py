"""The machine's readings where no card computes: memory, processors, and what the engine holds."""

from __future__ import annotations

import os

import psutil

from qwen_webui.measure.monitor.values import Reading
from qwen_webui.memory import machine_memory


class Machine:
    """Of a container its own limit counts, as for the forecast."""

    def __init__(self) -> None:
        psutil.cpu_percent(None)  # it tells what was since it was asked before
        self._process: psutil.Process | None = None

    def read(self, pid: int | None) -> Reading:
        """Now. Where no process of ours computes, `engine` is what this one holds."""
        memory = machine_memory("cpu")
        return Reading(
            memory_used=float(memory.total - memory.free),
            memory_total=float(memory.total),
            engine=self._held(os.getpid() if pid is None else pid),
            utilisation=float(psutil.cpu_percent(None)),
        )

    def _held(self, pid: int) -> float | None:
        try:
            if self._process is None or self._process.pid != pid:
                self._process = psutil.Process(pid)
            return float(self._process.memory_info().rss)
        except psutil.Error:
            self._process = None
            return None
