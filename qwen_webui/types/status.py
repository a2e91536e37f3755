"""What the model manager says of itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from qwen_webui.types.checkpoints import EngineInfo, MemoryForecast
from qwen_webui.types.events import Progress


@dataclass(frozen=True)
class SwapReport:
    """What a load or swap did. Bytes and seconds; `freed` is what came back from the old one."""

    name: str
    previous: str | None
    forecast: MemoryForecast
    freed: int
    loaded: int
    seconds: float


@dataclass(frozen=True)
class ModelStatus:
    """The manager's state at one moment, for the page, /readyz and GET /api/models. `held_for` says
    for which job everybody else waits; `name` answers them when it is done."""

    state: Literal["empty", "downloading", "loading", "ready", "swapping", "failed"]
    name: str | None = None
    target: str | None = None
    info: EngineInfo | None = None
    progress: Progress | None = None
    error: str | None = None
    error_code: str | None = None
    running: int = 0
    waiting: int = 0
    last_swap: SwapReport | None = None
    notes: tuple[str, ...] = ()
    held_for: str | None = None
    held_progress: Progress | None = None
