"""The engine as the web process sees it: a worker process behind the protocol of base.py."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence

from qwen_webui.engines.base import Engine, EngineLoader, Report
from qwen_webui.engines.child import Child
from qwen_webui.engines.wire import Done, MeasureCopies, ReadMemory, Score, Unload
from qwen_webui.errors import EngineCrashed, EngineTimeout, ModelSwitching
from qwen_webui.memory import machine_memory
from qwen_webui.types import (
    CheckpointSpec,
    Device,
    DistributionRequest,
    Distributions,
    EngineInfo,
    Finished,
    GenerationEvent,
    GenerationRequest,
    LoadPlan,
    MemoryUse,
    Progress,
)

UNLOADED = "The model was unloaded before the answer was complete. Send the request again."


class ProcessLoader(EngineLoader):
    """Loads in a child process, which is started with the first load and kept over swaps.

    `stall_seconds` without a token or a sign of life and the worker is ended.
    """

    def __init__(self, stall_seconds: float = 120.0) -> None:
        self._stall_seconds = stall_seconds
        self._child: Child | None = None
        self._starting = asyncio.Lock()
        self._device: Device | None = None
        self._closed = False

    @property
    def pid(self) -> int | None:
        """The worker's process id, if one lives."""
        return self._child.pid if self._child is not None and self._child.alive else None

    async def load(self, plan: LoadPlan, report: Report) -> Engine:
        """See EngineLoader. Cancelling a load ends the worker: nothing else stops it at once."""
        assert not self._closed, "a closed loader loads nothing"
        self._device = plan.device
        child = await self._living_child()

        def forward(event: GenerationEvent) -> None:
            assert isinstance(event, Progress), f"a load reports progress, not {event}"
            report(event)

        try:
            info = await child.ask(plan, forward, beats_count=True)
        except asyncio.CancelledError:
            await asyncio.shield(child.close())
            raise
        assert isinstance(info, EngineInfo), "a load answers with EngineInfo"
        return ProcessEngine(child, info)

    async def memory(self) -> MemoryUse:
        """See EngineLoader. Without a worker, what the machine says."""
        child = self._child
        if child is not None and child.alive and self._device is not None:
            try:
                use = await child.ask(ReadMemory(self._device))
            except (EngineCrashed, EngineTimeout):
                # It died while asked; what is free now is still a true answer.
                return await asyncio.to_thread(machine_memory, self._device)
            assert isinstance(use, MemoryUse), "ReadMemory answers with MemoryUse"
            return use
        return await asyncio.to_thread(machine_memory, self._device or "auto")

    async def copy_rate(self, device: Device) -> float:
        """See EngineLoader."""
        child = await self._living_child()
        rate = await child.ask(MeasureCopies(device), beats_count=True)
        assert isinstance(rate, float), "MeasureCopies answers with bytes a second"
        return rate

    async def restart(self) -> None:
        """See EngineLoader."""
        if self._child is not None:
            await self._child.close()
        await self._living_child()

    async def close(self) -> None:
        """See EngineLoader."""
        self._closed = True
        async with self._starting:
            if self._child is not None:
                await self._child.close()

    async def _living_child(self) -> Child:
        async with self._starting:
            if self._child is None or not self._child.alive:
                if self._child is not None:
                    await self._child.close()
                self._child = await Child.start(self._stall_seconds)
            return self._child


class ProcessEngine(Engine):
    """The checkpoint loaded in one child process; useless once that child is gone."""

    def __init__(self, child: Child, info: EngineInfo) -> None:
        self._child = child
        self._info = info
        self._unloading: asyncio.Task[None] | None = None

    @property
    def checkpoint(self) -> CheckpointSpec:
        """See Engine."""
        return self._info.checkpoint

    @property
    def info(self) -> EngineInfo:
        """See Engine."""
        return self._info

    async def stream(self, request: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
        """See Engine."""
        self._refuse_if_closed()
        call = self._child.open(request)
        try:
            while not isinstance(event := await call.next(beats_count=False), Done):
                yield event
                if isinstance(event, Finished):
                    return
        finally:
            call.close()

    async def score(self, token_ids: Sequence[int]) -> list[float]:
        """See Engine."""
        self._refuse_if_closed()
        values = await self._child.ask(Score(tuple(token_ids)), beats_count=True)
        assert isinstance(values, list), "Score answers with a list"
        return values

    async def distributions(self, asked: DistributionRequest) -> Distributions:
        """See Engine."""
        self._refuse_if_closed()
        found = await self._child.ask(asked, beats_count=True)
        assert isinstance(found, Distributions), "a DistributionRequest answers with Distributions"
        return found

    async def ended(self) -> None:
        """See Engine."""
        await self._child.ended()

    async def close(self) -> None:
        """See Engine."""
        if self._unloading is None:
            self._unloading = asyncio.create_task(self._unload())
        await asyncio.shield(self._unloading)

    async def _unload(self) -> None:
        if not self._child.alive:
            return
        self._child.end_calls(ModelSwitching(UNLOADED))
        try:
            await self._child.ask(Unload())
        except (EngineCrashed, EngineTimeout):
            # A worker that is gone has unloaded; the next load starts another.
            await self._child.close()

    def _refuse_if_closed(self) -> None:
        if self._unloading is not None:
            raise ModelSwitching(UNLOADED)
