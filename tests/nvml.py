"""A driver with one card, in place of NVML: what it tells can be changed, and it can go away."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pynvml
import pytest

from qwen_webui.measure.monitor import card

GIB = 1 << 30


@dataclass
class FakeNvml:
    """Stands for the module. `missing` are functions that this card does not support; with `gone`
    the driver answers nothing. `processes` are (pid, bytes)."""

    used: int = 6 * GIB
    total: int = 24 * GIB
    processes: list[tuple[int, int | None]] = field(default_factory=list)
    missing: set[str] = field(default_factory=set)
    gone: bool = False
    opened: int = 0
    asked: int = 0

    def install(self, monkeypatch: pytest.MonkeyPatch) -> FakeNvml:
        monkeypatch.setattr(card, "pynvml", self)
        monkeypatch.setattr(card, "first_handle", lambda visible: "the card")
        return self

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("nvml"):
            return getattr(pynvml, name)

        def ask(*_: object) -> Any:
            self.asked += 1
            if self.gone:
                raise pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)
            if name in self.missing:
                raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
            if name == "nvmlInit":
                self.opened += 1
            return self._tell(name, *_)

        return ask

    def _tell(self, name: str, *given: object) -> Any:
        told = {
            "nvmlDeviceGetName": "A Card",
            "nvmlDeviceGetMemoryInfo": SimpleNamespace(
                used=self.used, free=self.total - self.used, total=self.total
            ),
            "nvmlDeviceGetUtilizationRates": SimpleNamespace(gpu=71, memory=33),
            "nvmlDeviceGetPowerUsage": 215_500,
            "nvmlDeviceGetTemperature": 64,
            "nvmlDeviceGetGraphicsRunningProcesses": [],
            "nvmlDeviceGetComputeRunningProcesses": [
                SimpleNamespace(pid=pid, usedGpuMemory=held) for pid, held in self.processes
            ],
            "nvmlSystemGetProcessName": "/usr/bin/render --all",
        }
        if name == "nvmlDeviceGetClockInfo":
            return 1980 if given[1] == pynvml.NVML_CLOCK_SM else 2619
        return told.get(name)
