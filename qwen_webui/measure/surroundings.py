"""What a report was measured on and with, as it is named there. Asks the system; loads nothing
heavy."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from qwen_webui import __version__
from qwen_webui.types import MemoryUse

_LIBRARIES = ("torch", "transformers", "gptqmodel", "triton", "numpy")


@dataclass(frozen=True)
class Conditions:
    """Of every report: when and with which words it was measured, on what, with which versions
    and settings."""

    created: str
    command: str
    hardware: str
    versions: Mapping[str, str]
    settings: Mapping[str, str]


def hardware(machine: MemoryUse) -> str:
    """The device that computes, with its memory; of a CPU its name and how many it has."""
    gib = f"{machine.total / 2**30:.0f} GiB"
    if machine.device == "cuda":
        return f"{machine.device_name}, {gib}"
    return f"{_processor()}, {os.cpu_count()} processors, {gib}"


def versions() -> Mapping[str, str]:
    """Of this program, Python, and the libraries that compute."""
    found = {"qwen-webui": __version__, "Python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # triton comes with a card only
    return found


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
