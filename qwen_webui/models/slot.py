"""The one place an engine can stand: forecast, load with a smoke generation, unload with measure.

Never holds two engines. Decides nothing about who may use it or when it changes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from qwen_webui.engines.base import Engine, EngineLoader, Report
from qwen_webui.errors import (
    DoesNotFit,
    EngineCrashed,
    EngineTimeout,
    GenerationFailed,
    WebUIError,
)
from qwen_webui.memory import YARN_FACTOR, forecast_in, machine_memory, usual_forecast
from qwen_webui.tokens import ChatTokenizer, EstimatedTokenizer
from qwen_webui.types import (
    CheckpointSpec,
    Dtype,
    EnginePath,
    Finished,
    GenerationRequest,
    LoadPlan,
    MemoryForecast,
    MemoryUse,
    Message,
    Sampling,
)

log = logging.getLogger(__name__)

MEASURE_SECONDS = 3.0
SMOKE = Sampling(temperature=0.0, max_new_tokens=4)
# Memory counts as kept when less than half the weights came back and what is missing matters on
# this device: an allocator that holds on to a few megabytes is no reason for a new process.
KEPT_SHARE, MATTERS_SHARE = 0.5, 0.01


@dataclass(frozen=True)
class Prepared:
    """All that a load needs, so that the same checkpoint can be brought back without questions."""

    plan: LoadPlan
    tokenizer: ChatTokenizer

    @property
    def name(self) -> str:
        """The checkpoint's name."""
        return self.plan.spec.name


class EngineSlot:
    """`engine` is what can be lent now; `held` what serves, or will again once it is repaired.

    `died` is called when the engine is gone without anyone having asked it to.
    """

    def __init__(
        self,
        loader: EngineLoader,
        device: Literal["auto", "cuda", "cpu"],
        dtype: Dtype | None,
        max_context: int | None,
        engine_path: EnginePath = "auto",
        host_cache: int = 0,
    ) -> None:
        self._loader = loader
        self._device = device
        self._dtype = dtype
        self._max_context = max_context
        self._engine_path = engine_path
        self._host_cache = host_cache
        self._used = False
        self._watch: asyncio.Task[None] | None = None
        self.died: Callable[[Engine], None] | None = None
        self.engine: Engine | None = None
        self.held: Prepared | None = None
        self.broken = False

    async def memory(self) -> MemoryUse:
        """Measured by the engine's process once there is one, by this process before and
        while the engine's is too busy to say."""
        if self._used and not self.broken:
            with suppress(TimeoutError):
                async with asyncio.timeout(MEASURE_SECONDS):
                    return await self._loader.memory()
        return await asyncio.to_thread(machine_memory, self._device)

    async def room(self) -> MemoryUse:
        """As `memory`, with what the loaded engine would give back counted as free."""
        now = await self.memory()
        # All of it: a forecast counts the worker's libraries too, which outlive a swap.
        free = min(now.total, now.free + now.used_by_engine)
        return replace(now, used_by_engine=0, free=free)

    def forecast(self, spec: CheckpointSpec, room: MemoryUse) -> MemoryForecast:
        """What `spec` would take in `room`; see memory.usual_forecast."""
        return usual_forecast(spec, room, self._max_context)

    async def admit(self, spec: CheckpointSpec) -> MemoryForecast:
        """The forecast. Raises DoesNotFit with its numbers, and SettingsError for a context that
        was asked for and cannot be had."""
        need = forecast_in(spec, await self.room(), self._max_context)
        if not need.fits:
            raise DoesNotFit(
                f"{spec.title} needs {_gib(need.needed)} GiB on the {need.device} (weights "
                f"{_gib(need.weights)}, context of {need.context} tokens {_gib(need.kv_cache)}, "
                f"the rest {_gib(need.activations + need.overhead)}) and {_gib(need.free)} of "
                f"{_gib(need.total)} GiB are free. Choose a smaller size or fewer bits, or a "
                "smaller --max-context."
            )
        return need

    async def prepare(self, need: MemoryForecast, spec: CheckpointSpec, folder: Path) -> Prepared:
        """The plan for `spec` in `folder`, and its tokenizer."""
        stretched = need.context > spec.shape.context_length
        plan = LoadPlan(
            spec=spec,
            folder=str(folder),
            device=need.device,
            dtype=self._dtype,
            max_context=need.context,
            yarn_factor=YARN_FACTOR if stretched else 1.0,
            engine_path=self._engine_path,
            host_cache=self._host_cache,
        )
        if spec.family == "external" and spec.folder is None:
            return Prepared(plan, EstimatedTokenizer())
        return Prepared(plan, await asyncio.to_thread(ChatTokenizer.load, folder))

    async def put(self, prepared: Prepared, report: Report) -> int:
        """Load and try out; returns how many bytes the engine's process grew by (of the first
        load: all it has, its libraries too). On failure nothing stays loaded."""
        assert self.engine is None, "the engine before must be unloaded first"
        before = await self._ready_for_load()
        self._used = True
        engine: Engine | None = None
        try:
            engine = await self._loader.load(prepared.plan, report)
            await smoke(engine)
            used = (await self._loader.memory()).used_by_engine
        except BaseException as error:
            await self._discard(engine, error)
            raise
        self.engine, self.held = engine, prepared
        self._watch = asyncio.create_task(engine.ended())
        self._watch.add_done_callback(lambda watch: self._ended(watch, engine))
        return used - before

    async def clear(self) -> int:
        """Unload what is loaded, if anything; returns the bytes that came back."""
        engine, self.engine = self.engine, None
        self.unwatch()
        if engine is None:
            return 0
        try:
            before = await self._loader.memory()
            await engine.close()
            after = await self._loader.memory()
        except (EngineCrashed, EngineTimeout):
            self.broken = True
            return 0
        except BaseException:
            self.broken = True  # cut off: what the process still holds is not known
            raise
        freed = before.used_by_engine - after.used_by_engine
        missing = engine.info.weights_bytes * KEPT_SHARE - freed
        if missing > 0 and missing > after.total * MATTERS_SHARE:
            log.warning("unloading gave back %d bytes; replacing the engine's process", freed)
            await self._loader.restart()
            after = await self._loader.memory()
        return before.used_by_engine - after.used_by_engine

    def lose(self) -> None:
        """The engine cannot be used any more, and its process is to be replaced."""
        self.engine = None
        self.broken = True

    def unwatch(self) -> None:
        """The end of the engine is no news from now on."""
        if self._watch is not None:
            self._watch.cancel()

    def _ended(self, watch: asyncio.Task[None], engine: Engine) -> None:
        if not watch.cancelled() and self.died is not None:
            self.died(engine)

    async def _ready_for_load(self) -> int:
        """Repair what a death or a cut-off load left, then bytes in use before a load."""
        if self.broken:
            await self._loader.restart()
            self.broken = False
            return 0
        return (await self._loader.memory()).used_by_engine if self._used else 0

    async def _discard(self, engine: Engine | None, error: BaseException) -> None:
        # A load that was cut off, or whose process died, says nothing of what it left behind.
        if not isinstance(error, WebUIError) or isinstance(error, (EngineCrashed, EngineTimeout)):
            self.broken = True
        elif engine is not None:
            await engine.close()


async def smoke(engine: Engine) -> None:
    """A short greedy answer through the protocol; raises when it does not end as it should."""
    sampling = SMOKE.over(engine.info.defaults)
    request = GenerationRequest("smoke", (Message("user", "Hello"),), sampling)
    last = None
    async with aclosing(engine.stream(request)) as events:
        async for event in events:
            last = event
    if not isinstance(last, Finished):
        raise GenerationFailed(
            f"{engine.checkpoint.title} was loaded but did not complete a first short answer. "
            "Its files may be damaged; load another checkpoint."
        )


def _gib(count: int) -> str:
    return f"{count / 2**30:.1f}"
