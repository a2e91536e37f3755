"""What is asked of the advisor, and what it answers. Values only.

Every sentence is there in both languages, with the source of what it states.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from qwen_webui.cards import Card
from qwen_webui.types import CheckpointSpec, Device, MemoryForecast, MemoryUse, Use

# How a figure of speed came about: measured here, scaled from a measurement, a physical limit.
SpeedKind = Literal["measured", "estimate", "limit", "unknown"]
RunnerKind = Literal["larger", "more_faithful", "smaller"]


@dataclass(frozen=True)
class Text:
    """One sentence in both languages."""

    en: str
    zh: str

    def to(self, language: str) -> str:
        """In `language`, which is "zh" or else English."""
        return self.zh if language == "zh" else self.en


@dataclass(frozen=True)
class Said:
    """A sentence and where what it states comes from; no sources: from this machine itself."""

    text: Text
    sources: tuple[Text, ...] = ()

    def source(self, language: str) -> str:
        """The sources in `language`, as one line; empty without any."""
        return "; ".join(source.to(language) for source in self.sources)


@dataclass(frozen=True)
class Machine:
    """What is to be advised for; bytes. `assumed`: a machine that was only named, not looked at.
    `problem`: why its memory is not known."""

    device: Device
    name: str
    free: int
    total: int
    cards: tuple[Card, ...] = ()
    assumed: bool = False
    problem: Text | None = None

    @property
    def room(self) -> MemoryUse:
        """As measured, without what an engine holds."""
        return MemoryUse(self.device, self.name, 0, self.free, self.total)


@dataclass(frozen=True)
class Speed:
    """Generated tokens a second of one request with a short prompt; None if nothing is known."""

    tokens_per_second: float | None
    kind: SpeedKind
    basis: Said


@dataclass(frozen=True)
class Option:
    """One checkpoint on this machine at the wanted context."""

    spec: CheckpointSpec
    forecast: MemoryForecast
    speed: Speed

    @property
    def spare(self) -> int:
        """Bytes that stay free; negative: what is missing."""
        return self.forecast.free - self.forecast.needed


@dataclass(frozen=True)
class RunnerUp:
    """What another choice would give and cost."""

    kind: RunnerKind
    option: Option
    text: Text


@dataclass(frozen=True)
class Advice:
    """The answer. `choice` is None when nothing fits; `missing` then says what is."""

    machine: Machine
    use: Use
    context: int
    choice: Option | None
    reasons: tuple[Said, ...]
    runners_up: tuple[RunnerUp, ...]
    warnings: tuple[Said, ...]
    missing: Text | None = None
