"""The one protocol every engine keeps, and the loader that makes engines.

Says nothing of how tokens are computed. tests/engines/test_contract.py holds every
implementation to the promises in these docstrings.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Protocol

from qwen_webui.types import (
    CheckpointSpec,
    Device,
    DistributionRequest,
    Distributions,
    EngineInfo,
    GenerationEvent,
    GenerationRequest,
    LoadPlan,
    MemoryUse,
    Progress,
)

Report = Callable[[Progress], None]


class Engine(Protocol):
    """A loaded checkpoint that answers requests, several at once."""

    @property
    def checkpoint(self) -> CheckpointSpec:
        """What is loaded."""
        ...

    @property
    def info(self) -> EngineInfo:
        """Device, dtype, kernel, context and the checkpoint's sampling defaults."""
        ...

    def stream(self, request: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
        """Progress* TextDelta* Finished. Closing the generator cancels, in prefill too.

        Raises ContextLengthExceeded, OutOfMemory, EngineCrashed, EngineTimeout,
        GenerationFailed; an error never arrives as text.
        """
        ...

    async def score(self, token_ids: Sequence[int]) -> list[float]:
        """Natural-log probability of each token after the first, teacher forced: n - 1 values."""
        ...

    async def distributions(self, asked: DistributionRequest) -> Distributions:
        """What each position of a text predicts, teacher forced. Raises InvalidRequest for more
        than one answer holds, and from an engine that cannot tell it."""
        ...

    async def ended(self) -> None:
        """Returns once the engine has died of itself. After `close` it tells nothing."""
        ...

    async def close(self) -> None:
        """Unload. Streams still open end with ModelSwitching. Closing twice is harmless."""
        ...


class EngineLoader(Protocol):
    """Makes engines on one device; never two at once."""

    @property
    def pid(self) -> int | None:
        """Of the process of ours that owns the device, while it lives; None where there is none."""
        return None

    async def load(self, plan: LoadPlan, report: Report) -> Engine:
        """Load `plan`. The engine before must have been closed. Raises CheckpointError,
        OutOfMemory, DeviceUnusable, EngineCrashed; nothing stays loaded then."""
        ...

    async def memory(self) -> MemoryUse:
        """Measured now, with or without an engine."""
        ...

    async def copy_rate(self, device: Device) -> float:
        """Bytes a second of copies within the memory of `device`, what is read and what is written
        counted, the best of about a second. Takes that device's whole time and some of its
        memory. Raises DeviceUnusable, and InvalidRequest where another computer computes."""
        ...

    async def restart(self) -> None:
        """Replace the process that owns the device: when it died, hangs or keeps memory."""
        ...

    async def close(self) -> None:
        """End everything. Closing twice is harmless."""
        ...
